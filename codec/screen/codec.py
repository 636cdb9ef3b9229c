"""The screen codec: options, header fields, and which images it is for.

An image with two colours is coded as a page of bits, any other one of 8-bit samples pixel by pixel
(coding.py). There is one data section.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from ...bitstream.header import VARINT, Field
from ..image.raster import Raster, Samples
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
_RUN = 8
"""Pixels of the runs of which some must occur again where neighbours differ, as in tiles."""
_FACTOR = np.uint64(0x9E3779B97F4A7C15)
"""Of a hash: 2^64 over the golden ratio (Knuth, section 6.4)."""
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
    """Whether an image repeats enough pixels, or runs of them, to try this codec beside others."""
    samples = raster.samples
    if samples.dtype != np.uint8:
        return False
    different = np.ones(samples.shape[:2], bool)
    different[:, 1:] = np.any(samples[:, 1:] != samples[:, :-1], axis=2)
    different[1:] &= np.any(samples[1:] != samples[:-1], axis=2)
    count = int(different.sum())
    if count > MOST_DIFFERENT:
        return False
    return count <= (1 - LEAST_REPEATED) * different.size or _repeated(samples) >= LEAST_REPEATED


def _repeated(samples: Samples) -> float:
    """Share of the runs of 8 pixels of a row, in an image (h, w, c), that occur again."""
    values = samples.reshape(len(samples), -1).astype(np.uint64)
    channels = samples.shape[2]
    length = values.shape[1] - _RUN * channels
    if length <= 0:
        return 0.0
    hashes = np.zeros((len(values), length), np.uint64)
    for place in range(_RUN * channels):
        hashes = hashes * _FACTOR + values[:, place : place + length]
    runs = hashes[:, ::channels] * _FACTOR
    looked_at = runs[runs >> np.uint64(60) == 0]
    return 1 - len(np.unique(looked_at)) / max(len(looked_at), 1)
