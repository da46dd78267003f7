"""`python -m idrestore` is the command."""

from idrestore.cli import main

main()
