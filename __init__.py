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
    from .bitstream.errors import (
        CorruptError,
        FieldError,
        LimitError,
        ModelError,
        NoisepressError,
        NotNoisepressError,
        OptionError,
        TruncatedError,
        UnknownIdError,
        UnsupportedImageError,
        VersionError,
    )
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
    from .codec.ardm.codec import Ardm
    from .codec.diffc.codec import Diffc
    from .codec.fallback.codecs import Png, WebP
    from .codec.hfd.codec import Hfd
    from .codec.image.raster import Mode, Raster
    from .codec.image.read import open_image
    from .codec.image.write import save_image
    from .codec.options import Options
    from .codec.protocol import Decoding
    from .codec.vdm.codec import Vdm

__version__ = "0.1.0"

_HOMES = {
    ".bitstream.container": ("Limits",),
    ".bitstream.errors": (
        "CorruptError",
        "FieldError",
        "LimitError",
        "ModelError",
        "NoisepressError",
        "NotNoisepressError",
        "OptionError",
        "TruncatedError",
        "UnknownIdError",
        "UnsupportedImageError",
        "VersionError",
    ),
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
    ".codec.archive": (
        "Archive",
        "Member",
        "archive",
    ),
    ".codec.ardm.codec": ("Ardm",),
    ".codec.diffc.codec": ("Diffc",),
    ".codec.fallback.codecs": (
        "Png",
        "WebP",
    ),
    ".codec.hfd.codec": ("Hfd",),
    ".codec.image.raster": (
        "Mode",
        "Raster",
    ),
    ".codec.image.read": ("open_image",),
    ".codec.image.write": ("save_image",),
    ".codec.options": ("Options",),
    ".codec.protocol": ("Decoding",),
    ".codec.vdm.codec": ("Vdm",),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Archive",
    "Ardm",
    "CorruptError",
    "Decoding",
    "Diffc",
    "FieldError",
    "FileInfo",
    "Hfd",
    "LimitError",
    "Limits",
    "Member",
    "Mode",
    "ModelError",
    "NoisepressError",
    "NotNoisepressError",
    "OptionError",
    "Options",
    "Png",
    "Raster",
    "TruncatedError",
    "UnknownIdError",
    "UnsupportedImageError",
    "Vdm",
    "VersionError",
    "WebP",
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
