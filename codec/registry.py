"""Codec ids: literal, append-only numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..bitstream.errors import OptionError, UnknownIdError
from .ardm.codec import Ardm
from .diffc.codec import Diffc
from .fallback.codecs import Png, WebP
from .hfd.codec import Hfd
from .protocol import Codec
from .vdm.codec import Vdm

ARCHIVE = 16
"""In place of a codec's id: the file holds many images (codec/archive.py)."""

_CODECS: tuple[Codec, ...] = (Ardm(), WebP(), Png(), Diffc(), Vdm(), Hfd())


@dataclass(frozen=True)
class Attempt:
    """A codec and its options."""

    codec: str
    options: Mapping[str, Any]


FALLBACKS = (
    (Attempt("webp", {}), 0.0),
    (Attempt("png", {}), 0.0),
    (Attempt("webp", {"effort": 1}), 0.95),
    (Attempt("webp", {"effort": 2}), 1.0),
    (Attempt("webp", {"effort": 3}), 1.0),
)
"""What an encoder tries besides ardm, the fast ones first.

An attempt is not worth its time where ardm's file has less than the given share of the best
fallback so far. The second of WebP shrinks files by up to 4 %. The others take several times as
long, for at most 0.2 % of photographs, and are for images that WebP wins.
"""


def by_id(number: int) -> Codec:
    """The codec of a file.

    Raises:
        UnknownIdError: names the codecs that this release knows, or says that it is no image.
    """
    if number == ARCHIVE:
        raise UnknownIdError("the file is an archive, whose images are listed and extracted")
    for codec in _CODECS:
        if number == codec.ID:
            return codec
    known = ", ".join(f"{codec.ID} ({codec.NAME})" for codec in _CODECS)
    raise UnknownIdError(f"codec {number} is not known to this release, which has {known}")


def by_name(name: str) -> Codec:
    """The codec that a user asks for.

    Raises:
        OptionError: names the codecs that this release knows.
    """
    for codec in _CODECS:
        if name == codec.NAME:
            return codec
    known = ", ".join(codec.NAME for codec in _CODECS)
    raise OptionError(f"unknown codec {name!r}; supported are {known}")
