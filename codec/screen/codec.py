"""The screen codec: options, header fields, and which images it is for.

An image with two colours is coded as a page of bits, any other one of 8-bit samples pixel by pixel
(coding.py). There is one data section.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from ...bitstream.header import VARINT, Field
from ..image.raster import Raster
from ..options import Options
from ..parameters import Parameters, choice
from ..protocol import DeferredCodec

KINDS = ("pixels", "page")
_COLOUR = Field("zero", VARINT, 0, 2**32 - 1, "pixel that 0 stands for", only_if=("kind", 1))
FIELDS = (
    choice("kind", "0 pixels of any colour, 1 a page of two", KINDS),
    _COLOUR,
    replace(_COLOUR, name="one", doc="pixel that 1 stands for"),
)

LEAST_REPEATED = 0.25
"""Share of pixels like their left or upper neighbour from which an image may be for this codec."""
MOST_DIFFERENT = 2**20
"""Pixels unlike both neighbours, each of which takes up to 30 microseconds."""


@dataclass(frozen=True, kw_only=True)
class Screen(Options):
    """Options of the lossless codec `screen`, for layouts of 8 bits or less: none."""


@dataclass(frozen=True)
class ScreenParameters(Parameters):
    """What a decoder needs to know, see `FIELDS`."""

    CODEC: ClassVar[str] = "screen"
    FIELDS: ClassVar[tuple[Field, ...]] = FIELDS
    MODELS: ClassVar[tuple[str, ...]] = ()

    kind: str
    zero: int = 0
    one: int = 0


class ScreenCodec(DeferredCodec):
    """The codec behind the common protocol (codec/protocol.py)."""

    ID: ClassVar[int] = 8
    NAME: ClassVar[str] = "screen"
    LOSSLESS: ClassVar[bool] = True
    OPTIONS: ClassVar[type[Options]] = Screen
    PARAMETERS: ClassVar[type[Parameters]] = ScreenParameters


def may_win(raster: Raster) -> bool:
    """Whether an image repeats enough pixels to try this codec beside others."""
    samples = raster.samples
    if samples.dtype != np.uint8:
        return False
    different = np.ones(samples.shape[:2], bool)
    different[:, 1:] = np.any(samples[:, 1:] != samples[:, :-1], axis=2)
    different[1:] &= np.any(samples[1:] != samples[:-1], axis=2)
    count = int(different.sum())
    return count <= min((1 - LEAST_REPEATED) * different.size, MOST_DIFFERENT)
