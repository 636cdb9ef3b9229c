"""Codec ids: literal, append-only numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..bitstream.errors import OptionError, UnknownIdError
from .ardm import Ardm
from .fallbacks import Png, WebP
from .protocol import Codec

_CODECS: tuple[Codec, ...] = (Ardm(), WebP(), Png())
FALLBACKS: tuple[tuple[Codec, Mapping[str, Any]], ...] = (
    (WebP(), {}),
    (Png(), {}),
    (WebP(), {"thorough": True}),
)
"""Codecs and options to fall back to, the fast ones first."""


def by_id(number: int) -> Codec:
    """The codec of a file.

    Raises:
        UnknownIdError: names the codecs that this release knows.
    """
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
