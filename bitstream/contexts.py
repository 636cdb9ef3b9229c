"""Context mixing in raster order, for two-level pages, palette images and screenshots.

What stands around a pixel is hashed to slots that have counted the bits before; their chances go
through a logistic mixture whose weights are learned (Mahoney, "Adaptive Weighing of Context Models
for Lossless Data Compression", 2005). An earlier place with the same neighbours predicts too, which
does the work of a dictionary of glyphs. Encoder and decoder learn alike, and nothing is trained.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Protocol

import numpy as np

from . import _contexts
from ._binary import UInt32s, UInt64s
from ._contexts import CANDIDATES, MATCHES, PAD, PREDICTIONS, SETS, Functions, Learned, Match
from ._mixing import LOGISTIC_RANGE, LOGISTIC_STEPS, Int64s, UInt8s
from .entropy import Ints, check_range
from .mixing import exact_tables
from .tables import check_tables

_CRC = 0xDD5B4F0B
_LARGEST = (40, 20, 10, 7, 6, 5)
"""Highest count of the more frequent bit in a history, by the count of the other one."""

_PAGE_CONTEXTS: Sequence[Sequence[tuple[int, int]]] = (
    ((4, 0), (2, 2), (1, 1)),
    ((4, 0), (3, 3), (2, 2)),
    ((6, 0), (4, 3), (3, 2), (1, 1)),
    ((3, 0), (3, 3), (3, 3), (2, 2)),
    ((8, 0), (6, 5)),
    ((2, 0), (2, 2), (2, 2), (2, 2), (1, 1)),
    ((5, 0), (5, 5), (5, 5), (3, 3)),
    ((7, 0), (7, 7), (6, 6), (5, 5), (4, 4)),
    ((1, 0), (1, 1), (1, 1), (1, 1), (1, 1), (1, 1), (1, 1)),
    ((16, 0), (3, 3)),
    ((4, 0), (3, 8), (2, 6)),
    ((10, 0), (10, 10), (10, 10), (8, 8), (7, 7), (5, 5)),
    ((6, 0), (6, 6), (6, 6), (6, 6), (6, 6), (6, 6), (6, 6)),
    ((3, 0), (2, 2)),
    ((5, 0), (4, 4), (4, 4), (3, 3), (2, 2)),
)
"""Columns to the left and to the right, of the row at hand and of those above it."""
_PAGE_MATCHES: Sequence[Sequence[tuple[int, int]]] = (
    ((12, 0), (10, 10), (10, 10), (10, 10), (8, 8), (6, 6), (4, 4)),
    ((7, 0), (6, 6), (5, 5), (4, 4), (2, 2)),
)
_FLAG_CONTEXTS, _LEVEL_CONTEXTS = 12, 12
_PAGE_SLOTS, _FLAG_SLOTS, _LEVEL_SLOTS = 20, 16, 20
"""log2 of the slots of a context, at most."""
_PAGE_RATE, _PIXEL_RATE = 0.002, 0.005
_CONTEXT_WEIGHT, _FURTHER_WEIGHT = 1.2, 0.1
"""Weights before anything is learned: of the inputs of all contexts together; of each other one."""
_FIRST_ERROR = 8.0


@cache
def _functions() -> Functions:
    tables = exact_tables()
    rates = np.rint(65536 / (np.arange(_contexts.COUNT_LIMIT + 1) + 1.6)).astype(np.int64)
    following, chances = _histories()
    check_tables("context", _CRC, rates, following.astype(np.int64), chances)
    return Functions(tables.stretch, tables.logistic, rates, following)


@cache
def _histories() -> tuple[UInt8s, Int64s]:
    """What follows on a history, and the chance of 1 after it at first, in 2^-16.

    A history is how often 0 and 1 came and which of them came last. Counts are limited, and a bit
    makes a high count of the other one lower.
    """

    def allowed(few: int, many: int) -> bool:
        return few < len(_LARGEST) and many <= _LARGEST[few]

    histories = [
        (zeros, total - zeros, last)
        for total in range(sum(_LARGEST))
        for zeros in range(total + 1)
        if allowed(min(zeros, total - zeros), max(zeros, total - zeros))
        for last in (0, 1)
        if (zeros and total - zeros) or last == (zeros < total)
    ]
    places = {history: place for place, history in enumerate(histories)}
    following = np.zeros((256, 2), np.uint8)
    chances = np.full(256, 1 << 15, np.int64)
    for (zeros, ones, last), place in places.items():
        chances[place] = (65536 * (5 * ones + 2)) // (5 * (zeros + ones) + 4)
        for bit in (0, 1):
            same, other = (ones, zeros) if bit else (zeros, ones)
            same += 1
            if other > 2:
                other = 2 + (other - 2) // 3 if other < 12 else 5
            while not allowed(min(same, other), max(same, other)):
                if same > other:
                    same -= 1
                else:
                    other -= 1
            counts = (other, same) if bit else (same, other)
            last = bit if min(counts) else int(counts[0] < counts[1])
            following[place, bit] = places[(*counts, last)]
    return following, chances


def _learned(
    contexts: int, slots: int, kinds: int, further: int, rows: tuple[int, int], rate: float
) -> Learned:
    inputs = 2 * contexts + further + 1
    weights = np.zeros((SETS, rows[0], inputs + 1))
    weights[..., : 2 * contexts] = _CONTEXT_WEIGHT / contexts
    weights[..., 2 * contexts : -2] = _FURTHER_WEIGHT
    chances = np.empty((kinds, contexts, 256))
    chances[:] = _histories()[1] / 65536
    points = (np.arange(_contexts.POINTS) - _contexts.POINTS // 2) / 1.5
    middle = LOGISTIC_RANGE * LOGISTIC_STEPS
    maps = np.empty((_contexts.MAPS, rows[1], _contexts.POINTS))
    steps = (points * LOGISTIC_STEPS).astype(int)
    maps[:] = exact_tables().logistic[middle + steps]
    return Learned(
        last_rate=rate,
        slots=np.zeros((contexts, 1 << slots), np.uint32),
        histories=np.zeros((contexts, 1 << slots), np.uint16),
        chances=chances,
        weights=weights,
        final=np.full((kinds, SETS), 1 / SETS),
        maps=maps,
        hashes=np.zeros(contexts, np.uint64),
        rows=np.zeros(SETS, np.int64),
        map_rows=np.zeros(_contexts.MAPS, np.int64),
        further=np.zeros(further),
        at=np.zeros(contexts, np.int64),
        inputs=np.zeros(inputs),
        outputs=np.zeros(SETS),
        mixed=np.zeros(SETS),
    )


def _match(kinds: int) -> Match:
    right = np.empty((kinds, MATCHES, _contexts.LENGTHS))
    right[:] = 1 - 1 / (2 * np.arange(_contexts.LENGTHS) + 3)
    return Match(
        places=np.zeros((MATCHES, 1 << _contexts.MATCH_BITS), np.int32),
        at=np.zeros(MATCHES, np.int64),
        lengths=np.zeros(MATCHES, np.int64),
        right=right,
        classes=np.zeros(MATCHES, np.int64),
        hashes=np.zeros(MATCHES, np.uint64),
    )


def _slots(most: int, pixels: int) -> int:
    """log2 of the slots of a context: as many as an image has pixels, within limits."""
    return min(max(pixels.bit_length(), 12), most)


class Image(Protocol):
    """What is known of an image whose rows are coded one after another.

    Attributes:
        width: in pixels.
        most_bits: that a pixel takes.
    """

    width: int
    most_bits: int

    def run(self, mode: int, first: int, rows: Ints, state: UInt64s, words: UInt32s) -> float:
        """Code rows (h, width) from row `first` on, see `binary.BinaryModel.run`."""
        ...


@dataclass(frozen=True)
class Rows:
    """The next rows of an image, as a `binary.BinaryModel`. They are coded once, in order.

    Attributes:
        first: row of the image.
        height: number of rows.
    """

    image: Image
    first: int
    height: int

    @property
    def count(self) -> int:
        return self.height * self.image.width

    @property
    def most_bits(self) -> int:
        return self.image.most_bits

    def run(self, mode: int, symbols: Ints, state: UInt64s, words: UInt32s) -> float:
        rows = symbols.reshape(self.height, self.image.width)
        return self.image.run(mode, self.first, rows, state, words)


class Page:
    """An image whose pixels are 0 and 1."""

    most_bits = 1

    def __init__(self, height: int, width: int) -> None:
        self.width = width
        rows = _contexts.PAGE_ROWS
        contexts = len(_PAGE_CONTEXTS)
        self._pixels = np.zeros((height + rows) * (width + PAD), np.uint8)
        self._masks, self._match_masks = _masks(_PAGE_CONTEXTS), _masks(_PAGE_MATCHES)
        self._registers = np.zeros(rows + 1, np.uint64)
        slots = _slots(_PAGE_SLOTS, height * width)
        self._learned = _learned(contexts, slots, 1, 2 * MATCHES, (64, 4096), _PAGE_RATE)
        self._match = _match(1)

    def run(self, mode: int, first: int, rows: Ints, state: UInt64s, words: UInt32s) -> float:
        """See `Image.run`."""
        check_range(rows, 2)
        return float(
            _contexts.code_page(
                mode,
                first,
                rows,
                self._pixels,
                self._masks,
                self._match_masks,
                self._registers,
                self._learned,
                self._match,
                _functions(),
                state,
                words,
            )
        )


def _masks(shapes: Sequence[Sequence[tuple[int, int]]]) -> UInt64s:
    masks = np.zeros((len(shapes), _contexts.PAGE_ROWS + 1), np.uint64)
    for number, shape in enumerate(shapes):
        for row, (left, right) in enumerate(shape):
            columns = (1 << left) - 1 if row == 0 else (1 << (left + right + 1)) - 1
            masks[number, row] = columns << (_contexts.RIGHT - right if row else 0)
    return masks


class Pixels:
    """An image of 1 to 4 samples of 8 bits a pixel, the first one lowest in a pixel's number."""

    def __init__(self, height: int, width: int, channels: int) -> None:
        self.width = width
        self.most_bits = CANDIDATES + 8 * channels
        self._channels = channels
        size = PAD + (height + _contexts.PIXEL_ROWS) * (width + PAD)
        self._colours = _contexts.Colours(
            pixels=np.zeros(size, np.uint32),
            found=np.zeros(size, np.uint8),
            recent=np.zeros(1 << _contexts.RECENT_BITS, np.uint32),
            checks=np.zeros(1 << _contexts.RECENT_BITS, np.uint32),
            candidates=np.zeros(CANDIDATES, np.int64),
            sources=np.zeros(CANDIDATES, np.int64),
        )
        pixels, sources = height * width, CANDIDATES << _contexts.SOURCES
        self._flags = _learned(
            _FLAG_CONTEXTS,
            _slots(_FLAG_SLOTS, pixels),
            CANDIDATES,
            2 * MATCHES,
            (CANDIDATES << 8, 9 * sources),
            _PIXEL_RATE,
        )
        self._levels = _learned(
            _LEVEL_CONTEXTS,
            _slots(_LEVEL_SLOTS, pixels),
            channels,
            PREDICTIONS,
            (channels << 8, 8 * channels * _contexts.ROUGH),
            _PIXEL_RATE,
        )
        self._match = _match(CANDIDATES)
        self._fit = _fit(channels)

    def run(self, mode: int, first: int, rows: Ints, state: UInt64s, words: UInt32s) -> float:
        """See `Image.run`."""
        return float(
            _contexts.code_pixels(
                mode,
                first,
                rows,
                self._channels,
                self._colours,
                self._flags,
                self._levels,
                self._match,
                self._fit,
                _functions(),
                state,
                words,
            )
        )


def _fit(channels: int) -> _contexts.Fit:
    size = _contexts.OWN + _contexts.EARLIER * (channels - 1)
    return _contexts.Fit(
        products=np.zeros((channels, size, size)),
        targets=np.zeros((channels, size)),
        fits=np.zeros((channels, size)),
        counts=np.zeros(channels, np.int64),
        errors=np.full((channels, PREDICTIONS, _contexts.ROUGH), _FIRST_ERROR),
        predicted=np.zeros(PREDICTIONS),
        regressors=np.zeros(size),
        system=np.zeros((size, size)),
        lower=np.zeros((size, size)),
        half=np.zeros(size),
    )
