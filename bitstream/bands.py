"""Coding the bands of a wavelet transform by online mixing, from coarse to fine.

A coefficient's magnitude is coded as decisions whether it is above 0, 1, 2 and so on. What is known
around it (neighbours, the coarser band, the other bands of its level, the other colours) selects
counters, whose chances go through a logistic mixture with learned weights (Mahoney, "Adaptive
Weighing of Context Models for Lossless Data Compression", 2005). Signs have contexts and a mixture
of their own. Encoder and decoder learn alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import _bands
from ._bands import (
    CAPPED,
    CLASSES,
    CONTEXTS,
    DECISIONS,
    KINDS,
    PAD,
    SMOOTH,
    Learned,
    Work,
)
from ._binary import Int32s, UInt32s, UInt64s
from ._mixing import LOGISTIC_RANGE, LOGISTIC_STEPS, Float32s, Floats, UInt8s
from .binary import BinaryDecoder, BinaryEncoder, BinaryTally
from .entropy import Ints
from .mixing import exact_tables
from .tables import check_tables
from .wavelet import Place

BinaryCoder = BinaryEncoder | BinaryDecoder | BinaryTally
LESSON = Path(__file__).parent / "bands.npz"
"""What photographs have taught (training/bands.py)."""
_CRC, _LESSON_CRC = 0x29FCA68F, 0xA7401DAE
_EDGES = (0, 1, 2, 3, 4, 5, 7, 9, 12, 16, 22, 30, 44, 64, 100, 160)
"""Least sums of magnitudes of each class."""
_FREE_CONTEXTS = (0, 1, 10)
"""Contexts that tell all decisions apart."""
_WEIGHT, _SIGN_WEIGHT = 1.3, 1.75
"""Sums of the weights before anything is learned."""
_NEXT, _NEAR = 0.2, 0.1
"""Coefficients of predicted sizes before anything is learned."""
_FRACTIONS = {"features": 12, "weights": 12, "final": 12, "sign_weights": 12, "maps": 14}
_LEAST_COUNTED, _MOST_COUNTED = 2, 10
"""Counts of slots that a lesson has, and that it gives them at most."""
_WEIGHTS_SEEN = 50.0
"""Count of decisions that weights begin with."""
WORTH = 0.095
"""Squared error, in steps, that an encoder takes for a bit.

