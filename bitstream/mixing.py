"""Online mixing: a network's distributions, corrected while an image is coded by what it shows.

Samples of a plane are coded in raster order, each as a few decisions relative to its prediction.
The chance of a decision is a logistic mixture (Mahoney, "Adaptive Weighing of Context Models for
Lossless Data Compression", 2005) of experts: the network as it is; the network with a bias and a
scale that are learned from errors nearby; least-squares predictions from the samples around; the
last values in a context; and counts of decisions in a context. Encoder and decoder learn alike.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from . import _mixing
from ._binary import UInt32s, UInt64s
from ._mixing import PAD, Before, Contexts, Floats, Memory, Place, Plane, Tables, Work
from .entropy import Ints, LogisticMixture, check_range
from .tables import check_tables

Samples = NDArray[Any]
Float32s = NDArray[np.float32]
Offsets = tuple[tuple[int, int], ...]
"""Rows and columns from a sample to its neighbours."""

_CRC = 0x0ABEC54A
_FIRST_WEIGHTS = (0.1, 0.25, 0.3, 0.1, 0.1, 0.03, 0.03)
"""The mixer's weights of distributions before it learns; those of counts are 0."""
_FIRST_ERROR = 8.0
"""Error around the samples of the coarsest level."""
_FADE = 0.8
"""Errors of a level as a guess at those of the next finer one."""


@dataclass(frozen=True)
class Depth:
    """What values samples may have, and how fine the levels are in which errors are measured.

    Attributes:
        values: samples are 0 to values - 1, 1 to 2^16 values.
        shift: a level is 2^shift values, 0 to 8.
    """

    values: int = 256
    shift: int = 0

    @property
    def bits(self) -> int:
        """Of a sample, at least 8."""
        return max(8, (self.values - 1).bit_length())

    @property
    def dtype(self) -> type[np.uint8 | np.uint16]:
        """Of samples."""
        return np.uint8 if self.bits == 8 else np.uint16

    @property
    def levels(self) -> int:
        """Levels in which samples may be."""
        return ((self.values - 1) >> self.shift) + 1

    @property
    def most_decisions(self) -> int:
        """Decisions that a sample takes at most: on one side, back in the range that is left, and
        below the level."""
        return 2 * (self.levels - 1).bit_length() + 3 + self.shift


BYTE = Depth()
"""All values of 8 bits."""


@dataclass(frozen=True)
class Neighbourhood:
    """Where the samples of a phase lie, and the neighbours that are known of each.

    Attributes:
        row, column: of the first sample in a block; they are 2 apart.
        nearest: offsets (row, column) of the nearest neighbours that come before the phase.
        further: those of others in the same channel, which come before the sample.
        others: those in channels before this one, all of whose samples of the phase are known.
    """

    row: int
    column: int
    nearest: Offsets
    further: Offsets
    others: Offsets


@dataclass(frozen=True)
class Earlier:
    """The neighbours of a sample in the frames before, in every phase.

    Attributes:
        latest, second: offsets (row, column) in the latest frame, and in the one before it.
        beside: those in channels that come before, in the latest frame.
    """

    latest: Offsets = ()
    second: Offsets = ()
    beside: Offsets = ()


@cache
def exact_tables() -> Tables:
    steps = np.arange((1 << _mixing.LOG_BITS) + 2) / (1 << _mixing.LOG_BITS)
    arguments = np.arange(2 * _mixing.LOGISTIC_RANGE * _mixing.LOGISTIC_STEPS + 1)
    chances = (np.arange(4096) + 0.5) / 4096
    powers = np.arange((_mixing.POWER_HIGH - _mixing.POWER_LOW) * _mixing.POWER_STEPS + 2)
    scales = np.arange(_mixing.SCALE_LOW, _mixing.SCALE_HIGH + 1) / _mixing.SCALE_UNITS
    exact = {
        "log": (np.log1p(steps), 32),
        "logistic": (
            1 / (1 + np.exp(_mixing.LOGISTIC_RANGE - arguments / _mixing.LOGISTIC_STEPS)),
            34,
        ),
        "stretch": (np.log(chances / (1 - chances)), 28),
        "weights": (np.exp2(-np.arange(513) / 32), 34),
        "inverse": (np.exp2(-scales), 30),
        "power": (np.exp2(-_mixing.POWER_LOW - powers / _mixing.POWER_STEPS), 30),
        "rates": (65536 / (np.arange(64) + 1.6), 0),
    }
    whole = {name: np.rint(np.ldexp(values, bits)) for name, (values, bits) in exact.items()}
    check_tables("mixing", _CRC, *(values.astype(np.int64) for values in whole.values()))
    scaled = {name: np.ldexp(whole[name], -bits) for name, (_, bits) in exact.items()}
    return Tables(**{**scaled, "rates": whole["rates"].astype(np.int64)})


