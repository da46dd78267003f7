"""What is installed only if asked for, and how to get it."""

import json
import sys
from importlib.metadata import PackageNotFoundError, distribution
from urllib.parse import urlparse
from urllib.request import url2pathname


def how_to_install(extra: str) -> str:
    """Return the command that adds an extra to this very installation, from where it was installed from.

    >>> how_to_install("web").endswith('[web]"')
    True
    """
    try:
        recorded = distribution("idrestore").read_text("direct_url.json")
    except PackageNotFoundError:
        recorded = None
    origin = json.loads(recorded or "{}")
    folder = origin.get("dir_info")  # none if it came from an index, or as a file
    source = "idrestore" if folder is None else url2pathname(urlparse(origin["url"]).path)
    edit = "--editable " if folder and folder.get("editable") else ""
    return f'{sys.executable} -m pip install {edit}"{source}[{extra}]"'