Less than the 2 ln(2) / 12 that bits are worth at high rates by theory: a coefficient that becomes
zero is missed by the contexts of others.
"""
_RUN = 1 << 16
"""Coefficients that are coded together, about: a coder reserves room for what they might take."""
_NOTHING = np.empty((0, 0), np.float32)


@cache
def _tables() -> _bands.Tables:
    tables = exact_tables()
    felt = np.rint(np.log2(1 + 2 * np.arange(128)) * 1024).astype(np.int64)
    sums = (np.searchsorted(_EDGES, np.arange(256), side="right") - 1).astype(np.uint8)
    fine = _classes((np.arange(257) + 0.5) / 512)
    coarse = _classes((np.arange(256) + 0.5) / 32)
    rates = np.rint(65536 / (np.arange(_bands.COUNT_LIMIT + 1) + 1.6)).astype(np.int64)
    small = (table.astype(np.int64) for table in (sums, fine, coarse))
    check_tables("band", _CRC, rates, felt, *small)
    caps = np.array([DECISIONS if k in _FREE_CONTEXTS else CAPPED for k in range(CONTEXTS)])
    slots = np.array(_bands.SIZES) * caps
    return _bands.Tables(
        stretch=tables.stretch,
        logistic=tables.logistic,
        rates=rates,
        felt=felt / 1024,
        sums=sums,
        fine=fine,
        coarse=coarse,
        bases=(np.cumsum(slots) - slots).astype(np.int64),
        caps=caps.astype(np.int64),
        sign_bases=(np.cumsum(_bands.SIGN_SIZES) - _bands.SIGN_SIZES).astype(np.int64),
    )


def _classes(sizes: Floats) -> UInt8s:
    """Classes of predicted sizes, four an octave."""
    found = np.rint(4 * np.log2(sizes / 0.008)) + 4
    classes: UInt8s = np.where(sizes <= 0.002, 0, np.clip(found, 0, CLASSES - 1)).astype(np.uint8)
    return classes


def untaught() -> Learned:
    """What is known of images before any was seen: nothing. For training/bands.py."""
    tables = _tables()
    half = np.uint32(1 << 31)
    features = np.zeros((KINDS * _bands.LEVELS, _bands.FEATURES))
    features[:, [0, 1, 7]], features[:, [2, 3, 10]] = _NEXT, _NEAR
    weights = np.zeros((_bands.SETS, max(_bands.ROWS) * CAPPED, CONTEXTS + 2))
    weights[..., :CONTEXTS] = _WEIGHT / CONTEXTS
    points = (np.arange(_bands.POINTS) - _bands.POINTS // 2) / 1.5
    maps = np.empty((_bands.MAPS, max(_bands.MAP_ROWS) * CAPPED, _bands.POINTS))
    steps = (points * LOGISTIC_STEPS).astype(int)
    maps[:] = exact_tables().logistic[LOGISTIC_RANGE * LOGISTIC_STEPS + steps]
    return Learned(
        slots=np.full(int(tables.caps @ _bands.SIZES), half),
        signs=np.full(sum(_bands.SIGN_SIZES), half),
        escapes=np.full((KINDS, _bands.ESCAPE_BITS), half),
        empty=np.full(KINDS, half),
        features=features,
        weights=weights,
        final=np.full((CAPPED, _bands.SETS), 1 / _bands.SETS),
        sign_weights=np.full((KINDS, _bands.SIGNS), _SIGN_WEIGHT / _bands.SIGNS),
        maps=maps,
    )


def lesson(learned: Learned) -> dict[str, NDArray[np.integer[Any]]]:
    """What photographs have taught, in whole numbers, as the bundled file holds it.

    Chances of slots are in 1/4096, with a count of up to _MOST_COUNTED in the four lower bits, and
    0 for slots that were seen less than _LEAST_COUNTED times. Other numbers are in 2^-_FRACTIONS.
    """
    found: dict[str, NDArray[np.integer[Any]]] = {}
    for name, values in learned._asdict().items():
        if values.dtype == np.uint32:
            count = np.minimum(values & 1023, _MOST_COUNTED)
            packed = values >> 20 << 4 | count
            found[name] = np.where(count < _LEAST_COUNTED, 0, packed).astype(np.uint16)
        else:
            whole = np.rint(np.ldexp(values, _FRACTIONS[name]))
            found[name] = np.clip(whole, -(2**15), 2**15 - 1).astype(np.int16)
    found["weights"][..., -1] = 0
    return found


@cache
def _lesson() -> dict[str, NDArray[np.integer[Any]]]:
    with np.load(LESSON) as file:
        parts = {name: file[name] for name in Learned._fields}
    check_tables("lesson", _LESSON_CRC, *(part.astype(np.int64) for part in parts.values()))
    return parts


def _learned() -> Learned:
    """What is known of an image before it is coded: what other photographs have taught."""
    parts: dict[str, Any] = {}
    for name, values in _lesson().items():
        if name in _FRACTIONS:
            parts[name] = np.ldexp(values.astype(np.float64), -_FRACTIONS[name])
        else:
            slots = values.astype(np.uint32)
            known = slots >> 4 << 20 | 1 << 19 | slots & 15
            parts[name] = np.where(slots, known, 1 << 31).astype(np.uint32)
    parts["weights"][..., -1] = _WEIGHTS_SEEN
    return Learned(**parts)


def _work() -> Work:
    decisions = (DECISIONS, _bands.SETS)
    return Work(
        seen=np.zeros(_bands.FEATURES + 1),
        contexts=np.zeros(CONTEXTS, np.int64),
        sign_contexts=np.zeros(_bands.SIGNS, np.int64),
        rows=np.zeros(_bands.SETS, np.int64),
        map_rows=np.zeros(_bands.MAPS, np.int64),
        at=np.zeros((DECISIONS, CONTEXTS), np.int64),
        inputs=np.zeros((DECISIONS, CONTEXTS + 1)),
        outputs=np.zeros(decisions),
        mixed=np.zeros(decisions),
        odds=np.zeros(DECISIONS),
        chances=np.zeros(DECISIONS),
        sign_inputs=np.zeros(_bands.SIGNS),
    )


@dataclass(frozen=True)
class _Rows:
    """Rows of a band, as a `binary.BinaryModel`. They are coded once, in order.

    Attributes:
        first: row of the band.
        height: number of rows.
        wanted: (height, width), what coefficients are chosen for; or (0, 0).
        worth: see `Bands.choose`.
    """

    bands: Bands
    place: Place
    first: int
    height: int
    wanted: Float32s
    worth: float

    most_bits = DECISIONS + 2 * _bands.ESCAPE_BITS + 2

    @property
    def count(self) -> int:
        return self.height * self.bands.shape(self.place)[1]

    def run(self, mode: int, symbols: Ints, state: UInt64s, words: UInt32s) -> float:
        return self.bands.run(self, mode, symbols.reshape(self.height, -1), state, words)


@dataclass(frozen=True)
class _Empty:
    """Whether all coefficients of a band are zero, as a `binary.BinaryModel`."""

    bands: Bands
    place: Place

    count = 1
    most_bits = 1

    def run(self, mode: int, symbols: Ints, state: UInt64s, words: UInt32s) -> float:
        return self.bands.run_empty(self.place, mode, symbols, state, words)


class Bands:
    """The bands of an image, coded once and in the order of `wavelet.places`.

    Args:
        height, width: of the image.
        learned: what is known before, which coding changes; None: what other photographs taught.
    """

    def __init__(self, height: int, width: int, learned: Learned | None = None) -> None:
        self._size = height, width
        self._learned = _learned() if learned is None else learned
        self._work = _work()
        self._padded: dict[Place, Int32s] = {}
        self._zeros = _padded(0, 0)

    def shape(self, place: Place) -> tuple[int, int]:
        """Rows and columns of a band."""
        rows, columns = (
            len(range(first, side, 2 << place.level))
            for first, side in zip(place.first, self._size, strict=True)
        )
        return rows, columns

    def known(self) -> dict[Place, Int32s]:
        """The coefficients so far, in steps; bands that are not there are zero."""
        return {place: band[PAD:-PAD, PAD:-PAD] for place, band in self._padded.items()}

    def code(self, coder: BinaryCoder, place: Place, coefficients: Int32s | None) -> None:
        """Code the next band.

        Args:
            coefficients: (h, w) in steps, of magnitudes up to WIDEST; None to decode them.
        """
        empty = None if coefficients is None else not coefficients.any()
        self._code(coder, place, empty, coefficients, _NOTHING, 0.0)

    def choose(
        self, coder: BinaryCoder, place: Place, wanted: Float32s, worth: float = WORTH
    ) -> None:
        """Choose and code the next band, of small squared error for its cost.

        Args:
            coder: one that writes or counts.
            wanted: (h, w), coefficients in steps, not rounded.
            worth: squared error, in steps, that a bit may cost.
        """
        empty = bool((np.abs(wanted) < 0.5).all())
        self._code(coder, place, empty, np.zeros(wanted.shape, np.int32), wanted, worth)

    def _code(
        self,
        coder: BinaryCoder,
        place: Place,
        empty: bool | None,
        coefficients: Int32s | None,
        wanted: Float32s,
        worth: float,
    ) -> None:
        height, width = self.shape(place)
        if not height or not width:
            return
        flag = None if empty is None else np.array([empty], np.int32)
        if coder.code(flag, _Empty(self, place))[0]:
            return
        self._padded[place] = _padded(height, width)
        step = -(-_RUN // width)
        for first in range(0, height, step):
            rows = slice(first, first + step)
            part = None if coefficients is None else coefficients[rows].ravel()
            count = min(step, height - first)
            coder.code(part, _Rows(self, place, first, count, wanted[rows], worth))

    def run(self, rows: _Rows, mode: int, symbols: Int32s, state: UInt64s, words: UInt32s) -> float:
        """Code rows, see `binary.BinaryModel.run`."""
        place = rows.place
        if np.abs(symbols).max() > _bands.WIDEST:
            raise ValueError("a coefficient is too large")
        return float(
            _bands.code_rows(
                mode,
                place.kind,
                place.level,
                rows.first,
                symbols,
                rows.wanted,
                rows.worth,
                self._around(place),
                self._learned,
                _tables(),
                self._work,
                state,
                words,
            )
        )

    def run_empty(
        self, place: Place, mode: int, symbols: Ints, state: UInt64s, words: UInt32s
    ) -> float:
        """Code whether a band is zero, see `binary.BinaryModel.run`."""
        empty, bits = _bands.code_empty(
            mode, int(symbols[0]), place.kind, self._learned, _tables(), state, words
        )
        symbols[0] = empty
        return float(bits)

    def _nothing(self, height: int, width: int) -> Int32s:
        """Zeros in place of a band that is not there, of the last shape that was asked for."""
        if self._zeros.shape != (height + 2 * PAD, width + 2 * PAD):
            self._zeros = _padded(height, width)
        return self._zeros

    def _around(self, place: Place) -> _bands.Band:
        height, width = self.shape(place)
        nothing = self._nothing(height, width)

        def beside(level: int, orientation: int, colour: int) -> Int32s:
            other = Place(level, orientation, colour)
            return self._padded.get(other, nothing)

        level, orientation, colour = place.level, place.orientation, place.colour
        details = orientation != SMOOTH
        return _bands.Band(
            own=self._padded[place],
            parent=beside(level + 1, orientation, colour) if details else nothing,
            first=beside(level, orientation, colour - 1),
            second=beside(level, orientation, colour - 2),
            left=beside(level, 0, colour) if details and orientation > 0 else nothing,
            right=beside(level, 1, colour) if details and orientation > 1 else nothing,
        )


def _padded(height: int, width: int) -> Int32s:
    return np.zeros((height + 2 * PAD, width + 2 * PAD), np.int32)
