"""The lattice network: distributions of the pixels of an image given its even sub-lattice.

An image of one pyramid level splits into four sub-lattices. `E` (even row, even column) is
the image of the next coarser level and is known. The others follow in three phases: `D`
(odd, odd) given E; `A` (even row, odd column) given E and D; `B` (odd row, even column) given
E, D and A. All networks run at the resolution of a sub-lattice, and each phase starts from
the features of the one before, so that its receptive field and depth grow.

The network predicts what remains after an interpolation of the nearest known neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from .exact import RESIDUAL_FRAC, Exact, ExactBlock, ExactConv, ExactReLU, bounded

PHASES = ("D", "A", "B")
CHANNELS = 3
CODING_ORDER = (1, 0, 2)
"""Green first: the other channels are best predicted from it."""
PARAMETER_FRAC = 5
"""Fractional bits of the network's outputs."""
SIGNED_MAX = 127
"""Largest magnitude of signed inputs."""


@dataclass(frozen=True)
class LatticeConfig:
    """Size of a lattice network.

    Attributes:
        width: channels of the residual stream.
        blocks: residual blocks of each phase.
        components: logistic components of each mixture.
        levels: finest pyramid levels that have weights of their own; coarser ones use the last.
    """

    width: int
    blocks: int
    components: int
    levels: int


def sub_lattices(image: Tensor) -> dict[str, Tensor]:
    """Split (n, c, h, w) with even h and w into its four sub-lattices (n, c, h/2, w/2)."""
    return {
        "E": image[..., ::2, ::2],
        "D": image[..., 1::2, 1::2],
        "A": image[..., ::2, 1::2],
        "B": image[..., 1::2, ::2],
    }


def shifted(x: Tensor, down: int, right: int) -> Tensor:
    """x[i + down, j + right] at (i, j), repeating the border; offsets in -1, 0, 1."""
    padded = functional.pad(x, (1, 1, 1, 1), mode="replicate")
    height, width = x.shape[-2:]
    return padded[..., 1 + down : 1 + down + height, 1 + right : 1 + right + width]


def neighbours(phase: str, known: dict[str, Tensor]) -> list[Tensor]:
    """The known neighbours of each pixel of a phase: 4 or 8 of (n, 3, h, w), the nearest 4 first.

    Args:
        phase: D, A or B.
        known: sub-lattices (n, 3, h, w) that come before the phase, by name.
    """
    e = known["E"]
    if phase == "D":
        return [e, shifted(e, 0, 1), shifted(e, 1, 0), shifted(e, 1, 1)]
    d = known["D"]
    if phase == "A":
        return [e, shifted(e, 0, 1), d, shifted(d, -1, 0)]
    a = known["A"]
    nearest = [e, shifted(e, 1, 0), d, shifted(d, 0, -1)]
    return [*nearest, a, shifted(a, 0, -1), shifted(a, 1, 0), shifted(a, 1, -1)]


def interpolate(nearest: list[Tensor]) -> Tensor:
    """The mean of the first four neighbours (n, 3, h, w), rounded to the nearest integer."""
    return torch.floor((nearest[0] + nearest[1] + nearest[2] + nearest[3] + 2) * 0.25)


