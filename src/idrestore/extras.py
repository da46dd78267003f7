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
    return f'{sys.executable} -m pip install {_source()}[{extra}]"'


def _source() -> str:
    """Return where this package was installed from, after a quotation mark: a folder, or its name in an index."""
    try:
        recorded = distribution("idrestore").read_text("direct_url.json")
    except PackageNotFoundError:
        recorded = None
    origin = json.loads(recorded or "{}")
    if "dir_info" not in origin:
        return '"idrestore'
    edit = "--editable " if origin["dir_info"].get("editable") else ""
    return f'{edit}"{url2pathname(urlparse(origin["url"]).path)}'
