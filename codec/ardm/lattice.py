"""Lattice order: pixels in the order of a resolution pyramid, coarse to fine.

Level l of the pyramid is every 2^l-th pixel of every 2^l-th row. A level is coded given the next
coarser one in three phases (models/lattice.py), each with a few network calls and one array of
symbols for each colour channel: an autoregressive diffusion model (arXiv 2110.02037) with a fixed
order, in which the network sees every pixel about once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from ...bitstream.binary import Even
from ...bitstream.coders import Coder
from ...bitstream.entropy import LOCATION_UNITS, Ints, LogisticMixture, Uniform
from ...bitstream.mixing import Block, Mixer, Neighbourhood, Offsets
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

FIRST_SECTION_SIDE = 32
"""The first section holds the coarse levels up to this many pixels a side."""

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
    """

    def __init__(
        self, network: LatticeNet, block: int, finest: int = 0, *, mixing: bool = False
    ) -> None:
        self.network, self.block, self.finest, self.mixing = network, block, finest, mixing

    @torch.inference_mode()
    def run(
        self, samples: Samples | None, shape: Shape, coders: Iterator[Coder]
    ) -> Iterator[Samples]:
        """Encode samples, or decode them, by the same loop.

        Args:
            samples: (h, w, c) uint8 with c = 1 or 3; None to decode.
            shape: (h, w, c).
            coders: one for each of `sections`.

        Yields:
            After each section, the pyramid level (h', w', c) uint8 that it completes.

        Raises:
            CorruptError: data that a coder reads is damaged.
        """
        height, width, channels = shape
        levels = sections(height, width)
        mixer = Mixer(channels, NEIGHBOURHOODS) if self.mixing else None
        known = self._top(samples, level_count(height, width), channels, coder := next(coders))
        for index, members in enumerate(levels):
            if index:
                coder = next(coders)
            for level in members:
                fine = (-(-height >> level), -(-width >> level), channels)
                target = None if samples is None else samples[:: 1 << level, :: 1 << level]
                known = self._level(target, fine, known, level, coder, mixer)
            yield known

    def _top(self, samples: Samples | None, level: int, channels: int, coder: Coder) -> Samples:
        pixel = None
        if samples is not None:
            pixel = samples[:: 1 << level, :: 1 << level].reshape(-1).astype(np.int32)
        flat = (
            Even(channels, 2 * _SAMPLE_DIGITS) if self.mixing else Uniform(channels, _SAMPLE_DIGITS)
        )
        coded = coder.code(pixel, flat)
        return coded.astype(np.uint8).reshape(1, 1, channels)

    def _level(
        self,
        target: Samples | None,
        shape: Shape,
        even: Samples,
        level: int,
        coder: Coder,
        mixer: Mixer | None,
    ) -> Samples:
        """Code a level (h, w, c) given its even sub-lattice, which is the next coarser level."""
        out = np.empty(shape, np.uint8)
        out[::2, ::2] = even
        step = 2 * self.block
        if mixer:
            mixer.start_level(*shape[:2])
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
        coder: Coder,
        mixed: Block | None = None,
    ) -> None:
        """Code one block in place.

        Args:
            target: (h, w, c) uint8 to encode; None to decode.
            out: (h, w, c) uint8, holds the even sub-lattice; the others are filled in.
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
            carried, features = net.features(input_planes(around, base), carried)
            mix = mixed.phase(index) if mixed else lambda _, mixture: mixture
            known[phase] = _code_phase(net, features, base, values, hole, coder, mix)


def _ordered(samples: Samples) -> Samples:
    """Samples (h, w, 1 or 3), channels in coding order."""
    return samples if samples.shape[2] == 1 else samples[..., list(CODING_ORDER)]


def _to_tensor(samples: Samples) -> Tensor:
    """(h, w, 1 or 3) samples as (1, 3, h, w) float32, channels in coding order."""
    ordered = _ordered(samples)
    if samples.shape[2] == 1:
        ordered = np.repeat(ordered, 3, 2)
    tensor = torch.from_numpy(np.ascontiguousarray(ordered)).permute(2, 0, 1)[None]
    return tensor.float().contiguous(memory_format=torch.channels_last)


def _code_phase(
    net: PhaseNet,
    features: Tensor,
    base: Tensor,
    values: Samples | None,
    hole: Samples,
    coder: Coder,
    mix: Callable[[int, LogisticMixture], object],
) -> Tensor:
    """Code one sub-lattice of a block.

    Args:
        net: network of the phase.
        features: (1, width, h, w), the network's features.
        base: (1, 3, h, w), interpolation of the sub-lattice, channels in coding order.
        values: (h', w', c), the sub-lattice to encode; None to decode. h' and w' are less by one
            than h and w where an odd side leaves it without a last row or column.
        hole: (h', w', c), receives the sub-lattice, c = 1 or 3.
        mix: the coder's model of a channel, by its index and the network's distributions.

    Returns:
        The sub-lattice (1, 3, h, w), channels in coding order, with the interpolation in a missing
        last row or column.
    """
    height, width, channels = hole.shape
    whole = base.clone()
    order = CODING_ORDER if channels == len(CODING_ORDER) else (0,)
    expected = base[0, :, :height, :width].to(torch.int32).numpy()
    differences = np.empty((height * width, len(order)), np.int32)
    for index, channel in enumerate(order):
        parameters = net.parameters_of(index, features, residual(whole, base)[:, :index])
        table = parameters[0, :, :height, :width].permute(1, 2, 0).to(torch.int32)
        model = _mixture(
            table.flatten(0, 1).numpy(),
            expected[index].reshape(-1),
            differences[:, :index],
            net.components,
        )
        symbols = None if values is None else values[..., channel].reshape(-1).astype(np.int32)
        coded = coder.code(symbols, mix(index, model))
        differences[:, index] = coded - expected[index].reshape(-1)
        plane = coded.reshape(height, width)
        hole[..., channel] = plane
        whole[0, index, :height, :width] = torch.from_numpy(plane)
    if channels == 1:
        whole[:, 1:] = whole[:, :1]
    return whole


def _mixture(table: Ints, base: Ints, differences: Ints, k: int) -> LogisticMixture:
    """The entropy model of one channel of n pixels.

    Args:
        table: (n, 3 k + c), the network's logits, locations, scales and coefficients.
        base: (n,), interpolation.
        differences: (n, c), the channels before this one less their interpolation.
        k: components of the mixtures.
    """
    # Coefficients are in 1/32 of a level for a level, locations in 1/16.
    shift = (table[:, 3 * k :] * differences).sum(1, dtype=np.int32) >> 1
    centre = LOCATION_UNITS * base + shift
    return LogisticMixture(
        logits=np.ascontiguousarray(table[:, :k]),
        locations=table[:, k : 2 * k] + centre[:, None],
        scales=table[:, 2 * k : 3 * k],
    )