class PhaseNet(Exact):
    """Features and distribution parameters of one phase."""

    def __init__(self, config: LatticeConfig, phase: str) -> None:
        super().__init__()
        self.components = config.components
        width = config.width
        planes = CHANNELS * (9 if phase == "B" else 5)
        self.stem = ExactConv(planes, width, 3, RESIDUAL_FRAC)
        self.blocks = nn.ModuleList(ExactBlock(width) for _ in range(config.blocks))
        self.leave = ExactReLU(RESIDUAL_FRAC)
        self.hidden = nn.ModuleList(
            ExactConv(width, width, 1, RESIDUAL_FRAC) for _ in range(CHANNELS)
        )
        self.previous = nn.ModuleList(
            ExactConv(channel, width, 1, RESIDUAL_FRAC) for channel in range(1, CHANNELS)
        )
        self.rectify = ExactReLU(RESIDUAL_FRAC)
        self.heads = nn.ModuleList(
            ExactConv(width, 3 * config.components + channel, 1, PARAMETER_FRAC)
            for channel in range(CHANNELS)
        )
        self._start_near_the_interpolation(config.components)

    @torch.no_grad()
    def _start_near_the_interpolation(self, components: int) -> None:
        """First guess: mixtures at the interpolation, one to four levels wide.

        Feature channels start with sensitivities from a fraction of a level to many levels, so
        that rounding to 8 bits hides neither faint texture nor strong edges.
        """
        sensitivity = torch.logspace(0, 4, self.stem.weight.shape[0], base=2.0)
        self.stem.weight.mul_(sensitivity[:, None, None, None])
        self.stem.weight[:, -CHANNELS:].mul_(2.0**-3)
        for previous in self.previous:
            assert isinstance(previous, ExactConv)
            previous.weight.mul_(2.0)
        for channel, head in enumerate(self.heads):
            assert isinstance(head, ExactConv)
            head.weight.mul_(0.1)
            scales = torch.linspace(0, 1.5, components)
            head.bias.copy_(torch.cat([torch.zeros(2 * components), scales, torch.ones(channel)]))

    def features(self, planes: Tensor, carried: Tensor | None) -> tuple[Tensor, Tensor]:
        """The residual stream and the rectified features, both (n, width, h, w)."""
        h = self.stem(planes)
        if carried is not None:
            h = h + carried
        for block in self.blocks:
            h = block(h)
        return h, self.leave(h)

    def parameters_of(self, channel: int, features: Tensor, residuals: Tensor) -> Tensor:
        """Distribution parameters of one colour channel.

        Args:
            channel: 0, 1 or 2, in coding order.
            features: (n, width, h, w), rectified.
            residuals: (n, channel, h, w), the previous channels less their interpolations,
                clamped to signed 8 bits.

        Returns:
            (n, 3 components + channel, h, w) integers with PARAMETER_FRAC fractional bits.
        """
        hidden = self.hidden[channel](features)
        if channel:
            hidden = bounded(hidden) + self.previous[channel - 1](residuals)
        parameters: Tensor = self.heads[channel](self.rectify(hidden))
        return parameters


class LatticeNet(Exact):
    """One `PhaseNet` for each phase of each level."""

    ARCHITECTURE = "lattice"

    def __init__(self, config: LatticeConfig) -> None:
        super().__init__()
        self.config = config
        self.levels = nn.ModuleList(
            nn.ModuleDict({phase: PhaseNet(config, phase) for phase in PHASES})
            for _ in range(config.levels)
        )

    def phase(self, level: int, phase: str) -> PhaseNet:
        """The network of a phase at a pyramid level (0 is the finest)."""
        nets = self.levels[min(level, self.config.levels - 1)]
        assert isinstance(nets, nn.ModuleDict)
        net = nets[phase]
        assert isinstance(net, PhaseNet)
        return net


def input_planes(known: list[Tensor], base: Tensor, shift: int = 0, bits: int = 8) -> Tensor:
    """Network input: each neighbour less the interpolation, and the interpolation itself.

    Args:
        known: neighbours (n, 3, h, w).
        base: their interpolation (n, 3, h, w).
        shift: differences of 2^shift are those of one level to the network.
        bits: of a sample, 8 to 16; the interpolation is brought to 8.
    """
    planes = [residual(plane, base, shift) for plane in known]
    return torch.cat([*planes, torch.floor(base * 2.0 ** (8 - bits)) - 128], 1)


def residual(x: Tensor, base: Tensor, shift: int = 0) -> Tensor:
    """Pixels less their interpolation in levels, clamped to what a convolution may read."""
    levels = torch.floor((x - base) * 2.0**-shift + 0.5) if shift else x - base
    return levels.clamp(-SIGNED_MAX, SIGNED_MAX)
