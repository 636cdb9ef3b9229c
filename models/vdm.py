"""The network of vdm: estimates of the finest pixels of a photograph from noisy values of them.

A variational diffusion model (arXiv 2107.00630) of three of every four pixels given the fourth,
as in a cascade (arXiv 2106.15282): the even sub-lattice is known, and the other three
(models/lattice.py) are noisy. It works at the resolution of a sub-lattice, on a colour transform
whose planes are nearly independent (`to_planes`).

Noisy values are y = x + s e with e standard normal: the process of the paper in units of a pixel
value, with the same signal-to-noise ratio. The noise level is log2 of s in 1/UNITS octave, an
integer, and values are integers in 1/2^LATENT_FRAC of a pixel value, so that sender and receiver
compute the same estimates to the last bit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor, nn

from .exact import ACTIVATION_MAX, RESIDUAL_FRAC, Exact, ExactBlock, ExactConv, ExactReLU, bounded
from .lattice import CHANNELS, PHASES, SIGNED_MAX, interpolate, neighbours, shifted, sub_lattices

PLANES = CHANNELS * len(PHASES)
"""Hidden pixel values for each known pixel."""
UNITS = 64
"""Noise levels in an octave of s."""
LOG_SIGMA_MIN, LOG_SIGMA_MAX = -2 * UNITS, 4 * UNITS
"""Noise levels between which values are noisy: s from 1/4 to 16."""
UNSEEN = LOG_SIGMA_MAX + UNITS
"""The noise level for the prior, at which the network is given no values."""
LATENT_FRAC = 7
"""Fractional bits of noisy values."""
SPREAD = 3
"""Log2 of the typical standard deviation of pixels from their interpolation."""
ESTIMATE_FRAC = 5
"""Fractional bits of the network's outputs."""

_KNOTS = range(LOG_SIGMA_MIN, UNSEEN + 1, UNITS)
"""Noise levels with an embedding of their own; the others are interpolated."""
_COARSE_FRAC = 13
"""Fractional bits of the product of a noisy value and its coarse scale."""
_WAVE_MAX = 64
"""Amplitude of the Fourier features."""
_FINE_SHIFT = 3
"""Bits that the finer view of noisy values drops."""


@dataclass(frozen=True)
class VdmConfig:
    """Size of a network.

    Attributes:
        width: channels of the residual stream.
        blocks: residual blocks.
    """

    width: int
    blocks: int


def to_planes(rgb: Tensor) -> Tensor:
    """The reversible colour transform YCoCg-R (Malvar and Sullivan 2003).

    Args:
        rgb: (n, 3, h, w) float integers from 0 to 255.

    Returns:
        (n, 3, h, w): luminance from 0 to 255, orange and green chrominance from -255 to 255.
    """
    red, green, blue = rgb.unbind(1)
    orange = red - blue
    middle = blue + torch.floor(orange / 2)
    greenness = green - middle
    return torch.stack([middle + torch.floor(greenness / 2), orange, greenness], 1)


def from_planes(planes: Tensor) -> Tensor:
    """The inverse of `to_planes`: planes (n, 3, h, w) to float integers (n, 3, h, w)."""
    luminance, orange, greenness = planes.unbind(1)
    middle = luminance - torch.floor(greenness / 2)
    blue = middle - torch.floor(orange / 2)
    return torch.stack([blue + orange, greenness + middle, blue], 1)


def bases(even: Tensor) -> Tensor:
    """Interpolations (n, PLANES, h, w) of the other sub-lattices from the even one (n, 3, h, w).

    The mean of the four nearest, rounded, or of the two nearest, rounded down; in the order of
    `PHASES`.
    """
    right, below = shifted(even, 0, 1), shifted(even, 1, 0)
    middle = interpolate(neighbours("D", {"E": even}))
    pairs = [torch.floor((even + other) / 2) for other in (right, below)]
    return torch.cat([middle, *pairs], 1)


def hidden_pixels(image: Tensor) -> Tensor:
    """The pixels of planes (n, 3, h, w) outside the even sub-lattice, (n, PLANES, h / 2, w / 2)."""
    parts = sub_lattices(image)
    return torch.cat([parts[phase] for phase in PHASES], 1)


@cache
def _waves() -> Tensor:
    """Sine and cosine with the period of a pixel value, (2, 2^LATENT_FRAC), at most _WAVE_MAX."""
    phase = torch.arange(1 << LATENT_FRAC, dtype=torch.float64) * (2 * math.pi / (1 << LATENT_FRAC))
    return torch.stack([phase.sin(), phase.cos()]).mul(_WAVE_MAX).round().float()


@cache
def _coarse_scales() -> Tensor:
    """Proportional to 1 / sqrt(s^2 + 4^SPREAD), by level - LOG_SIGMA_MIN; zero for UNSEEN."""
    s = torch.exp2(torch.arange(LOG_SIGMA_MIN, LOG_SIGMA_MAX + 1, dtype=torch.float64) / UNITS)
    scale = (2.0 ** (SPREAD + 8) / (s**2 + 4.0**SPREAD).sqrt()).round()
    return torch.cat([scale, torch.zeros(UNSEEN - LOG_SIGMA_MAX)]).float()