def _memory(channel: int, regressors: int) -> Memory:
    odds = np.arange(_mixing.BUCKETS) / 2 - 15
    at = (np.clip(odds, -15, 15) + _mixing.LOGISTIC_RANGE) * _mixing.LOGISTIC_STEPS
    rows = _mixing.NODES * _mixing.KINDS
    weights = np.zeros((_mixing.SETS, rows, _mixing.COLUMNS))
    weights[..., : _mixing.DISTRIBUTIONS] = _FIRST_WEIGHTS
    maps = np.empty((_mixing.MAPS, rows, _mixing.BUCKETS))
    maps[:] = exact_tables().logistic[at.astype(int)]
    return Memory(
        bias=np.zeros(5 + channel),
        bias_power=np.full(5 + channel, 1e-3),
        gain=np.zeros(7 + 2 * channel),
        gain_power=np.full(7 + 2 * channel, 1e-3),
        products=np.zeros((regressors, regressors)),
        targets=np.zeros(regressors),
        weights=weights,
        final=np.full((_mixing.NODES, _mixing.SETS), 1 / _mixing.SETS),
        maps=maps,
    )


def _contexts(depth: Depth, counted: int) -> Contexts:
    # Levels with fractions need a float; for bytes the kernel is compiled on its own.
    level: DTypeLike = np.uint8 if depth == BYTE else np.float32
    slots, counts = 1 << _mixing.RECENT_BITS, 1 << _mixing.COUNT_BITS
    return Contexts(
        values=np.zeros((_mixing.RECENT, slots, _mixing.REMEMBERED), level),
        filled=np.zeros((_mixing.RECENT, slots), np.int32),
        counts=np.zeros((counted, counts), np.uint32),
    )


Memories = Sequence[Sequence[Memory]]
"""The memories of each phase and channel."""


