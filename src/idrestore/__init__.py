"""All-in-one photo restoration: noise, rain, haze, blur and low light, alone or mixed.

>>> import idrestore
>>> restorer = idrestore.load("fast")
>>> result = restorer.restore("photo.jpg")  # or an array (H, W, 3)
>>> result.image.shape, next(iter(result.ingredients)) in restorer.names
((32, 48, 3), True)
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from idrestore.batch.single import restore_file
    from idrestore.files.image import ImageError, Photo, read, write
    from idrestore.model.shipped import CheckpointError
    from idrestore.restoration.restorer import Restorer, load
    from idrestore.restoration.results import Result

__version__ = "0.2.0"
__all__ = ["CheckpointError", "ImageError", "Photo", "Restorer", "Result", "load", "read", "restore_file", "write"]

_HOMES = {
    "CheckpointError": "model.shipped",
    "ImageError": "files.image",
    "Photo": "files.image",
    "Restorer": "restoration.restorer",
    "Result": "restoration.results",
    "load": "restoration.restorer",
    "read": "files.image",
    "restore_file": "batch.single",
    "write": "files.image",
}


def __getattr__(name: str) -> Any:
    """Import public names when first used: `import idrestore` costs neither torch nor libvips."""
    if name not in _HOMES:
        raise AttributeError(f"module 'idrestore' has no attribute {name!r}")
    return getattr(importlib.import_module(f"idrestore.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