class VdmNet(Exact):
    """Estimates of the hidden pixels and of their errors, in integers."""

    ARCHITECTURE = "vdm"

    def __init__(self, config: VdmConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.stem = ExactConv(5 * CHANNELS + 4 * PLANES, width, 3, RESIDUAL_FRAC)
        self.level = nn.ModuleList(
            ExactConv(len(_KNOTS), width, 1, RESIDUAL_FRAC) for _ in range(config.blocks)
        )
        self.blocks = nn.ModuleList(ExactBlock(width) for _ in range(config.blocks))
        self.leave = ExactReLU(RESIDUAL_FRAC)
        self.hidden = ExactConv(width, width, 1, RESIDUAL_FRAC)
        self.rectify = ExactReLU(RESIDUAL_FRAC)
        self.heads = ExactConv(width, 2 * PLANES, 1, ESTIMATE_FRAC)
        with torch.no_grad():
            # See PhaseNet: channels of all sensitivities to differences of a few pixel values.
            sensitivity = torch.logspace(0, 4, width, base=2.0)
            self.stem.weight[:, : 4 * CHANNELS].mul_(sensitivity[:, None, None, None])
            self.heads.weight.mul_(0.1)

    def forward(self, even: Tensor, latent: Tensor, level: Tensor) -> tuple[Tensor, Tensor]:
        """Estimates from noisy values.

        Args:
            even: (n, 3, h, w), planes of the even sub-lattice.
            latent: (n, PLANES, h, w), noisy values less `bases(even)`, integers in
                1/2^LATENT_FRAC; without effect at the level UNSEEN.
            level: (n,), LOG_SIGMA_MIN to LOG_SIGMA_MAX, or UNSEEN.

        Returns:
            Integers (n, PLANES, h, w) in 1/2^ESTIMATE_FRAC: estimates of the pixels, and log2 of
            their standard errors, in the units of `gauge`.
        """
        h = self.stem(torch.cat([_surroundings(even), *_views(even, latent, level)], 1))
        knots = torch.tensor(list(_KNOTS), device=level.device)
        tents = (UNITS - (level[:, None] - knots).abs()).clamp_min(0)
        embedding = tents.to(even.dtype)[:, :, None, None]
        for modulate, block in zip(self.level, self.blocks, strict=True):
            h = block(bounded(h + modulate(embedding)))
        outputs: Tensor = self.heads(self.rectify(self.hidden(self.leave(h))))
        estimate, error = outputs.chunk(2, 1)
        return estimate, error


def gauge(level: Tensor) -> tuple[Tensor, Tensor]:
    """The scales of the network's outputs at noise levels: c_skip and c_out of arXiv 2206.00364.

    As in its table 1, the estimate of x less its interpolation is skip times the noisy value less
    that interpolation plus out times the first output; the second output is log2 of the standard
    error of the estimate in units of out.

    Args:
        level: (n,), see `VdmNet.forward`.

    Returns:
        skip and out, float32 (n, 1, 1, 1).
    """
    s = torch.exp2(level.double() / UNITS)[:, None, None, None]
    power = 4.0**SPREAD
    unseen = (level == UNSEEN)[:, None, None, None]
    skip = torch.where(unseen, 0.0, power / (s**2 + power))
    out = torch.where(unseen, 1.0, s / (s**2 + power).sqrt()) * 2.0**SPREAD
    return skip.float(), out.float()


def _surroundings(even: Tensor) -> Tensor:
    """The four known pixels around each cell less their mean, and that mean: (n, 15, h, w)."""
    around = neighbours("D", {"E": even})
    middle = interpolate(around)
    differences = [(plane - middle).clamp(-SIGNED_MAX, SIGNED_MAX) for plane in around]
    return torch.cat([*differences, (middle - 128).clamp(-ACTIVATION_MAX, ACTIVATION_MAX)], 1)


def _views(even: Tensor, latent: Tensor, level: Tensor) -> list[Tensor]:
    """The noisy values at two resolutions, and their phase between integer pixel values.

    The phase is the Fourier features of arXiv 2107.00630, appendix C, with the one frequency whose
    period is a pixel value. They fade out where the noise hides them.

    Returns:
        Four tensors (n, PLANES, h, w) of integers.
    """
    whole = 1 << LATENT_FRAC
    seen = (level < UNSEEN).to(even.dtype)[:, None, None, None]
    scale = _coarse_scales().to(even)[level - LOG_SIGMA_MIN][:, None, None, None]
    limit = 2.0**15
    coarse = torch.floor(latent.clamp(-limit, limit) * scale * 2.0**-_COARSE_FRAC + 0.5)
    fine = torch.floor(latent * 2.0**-_FINE_SHIFT + 0.5)
    shown = [view.clamp(-SIGNED_MAX, SIGNED_MAX) * seen for view in (coarse, fine)]
    strength = (-UNITS - level).clamp(0, UNITS).to(even.dtype)[:, None, None, None]
    phase = torch.remainder(latent, whole).long()
    waves = [wave.to(even)[phase] * strength for wave in _waves()]
    return [*shown, *(torch.floor(wave * (1 / UNITS) + 0.5) for wave in waves)]