class Mixer:
    """All that is learned of an image, level after level and block after block.

    Of a sequence of frames of equal size it is learned from all; the levels of each come from
    coarse to fine, and the finest one has memories of its own.

    Args:
        channels: of the image.
        phases: of the phases in which a block is coded.
        depth: of its samples.
        earlier: neighbours in the frames before; None for a single image.
    """

    def __init__(
        self,
        channels: int,
        phases: Sequence[Neighbourhood],
        depth: Depth = BYTE,
        earlier: Earlier | None = None,
    ) -> None:
        self.channels, self.phases, self.depth = channels, phases, depth
        self.earlier = earlier or Earlier()
        counted = _mixing.COUNTED + (_mixing.COUNTED_BEFORE if earlier else 0)
        self._contexts = [_contexts(depth, counted) for _ in range(channels)]
        self._memories: Memories = [
            [
                _memory(channel, _regressors(phase, self.earlier, channel))
                for channel in range(channels)
            ]
            for phase in phases
        ]
        self._coarse = self._memories
        self._finest: Memories | None = None
        self._coarser: Float32s = np.zeros((channels, 0, 0), np.float32)
        self._errors = self._coarser
        self._level = 0
        self._frames: list[Samples] = []
        self._past = self._coarser
        self._pasts: dict[int, Float32s] = {}

    def learned(self, phase: int, channel: int) -> tuple[Contexts, Memory]:
        """What is learned of a channel: of its contexts, and in a phase."""
        return self._contexts[channel], self._memories[phase][channel]

    def start_level(self, level: int, height: int, width: int) -> None:
        """Start a level of the pyramid; what was learned of the one before is trusted less.

        Of frames that follow others, what was learned of the level is trusted as it is.
        """
        self._level = level
        self._coarser = self._errors
        self._errors = np.zeros((self.channels, height, width), np.float32)
        self._past = self._pasts.get(level, self._past)
        self._pasts[level] = self._errors
        if not self._frames:
            for memory in chain.from_iterable(self._memories):
                memory.products[:] *= _mixing.LEVEL_KEEP
                memory.targets[:] *= _mixing.LEVEL_KEEP
        elif self._finest is None:
            self._finest = self._memories
            self._coarse = [[_copy(memory) for memory in row] for row in self._memories]
        if self._finest is not None:
            self._memories = self._coarse if level else self._finest

    def finish_frame(self, samples: Samples) -> None:
        """End a frame of a sequence.

        Args:
            samples: (h, w, c), channels in coding order.
        """
        self._frames = [samples, *self._frames[:1]]
        self._errors = np.zeros((self.channels, 0, 0), np.float32)

    def block(self, top: int, left: int, even: Samples) -> Block:
        """Start a block of the level.

        Args:
            top, left: its first row and column, which are even.
            even: (ceil(h / 2), ceil(w / 2), c), its samples that are known: those of even rows and
                columns, channels in coding order.
        """
        rows, columns = even.shape[:2]
        errors = self._errors[:, top : top + 2 * rows, left : left + 2 * columns]
        half = self._coarser[:, top // 2 :, left // 2 :][:, :rows, :columns]
        if not half.size:
            half = np.full((self.channels, rows, columns), _FIRST_ERROR, np.float32)
        return Block(self, even, half, errors, self._before(top, left, *errors.shape[1:]))

    def _before(self, top: int, left: int, height: int, width: int) -> Before | None:
        """A block of the level in the frames before."""
        if not self._frames:
            return None
        step = 1 << self._level
        rows, columns = slice(top, top + height), slice(left, left + width)
        windows = np.stack([frame[::step, ::step][rows, columns] for frame in self._frames])
        levels = 2.0**-self.depth.shift * np.moveaxis(windows, 3, 1).astype(np.float64)
        return Before(
            frames=_bordered(levels),
            errors=_bordered(self._past[:, rows, columns].astype(np.float64)),
            latest=_offsets(self.earlier.latest),
            second=_offsets(self.earlier.second),
            beside=_offsets(self.earlier.beside),
        )


def _copy(memory: Memory) -> Memory:
    return Memory(*(array.copy() for array in memory))


def _regressors(phase: Neighbourhood, earlier: Earlier, channel: int) -> int:
    """Number of regressors of the least-squares predictions."""
    own = len(phase.nearest) + len(phase.further) + len(earlier.latest) + len(earlier.second)
    return own + channel * (len(phase.others) + len(earlier.beside)) + 2


class Block:
    """What is known of a block while its phases are coded.

    Args:
        even: see `Mixer.block`.
        coarser: (c, ceil(h / 2), ceil(w / 2)), magnitudes of the errors around them.
        errors: (c, h, w), receives those of the block.
        before: the block in the frames before, if there are any.
    """

    def __init__(
        self,
        mixer: Mixer,
        even: Samples,
        coarser: Float32s,
        errors: Float32s,
        before: Before | None,
    ) -> None:
        self._mixer, self._errors, self._before = mixer, errors, before
        self._grain = 2.0**-mixer.depth.shift
        self._planes = self._enlarge(self._grain * np.moveaxis(even, 2, 0).astype(np.float64))
        self._magnitudes = self._enlarge(_FADE * coarser.astype(np.float64))

    def _enlarge(self, planes: Floats) -> Floats:
        """Planes (c, h', w') at twice the resolution, with borders."""
        height, width = self._errors.shape[1:]
        whole = planes.repeat(2, 1).repeat(2, 2)[:, :height, :width]
        return _bordered(whole)

    def phase(self, index: int) -> Callable[[int, int, LogisticMixture], MixedRows]:
        """Start a phase of the block.

        Returns:
            A function that gives the distributions of rows of one channel, by the channel's index
            in coding order, the first row in the phase, and the network's mixtures. A channel's
            rows are coded in order, each after those of the channels before it up to the row below.
            What it gives for different channels may be coded at the same time.
        """
        phase, depth = self._mixer.phases[index], self._mixer.depth
        channels, height, width = self._errors.shape
        shape = (height - phase.row + 1) // 2, (width - phase.column + 1) // 2
        residuals = np.zeros((channels, *shape))
        surprises = np.zeros((channels, shape[0] + 3, shape[1] + 5))
        own = np.array((*phase.nearest, *phase.further), np.int64)
        others = np.array(phase.others, np.int64)

        def known(channel: int) -> tuple[Depth, Place, Plane, Before | None, Contexts, Memory]:
            contexts, memory = self._mixer.learned(index, channel)
            place = Place(
                self._planes,
                self._magnitudes,
                residuals,
                surprises,
                own,
                others,
                phase.row,
                phase.column,
                len(phase.nearest),
                channel,
                depth.levels,
                depth.shift,
                self._grain,
            )
            plane = _plane(shape, memory.targets.size)
            return depth, place, plane, self._before, contexts, memory

        of_channels = [known(channel) for channel in range(channels)]
        return lambda channel, first, mixture: MixedRows(
            first, shape[1], mixture, *of_channels[channel]
        )

    def finish(self) -> None:
        """Keep the block's errors for the next level."""
        height, width = self._errors.shape[1:]
        self._errors[:] = self._magnitudes[:, PAD : PAD + height, PAD : PAD + width]


def _bordered(planes: Floats) -> Floats:
    """Planes (..., h, w) with borders."""
    sides = ((0, 0),) * (planes.ndim - 2)
    return np.pad(planes, (*sides, (PAD, PAD), (PAD, PAD)), mode="edge")


def _offsets(offsets: Offsets) -> _mixing.Int64s:
    return np.array(offsets, np.int64).reshape(-1, 2)


def _plane(shape: tuple[int, int], regressors: int) -> Plane:
    height, width = shape
    runs = -(-width // _mixing.RUN)
    fits = np.zeros((_mixing.FITTED, regressors))
    fits[:, -1] = 1
    return Plane(
        products=np.zeros((runs, regressors, regressors)),
        targets=np.zeros((runs, regressors)),
        fits=fits,
        network_errors=np.zeros((height + 1, width + 5)),
        fit_errors=np.zeros((3, height + 1, width + 5)),
    )


def _work(components: int, regressors: int, channel: int, counts: int) -> Work:
    double = np.zeros(1)
    return Work(
        mean=np.zeros(components),
        inverse=np.zeros(components),
        weight=np.zeros(components),
        regressors=np.zeros(regressors),
        biases=np.zeros(5 + channel),
        gains=np.zeros(7 + 2 * channel),
        predicted=np.zeros(3),
        moved=np.zeros(_mixing.SHAPED),
        scaled=np.ones(_mixing.SHAPED),
        slopes=np.zeros(_mixing.FITTED),
        below=np.zeros(_mixing.DISTRIBUTIONS),
        above=np.zeros(_mixing.DISTRIBUTIONS),
        at=np.zeros(_mixing.DISTRIBUTIONS),
        inputs=np.zeros(_mixing.COLUMNS),
        outputs=np.zeros(_mixing.SETS),
        chances=np.zeros(_mixing.SETS),
        width=np.zeros(_mixing.RECENT),
        kinds=np.zeros(_mixing.SETS, np.int64),
        selected=np.zeros(_mixing.SETS, np.int64),
        contexts=np.zeros(counts, np.uint64),
        slots=np.zeros(counts, np.int64),
        recent_slots=np.zeros(_mixing.RECENT, np.int64),
        recent=np.zeros(_mixing.RECENT, np.int64),
        double=double,
        bits=double.view(np.int64),
        new_products=np.zeros((regressors, regressors)),
        new_targets=np.zeros(regressors),
        system=np.zeros((regressors, regressors)),
        right=np.zeros(regressors),
        lower=np.zeros((regressors, regressors)),
        half=np.zeros(regressors),
    )


@dataclass(frozen=True)
class MixedRows:
    """The distributions of rows of one channel of a phase, see `binary.BinaryModel`.

    Attributes:
        first: the first row in the phase.
        width: samples of a row.
        mixture: the network's, of the samples in raster order; its locations are in 1/16 of a
            sample value, its scales are those of levels.
        depth: of the samples.
    """

    first: int
    width: int
    mixture: LogisticMixture
    depth: Depth
    place: Place
    plane: Plane
    before: Before | None
    contexts: Contexts
    memory: Memory

    @property
    def count(self) -> int:
        return len(self.mixture.logits)

    @property
    def most_bits(self) -> int:
        return self.depth.most_decisions

    def run(self, mode: int, symbols: Ints, state: UInt64s, words: UInt32s) -> float:
        check_range(symbols, self.depth.values)
        components, regressors = self.mixture.logits.shape[1], self.memory.targets.size
        return float(
            _mixing.code_rows(
                mode,
                self.first,
                symbols.reshape(-1, self.width),
                self.mixture.logits,
                np.ascontiguousarray(self.mixture.locations),
                np.ascontiguousarray(self.mixture.scales),
                state,
                words,
                self.place,
                self.plane,
                self.before,
                self.contexts,
                self.memory,
                exact_tables(),
                _work(components, regressors, self.place.channel, len(self.contexts.counts)),
            )
        )
