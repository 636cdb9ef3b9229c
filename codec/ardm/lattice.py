"""Lattice order: pixels in the order of a resolution pyramid, coarse to fine.

Level l of the pyramid is every 2^l-th pixel of every 2^l-th row. A level is coded given the next
coarser one in three phases (models/lattice.py), each with a few network calls and one array of
symbols for each colour channel: an autoregressive diffusion model (arXiv 2110.02037) with a fixed
order, in which the network sees every pixel about once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from threadpoolctl import ThreadpoolController
from torch import Tensor

from ...bitstream.binary import Even
from ...bitstream.coders import Coder
from ...bitstream.entropy import LOCATION_UNITS, Ints, LogisticMixture, Uniform
from ...bitstream.mixing import BYTE, Block, Depth, Earlier, Mixer, Neighbourhood, Offsets
from ...models.lattice import (
    CODING_ORDER,
    PHASES,
    LatticeNet,
    PhaseNet,
    input_planes,
    interpolate,
    neighbours,
    residual,
)
from ..image.raster import Samples, Shape
from ..protocol import Report
from .conversions import WHOLE, Halving

FIRST_SECTION_SIDE = 32
"""The first section holds the coarse levels up to this many pixels a side."""
LANES_FROM = 1 << 16
"""Pixels of a level from which the channels are coded side by side, in streams of their own."""
LANE_ROWS = 16
"""Rows of a phase that a channel is coded ahead of the next one; at least 3."""

OFFSETS = {"E": (0, 0), "D": (1, 1), "A": (0, 1), "B": (1, 0)}
"""First row and column of each sub-lattice of a level."""
_SAMPLE_DIGITS = 4
"""Base-4 digits of a sample."""

_DIAGONAL = ((-1, -1), (-1, 1), (1, -1), (1, 1))
_KNIGHT = ((-1, -2), (-1, 2), (1, -2), (1, 2), (-2, -1), (-2, 1), (2, -1), (2, 1))
_BEFORE = ((0, -2), (-2, 0), (-2, -2), (-2, 2), (0, -4), (-4, 0))
"""Samples of the same phase that come before, the nearest first."""
_BESIDE = ((0, 0), (0, -2), (-2, 0), (0, 2), (2, 0))
"""The same sample, and the nearest of its phase, in channels that come before."""


def _neighbourhood(phase: str, nearest: Offsets, further: Offsets) -> Neighbourhood:
    row, column = OFFSETS[phase]
    return Neighbourhood(row, column, nearest, (*further, *_BEFORE), (*_BESIDE, *nearest))


NEIGHBOURHOODS = (
    _neighbourhood(
        "D",
        _DIAGONAL,
        ((-3, -1), (-3, 1), (3, -1), (3, 1), (-1, -3), (1, -3), (-1, 3), (1, 3)),
    ),
    _neighbourhood("A", ((0, -1), (0, 1), (-1, 0), (1, 0)), (*_KNIGHT, (0, -3), (0, 3))),
    _neighbourhood("B", ((-1, 0), (1, 0), (0, -1), (0, 1), *_DIAGONAL), _KNIGHT),
)
"""What online mixing looks at in each of `PHASES`."""

_CROSS = ((0, 0), (0, 1), (1, 0), (0, -1), (-1, 0))
EARLIER = Earlier(
    latest=(*_CROSS, *_DIAGONAL, (0, 2), (0, -2), (2, 0), (-2, 0)), second=_CROSS, beside=_CROSS
)
"""What online mixing looks at in the frames before, at the resolution of the level."""


def level_count(height: int, width: int) -> int:
    """Number of levels finer than the top of the pyramid, which is a single pixel."""
    return (max(height, width) - 1).bit_length()


def sections(height: int, width: int) -> list[list[int]]:
    """The levels that each section codes, coarse to fine; the first section adds the top pixel."""
    top = level_count(height, width)
    longest = max(height, width)
    first = [level for level in range(top) if -(-longest >> level) <= FIRST_SECTION_SIDE]
    rest = [[level] for level in reversed(range(top - len(first)))]
    return [first[::-1], *rest]


def streams(shape: Shape, *, mixing: bool) -> list[int]:
    """Number of streams in each of `sections`: one, or one for each channel."""
    height, width, channels = shape
    finest = [level for (level,) in sections(height, width)[1:]]
    sizes = [-(-height >> level) * -(-width >> level) for level in finest]
    return [1, *(channels if mixing and size >= LANES_FROM else 1 for size in sizes)]


@dataclass(frozen=True)
class Lanes:
    """Coders of a section in which each channel has a stream of its own.

    Attributes:
        coders: of the channels in coding order; used in several threads, each in one at a time.
        report: called after each piece of work with the number of samples.
    """

    coders: Sequence[Coder]
    report: Report = lambda _: None


def sequence(channels: int, depth: Depth) -> Mixer:
    """What online mixing knows of a sequence of frames before the first."""
    return Mixer(channels, NEIGHBOURHOODS, depth, EARLIER)


class Lattice:
    """Codes images in lattice order.

    Args:
        network: predicts the distributions of pixels; frozen to integers.
        block: side of the squares, in pixels of a sub-lattice, that the network sees one at a time;
            bounds the memory.
        finest: level of the images themselves if they are a coarser level of larger images'
            pyramids; selects the network's weights.
        mixing: True corrects the network's distributions by online mixing; the coders of `run` are
            then binary ones (bitstream/binary.py).
        depth: of the samples; with mixing only, unless they are bytes.
        chroma: where the finest level has no chroma of its own.
    """

    def __init__(
        self,
        network: LatticeNet,
        block: int,
        finest: int = 0,
        *,
        mixing: bool = False,
        depth: Depth = BYTE,
        chroma: Halving = WHOLE,
    ) -> None:
        self.network, self.block, self.finest, self.mixing = network, block, finest, mixing
        self.depth, self.chroma = depth, chroma

    @torch.inference_mode()
    def run(
        self,
        samples: Samples | None,
        shape: Shape,
        coders: Iterator[Coder | Lanes],
        sequence: Mixer | None = None,
    ) -> Iterator[Samples]:
        """Encode samples, or decode them, by the same loop.

        Args:
            samples: (h, w, c) of the depth's dtype with c = 1 or 3; None to decode.
            shape: (h, w, c).
            coders: one for each of `sections`, with lanes where `streams` says so.
            sequence: what online mixing learned of the frames before, see `sequence`; learns this
                one too.

        Yields:
            After each section, the pyramid level (h', w', c) that it completes.

        Raises:
            CorruptError: data that a coder reads is damaged.
        """
        height, width, channels = shape
        levels = sections(height, width)
        mixer = sequence
        if self.mixing and not mixer:
            mixer = Mixer(channels, NEIGHBOURHOODS, self.depth)
        coder = next(coders)
        assert not isinstance(coder, Lanes), "the first section has one stream"
        known = self._top(samples, level_count(height, width), channels, coder)
        for index, members in enumerate(levels):
            if index:
                coder = next(coders)
            for level in members:
                fine = (-(-height >> level), -(-width >> level), channels)
                target = None if samples is None else samples[:: 1 << level, :: 1 << level]
                known = self._level(target, fine, known, level, coder, mixer)
            yield known
        if sequence:
            sequence.finish_frame(_ordered(known))

    def _top(self, samples: Samples | None, level: int, channels: int, coder: Coder) -> Samples:
        pixel = None
        if samples is not None:
            pixel = samples[:: 1 << level, :: 1 << level].reshape(-1).astype(np.int32)
        flat = Even(channels, self.depth.bits) if self.mixing else Uniform(channels, _SAMPLE_DIGITS)
        coded = coder.code(pixel, flat)
        return coded.astype(self.depth.dtype).reshape(1, 1, channels)

    def _level(
        self,
        target: Samples | None,
        shape: Shape,
        even: Samples,
        level: int,
        coder: Coder | Lanes,
        mixer: Mixer | None,
    ) -> Samples:
        """Code a level (h, w, c) given its even sub-lattice, which is the next coarser level."""
        out = np.empty(shape, self.depth.dtype)
        out[::2, ::2] = even
        step = 2 * self.block
        if mixer:
            mixer.start_level(level, *shape[:2])
        for top in range(0, shape[0], step):
            for left in range(0, shape[1], step):
                window = np.s_[top : top + step, left : left + step]
                part = None if target is None else target[window]
                block = None
                if mixer:
                    block = mixer.block(top, left, _ordered(out[window][::2, ::2]))
                self.code_block(part, out[window], level, coder, block)
                if block:
                    block.finish()
        return out

    def code_block(
        self,
        target: Samples | None,
        out: Samples,
        level: int,
        coder: Coder | Lanes,
        mixed: Block | None = None,
    ) -> None:
        """Code one block in place.

        Args:
            target: (h, w, c) to encode; None to decode.
            out: (h, w, c), holds the even sub-lattice; the others are filled in.
            level: pyramid level of the block.
            mixed: what online mixing knows of the block; None where the network is alone.

        Raises:
            CorruptError: data that the coder reads is damaged.
        """
        known = {"E": _to_tensor(out[::2, ::2])}
        carried: Tensor | None = None
        for index, phase in enumerate(PHASES):
            row, column = OFFSETS[phase]
            hole = out[row::2, column::2]
            values = None if target is None else target[row::2, column::2]
            around = neighbours(phase, known)
            base = interpolate(around[:4])
            net = self.network.phase(level + self.finest, phase)
            planes = input_planes(around, base, self.depth.shift, self.depth.bits)
            carried, features = net.features(planes, carried)
            mix = mixed.phase(index) if mixed else lambda _, __, mixture: mixture
            repeated = None
            if level == 0 and ((row and self.chroma.rows) or (column and self.chroma.columns)):
                repeated = out[::2, ::2]
            current = _Phase(net, features, base, values, hole, mix, self.depth.shift, repeated)
            if hole.size:
                current.code(coder)
            known[phase] = current.known()


def _ordered(samples: Samples) -> Samples:
    """Samples (h, w, 1 or 3), channels in coding order."""
    return samples if samples.shape[2] == 1 else samples[..., list(CODING_ORDER)]


def _to_tensor(samples: Samples) -> Tensor:
    """(h, w, 1 or 3) samples as (1, 3, h, w) float32, channels in coding order."""
    ordered = _ordered(samples)
    if samples.shape[2] == 1:
        ordered = np.repeat(ordered, 3, 2)
    tensor = torch.from_numpy(ordered.astype(np.float32)).permute(2, 0, 1)[None]
    return tensor.contiguous(memory_format=torch.channels_last)


@cache
def _thread_pools() -> ThreadpoolController:
    return ThreadpoolController()


class _Phase:
    """One sub-lattice of a block while it is coded.

    Args:
        net: network of the phase.
        features: (1, width, h, w), the network's features.
        base: (1, 3, h, w), interpolation of the sub-lattice, channels in coding order.
        values: (h', w', c), the sub-lattice to encode; None to decode. h' and w' are less by one
            than h and w where an odd side leaves it without a last row or column.
        hole: (h', w', c), receives the sub-lattice, c = 1 or 3.
        mix: the coder's model of a channel's rows, by the channel's index, the first row and the
            network's distributions.
        shift: see `Depth`.
        repeated: (>= h', >= w', c), samples whose chroma is that of the sub-lattice; None if its
            chroma is coded.
    """

    def __init__(
        self,
        net: PhaseNet,
        features: Tensor,
        base: Tensor,
        values: Samples | None,
        hole: Samples,
        mix: Callable[[int, int, LogisticMixture], object],
        shift: int,
        repeated: Samples | None,
    ) -> None:
        self._net, self._features, self._base, self._mix = net, features, base, mix
        self._shift = shift
        self._values, self._hole = values, hole
        self._height, self._width, channels = hole.shape
        self._order = CODING_ORDER if channels == len(CODING_ORDER) else (0,)
        self._whole = base.clone()
        if repeated is not None:
            self._keep_chroma(repeated[: self._height, : self._width])
            self._order = self._order[:1]

    def _keep_chroma(self, repeated: Samples) -> None:
        """Take in chroma that is not coded."""
        for index in (1, 2):
            plane = repeated[..., self._order[index]].astype(np.int32)
            self._keep(index, range(self._height), plane)

    def code(self, coder: Coder | Lanes) -> None:
        """Code all channels."""
        if isinstance(coder, Lanes):
            self._code_side_by_side(coder)
        else:
            self._code_in_turn(coder)

    def _code_in_turn(self, coder: Coder) -> None:
        """Code one channel after another."""
        for index in range(len(self._order)):
            rows = range(self._height)
            self._keep(index, rows, coder.code(*self._part(index, rows)))

    def _code_side_by_side(self, lanes: Lanes) -> None:
        """Code channels at the same time, each some rows behind the one before it."""
        channels = len(self._order)
        parts = -(-self._height // LANE_ROWS)
        # A thread for each channel codes its parts in order; a single one codes all.
        threads = channels if torch.get_num_threads() > 1 else 1
        # Threads of OpenMP, which wait for work in a loop, would take the cores from them.
        with ExitStack() as stack, _thread_pools().limit(limits=1, user_api="openmp"):
            pools = [stack.enter_context(ThreadPoolExecutor(1)) for _ in range(threads)]
            jobs = [deque[tuple[range, Future[Ints]]]() for _ in range(channels)]

            def start(index: int, part: int) -> None:
                # A channel needs those before it up to the row below.
                first, end = (max(row * LANE_ROWS - index, 0) for row in (part, part + 1))
                rows = range(first, end if part + 1 < parts else self._height)
                symbols, model = self._part(index, rows)
                job = pools[index % threads].submit(lanes.coders[index].code, symbols, model)
                jobs[index].append((rows, job))

            def finish(index: int) -> None:
                rows, job = jobs[index].popleft()
                self._keep(index, rows, job.result())
                lanes.report(len(rows) * self._width)

            for part in range(parts):
                start(0, part)
            for step in range(parts + channels - 1):
                for index in range(channels):
                    if 0 <= step - index < parts:
                        finish(index)
                        if index + 1 < channels:
                            start(index + 1, step - index)

    def known(self) -> Tensor:
        """The sub-lattice (1, 3, h, w), channels in coding order.

        A missing last row or column has the interpolation.
        """
        if self._hole.shape[2] == 1:
            self._whole[:, 1:] = self._whole[:, :1]
        return self._whole

    def _part(self, index: int, rows: range) -> tuple[Ints | None, object]:
        """Symbols of rows of a channel, and their model; channels before it are known there."""
        window = np.s_[..., rows.start : rows.stop, :]
        features, base = self._features[window], self._base[window]
        residuals = residual(self._whole[window][:, :index], base[:, :index], self._shift)
        parameters = self._net.parameters_of(index, features, residuals)[..., : self._width]
        table = parameters[0].permute(1, 2, 0).to(torch.int32).flatten(0, 1)
        samples = self._whole[window][0, : index + 1, :, : self._width].to(torch.int32).flatten(1)
        expected = base[0, : index + 1, :, : self._width].to(torch.int32).flatten(1)
        model = _mixture(
            table.numpy(),
            expected[index].numpy(),
            (samples - expected)[:index].T.numpy(),
            self._net.components,
            self._shift,
        )
        symbols = None
        if self._values is not None:
            channel = self._values[rows.start : rows.stop, :, self._order[index]]
            symbols = channel.reshape(-1).astype(np.int32)
        return symbols, self._mix(index, rows.start, model)

    def _keep(self, index: int, rows: range, coded: Ints) -> None:
        """Take in the symbols of rows of a channel."""
        plane = coded.reshape(len(rows), self._width)
        window = np.s_[rows.start : rows.stop, : self._width]
        self._hole[window][..., self._order[index]] = plane
        self._whole[0, index][window] = torch.from_numpy(plane)


def _mixture(table: Ints, base: Ints, differences: Ints, k: int, finer: int) -> LogisticMixture:
    """The entropy model of one channel of n pixels.

    Args:
        table: (n, 3 k + c), the network's logits, locations, scales and coefficients.
        base: (n,), interpolation.
        differences: (n, c), the channels before this one less their interpolation.
        k: components of the mixtures.
        finer: the network's levels are 2^finer sample values.
    """
    # Coefficients are in 1/32, locations in 1/16.
    shift = (table[:, 3 * k :] * differences).sum(1, dtype=np.int32) >> 1
    centre = LOCATION_UNITS * base + shift
    return LogisticMixture(
        logits=np.ascontiguousarray(table[:, :k]),
        locations=(table[:, k : 2 * k] << finer) + centre[:, None],
        scales=table[:, 2 * k : 3 * k],
    )
