"""noisepress: image compression with diffusion models.

Examples:
    >>> import numpy as np
    >>> import noisepress
    >>> image = np.zeros((4, 4), np.uint8)
    >>> data = noisepress.encode(image)
    >>> bool((noisepress.decode(data) == image).all())
    True
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .bitstream.container import Limits
    from .bitstream.errors import NoisepressError
    from .codec.api import (
        FileInfo,
        decode,
        decode_progressive,
        decode_raster,
        encode,
        estimate,
        inspect,
        truncate,
        verify,
    )
    from .codec.archive import Archive, Member, archive
    from .codec.image.raster import Mode, Raster
    from .codec.image.read import open_image
    from .codec.image.write import save_image

__version__ = "0.1.0"

_HOMES = {
    ".bitstream.container": ("Limits",),
    ".bitstream.errors": ("NoisepressError",),
    ".codec.api": (
        "FileInfo",
        "decode",
        "decode_progressive",
        "decode_raster",
        "encode",
        "estimate",
        "inspect",
        "truncate",
        "verify",
    ),
    ".codec.archive": ("Archive", "Member", "archive"),
    ".codec.image.raster": ("Mode", "Raster"),
    ".codec.image.read": ("open_image",),
    ".codec.image.write": ("save_image",),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Archive",
    "FileInfo",
    "Limits",
    "Member",
    "Mode",
    "NoisepressError",
    "Raster",
    "archive",
    "decode",
    "decode_progressive",
    "decode_raster",
    "encode",
    "estimate",
    "inspect",
    "open_image",
    "save_image",
    "truncate",
    "verify",
]


if not TYPE_CHECKING:  # which would have type checkers accept any misspelt name

    def __getattr__(name: str) -> Any:
        if name not in _HOME:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(_HOME[name], __name__), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
