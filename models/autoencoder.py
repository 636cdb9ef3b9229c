"""The autoencoder of hfd: an image as few quantised latents, and a hyperprior to code them.

A mean-scale hyperprior (Minnen et al., arXiv 1809.02736, without its context model): an analysis
makes latents at 1/16 of the resolution, and a second, smaller one makes hyper-latents at 1/64, from
which the hyper-synthesis predicts the mean and the standard deviation of each latent. Known latents
around it refine both (models/latents.py). One set of weights serves all rates: latents are scaled
by learned gains before they are rounded (Cui et al., arXiv 2003.02012).

The entropy coder depends on the output of the hyper-synthesis, so that network works in exact
integers (models/exact.py). The others make numbers that are rounded, or pixels, and work in floats.

`deviation` is short for standard deviation throughout. A level is a step of the rounded latents.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..bitstream.entropy import (
    DEVIATION_HIGH,
    DEVIATION_LOW,
    DEVIATION_UNITS,
    LOCATION_UNITS,
)
from .dct import transform
from .diffusion import SPAN
from .exact import RESIDUAL_FRAC, Exact, ExactBlock, ExactConv, ExactReLU, bounded
from .latents import NARROWINGS, PASSES, WEIGHTS, Pass, chosen

CHANNELS = 3
PATCH = 4
"""Side of the patches of pixels that networks read and write."""
LATENT_PIXELS = 16
"""Side, in pixels, of the block that a latent stands for."""
HYPER_LATENTS = 4
"""Side, in latents, of the block that a hyper-latent stands for."""
MULTIPLE = LATENT_PIXELS * HYPER_LATENTS
"""Height and width of images must be multiples of this."""
HYPER_MAX = 127
"""Largest magnitude of hyper-latents."""
BELIEF_FRAC = 5
"""Fractional bits of the last layer of the hyper-synthesis."""
DEVIATIONS = 2.0 ** (DEVIATION_LOW / DEVIATION_UNITS), 2.0 ** (DEVIATION_HIGH / DEVIATION_UNITS)
"""Least and largest standard deviation of a latent's distribution, in levels."""
RATE_UNITS = 16
"""Steps of the rate from a trained one to the next."""
LOWEST_WEIGHT, WEIGHT_RISE = 0.00015, 3.4
"""Weight of squared errors at the lowest trained rate, see `error_weight`, and its factor from each
rate to the next."""
NOT_ORTHOGONAL = 2
"""The worth of a latent's error relative to that under an orthogonal synthesis, see `worth`."""
HYPER_WORTH = 20
"""Bits that a squared error of a hyper-latent of one level costs on average, through predictions of
latents."""
LEAST_KNOWN = 4
"""Least log-SNR in nats of decoded pictures, see `known_level`."""


@dataclass(frozen=True)
class AutoencoderConfig:
    """Size of an autoencoder.

    Attributes:
        width0, width1, width2: channels at 1/4, 1/8 and 1/16 of the resolution.
        latents: channels of latents.
        hyper: channels of hyper-latents.
        exact: channels of the hyper-synthesis.
        blocks: residual blocks of each resolution.
        rates: rates that have gains of their own.
    """

    width0: int
    width1: int
    width2: int
    latents: int
    hyper: int
    exact: int
    blocks: int
    rates: int

    @property
    def widths(self) -> tuple[int, int, int]:
        """Channels from the finest resolution to the coarsest."""
        return self.width0, self.width1, self.width2


class Block(nn.Module):
    """Residual block: 3x3 convolution, 1x1 convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.spatial = nn.Conv2d(channels, channels, 3, padding=1)
        self.pointwise = nn.Conv2d(channels, channels, 1)
        with torch.no_grad():
            self.pointwise.weight.mul_(0.1)

    def forward(self, h: Tensor) -> Tensor:
        change: Tensor = self.pointwise(functional.silu(self.spatial(functional.silu(h))))
        return h + change


def _stage(channels: int, blocks: int) -> nn.Sequential:
    return nn.Sequential(*(Block(channels) for _ in range(blocks)))


class Analysis(nn.Module):
    """Images (n, 3, h, w) of -SPAN to SPAN to latents (n, latents, h / 16, w / 16)."""

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        widths = config.widths
        self.enter = nn.Conv2d(CHANNELS * PATCH**2, widths[0], 3, padding=1)
        self.stages = nn.ModuleList(_stage(width, config.blocks) for width in widths)
        self.shrink = nn.ModuleList(
            nn.Conv2d(4 * fine, coarse, 1) for fine, coarse in pairwise(widths)
        )
        self.leave = nn.Conv2d(widths[-1], config.latents, 1)

    def forward(self, x: Tensor) -> Tensor:
        h = self.stages[0](self.enter(functional.pixel_unshuffle(x, PATCH)))
        for shrink, stage in zip(self.shrink, self.stages[1:], strict=True):
            h = stage(shrink(functional.pixel_unshuffle(h, 2)))
        with torch.autocast(h.device.type, enabled=False):  # bfloat16 has too few bits for latents
            latents: Tensor = self.leave(h.float())
        return latents


class Synthesis(nn.Module):
    """Latents (n, latents, h / 16, w / 16) to images (n, 3, h, w) of about -SPAN to SPAN."""

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        widths = config.widths[::-1]
        self.enter = nn.Conv2d(config.latents, widths[0], 1)
        self.stages = nn.ModuleList(_stage(width, config.blocks) for width in widths)
        self.grow = nn.ModuleList(
            nn.Conv2d(coarse, 4 * fine, 1) for coarse, fine in pairwise(widths)
        )
        self.leave = nn.Conv2d(widths[-1], CHANNELS * PATCH**2, 3, padding=1)

    def forward(self, latents: Tensor) -> Tensor:
        h = self.stages[0](self.enter(latents))
        for grow, stage in zip(self.grow, self.stages[1:], strict=True):
            h = stage(functional.pixel_shuffle(grow(h), 2))
        return functional.pixel_shuffle(self.leave(h), PATCH)


class HyperAnalysis(nn.Module):
    """Latents (n, latents, h, w) to hyper-latents (n, hyper, h / 4, w / 4), not yet rounded."""

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        width = config.exact
        self.enter = nn.Conv2d(2 * config.latents, width, 1)
        self.stages = nn.ModuleList(_stage(width, 1) for _ in range(3))
        self.shrink = nn.ModuleList(nn.Conv2d(4 * width, width, 1) for _ in range(2))
        self.leave = nn.Conv2d(width, config.hyper, 1)
        with torch.no_grad():  # hyper-latents that always round to zero would get no gradient
            self.leave.weight.mul_(4)

    def forward(self, latents: Tensor) -> Tensor:
        # The magnitudes of latents range from fractions of a level to hundreds.
        values = torch.asinh(latents)
        h = self.stages[0](self.enter(torch.cat([values, values.abs()], 1)))
        for shrink, stage in zip(self.shrink, self.stages[1:], strict=True):
            h = stage(shrink(functional.pixel_unshuffle(h, 2)))
        hyper: Tensor = self.leave(h)
        return hyper


class HyperSynthesis(Exact):
    """Rounded hyper-latents to a mean and a standard deviation of each latent, in integers."""

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        width = config.exact
        self.enter = ExactConv(config.hyper, width, 3, RESIDUAL_FRAC, input_frac=2)
        self.coarse = ExactBlock(width)
        self.middle = ExactBlock(width)
        self.fine = nn.ModuleList(ExactBlock(width) for _ in range(2))
        self.rectify = nn.ModuleList(ExactReLU(RESIDUAL_FRAC) for _ in range(3))
        self.grow = nn.ModuleList(ExactConv(width, 4 * width, 1, RESIDUAL_FRAC) for _ in range(2))
        self.heads = ExactConv(width, 2 * config.latents, 1, BELIEF_FRAC)
        with torch.no_grad():
            self.heads.weight.mul_(0.1)

    def forward(self, hyper: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and logarithm of the standard deviation of each latent.

        Args:
            hyper: (n, hyper, h, w), integers of magnitude at most HYPER_MAX.

        Returns:
            Integers (n, latents, 4 h, 4 w): means in 1/LOCATION_UNITS of a level, and log2 of the
            deviations of latents before their gains, in 1/DEVIATION_UNITS.
        """
        h = self.coarse(bounded(self.enter(hyper)))
        h = bounded(functional.pixel_shuffle(self.grow[0](self.rectify[0](h)), 2))
        h = self.middle(h)
        h = bounded(functional.pixel_shuffle(self.grow[1](self.rectify[1](h)), 2))
        for block in self.fine:
            h = block(h)
        mean, scale = self.heads(self.rectify[2](h)).chunk(2, 1)
        return mean, 2 * scale


class Autoencoder(nn.Module):
    """All networks and parameters of the autoencoder.

    Attributes:
        gains: (rates, latents), log2 of the gains of latents.
        prior_mean: (hyper,), means of hyper-latents, in levels.
        prior_scale: (rates, hyper), log2 of their deviations.
        nearby: (WEIGHTS, latents), weights of known latents, see `latents.Pass`.
        surer: (NARROWINGS, latents), octaves by which distributions are narrower where latents
            nearby are known.
    """

    ARCHITECTURE = "autoencoder"

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        self.config = config
        self.analysis = Analysis(config)
        self.synthesis = Synthesis(config)
        self.hyper_analysis = HyperAnalysis(config)
        self.hyper_synthesis = HyperSynthesis(config)
        rising = torch.linspace(-1, 2, config.rates)
        self.gains = nn.Parameter(rising[:, None].repeat(1, config.latents))
        self.prior_mean = nn.Parameter(torch.zeros(config.hyper))
        self.prior_scale = nn.Parameter(torch.zeros(config.rates, config.hyper))
        self.nearby = nn.Parameter(torch.zeros(WEIGHTS, config.latents))
        self.surer = nn.Parameter(torch.zeros(NARROWINGS, config.latents))

    @property
    def last_rate(self) -> int:
        """The highest rate, in 1/RATE_UNITS."""
        return (self.config.rates - 1) * RATE_UNITS

    @property
    def reach(self) -> int:
        """Pixels to each side that an output of analysis or synthesis depends on, at most."""
        blocks = self.config.blocks
        return PATCH * (1 + 7 * blocks) + LATENT_PIXELS

    def reconstruction(self, x: Tensor, rate: Tensor) -> Tensor:
        """Images (n, 3, h, w) of -SPAN to SPAN as decoded after coding at rates (n,)."""
        gain = self.gain(rate)
        latents = self.analysis(x) * gain
        mean, scale = self.hyper_synthesis(self.whole(self.hyper_analysis(latents).float(), rate))
        mean = mean / LOCATION_UNITS
        known = self.known(latents - mean, self.deviation(scale, gain), self.worth(rate))
        shown: Tensor = self.synthesis((mean + known) / gain)
        return shown.float()

    def prior(self, rate: Tensor) -> tuple[Tensor, Tensor]:
        """Means (hyper, 1, 1) and deviations (n, hyper, 1, 1) of hyper-latents at rates (n,).

        In levels.
        """
        scale = between(self.prior_scale, rate / RATE_UNITS)
        return self.prior_mean[:, None, None], torch.exp2(scale)[:, :, None, None]

    @torch.no_grad()
    def whole(self, hyper: Tensor, rate: Tensor) -> Tensor:
        """Hyper-latents (n, hyper, h, w) as rounded for coding at rates (n,): integers."""
        mean, deviation = self.prior(rate)
        return chosen(hyper, deviation, HYPER_WORTH, mean).clamp(-HYPER_MAX, HYPER_MAX)

    def deviation(self, scale: Tensor, gain: Tensor) -> Tensor:
        """Standard deviations of latents around the predictions of the hyper-latents, in levels.

        Args:
            scale: (n, latents, h, w), see `HyperSynthesis.forward`.
            gain: (n, latents, 1, 1), see `gain`.

        Returns:
            (n, latents, h, w).
        """
        return gain * torch.exp2(scale / DEVIATION_UNITS)

    @torch.no_grad()
    def known(self, off: Tensor, deviation: Tensor, worth: Tensor) -> Tensor:
        """Latents as a receiver knows them after coding.

        Args:
            off: (n, latents, h, w), distances from the predictions of the hyper-latents, in levels.
            deviation: (n, latents, h, w), their standard deviations.
            worth: (n, latents, 1, 1), see `worth`.

        Returns:
            (n, latents, h, w), the same distances after quantisation.
        """
        known = torch.zeros_like(off)
        for part in PASSES:
            mean = part.expected(known, self.nearby)
            width = (part.of(deviation) * self._narrowed(part)).clamp(*DEVIATIONS)
            whole = chosen(part.of(off) - mean, width, worth)
            part.of(known).copy_(mean + whole)
        return known

    def refined(self, known: Tensor) -> tuple[Tensor, Tensor]:
        """Predictions of latents from those that are coded before them.

        Args:
            known: (n, latents, h, w), distances from the predictions of the hyper-latents, in
                levels.

        Returns:
            Means of these distances and factors of their standard deviations, (n, latents, h, w).
        """
        mean, factor = torch.zeros_like(known), torch.ones_like(known)
        for part in PASSES:
            part.of(mean).copy_(part.expected(known, self.nearby))
            part.of(factor)[...] = self._narrowed(part)
        return mean, factor

    def _narrowed(self, part: Pass) -> Tensor | float:
        """Factors (latents, 1, 1) of the standard deviations of a pass."""
        if part.narrowing is None:
            return 1.0
        return torch.exp2(-self.surer[part.narrowing, :, None, None])

    @torch.no_grad()
    def start_as_transform(self) -> None:
        """Initialise the network as a block transform, a DCT of 16 by 16 pixels.

        Latents are the coefficients that usually have the most energy, the synthesis is the inverse
        transform, and residual blocks add nothing at first. Training from random weights needs
        hours to become as good.

        Raises:
            ValueError: the network is too narrow for the pixels of a block.
        """
        config = self.config
        held = CHANNELS * PATCH**2
        if config.width0 < held or config.width1 < 4 * held:
            raise ValueError(f"widths below {held} and {4 * held} do not hold a block's pixels")
        for side in (self.analysis, self.synthesis):
            for module in side.modules():
                if isinstance(module, Block):
                    for part in module.pointwise.parameters():
                        nn.init.zeros_(part)
        waves, deviations, smooth = _transform(config.width2, 4 * config.width1)
        _set_matrix(self.analysis.enter, torch.eye(config.width0, held))
        _set_matrix(self.analysis.shrink[0], torch.eye(config.width1, 4 * config.width0))
        _set_matrix(self.analysis.shrink[1], waves)
        _set_matrix(self.analysis.leave, torch.eye(config.latents, config.width2))
        _set_matrix(self.synthesis.enter, torch.eye(config.width2, config.latents))
        _set_matrix(self.synthesis.grow[0], waves.T)
        _set_matrix(self.synthesis.grow[1], torch.eye(4 * config.width0, config.width1))
        _set_matrix(self.synthesis.leave, torch.eye(held, config.width0))
        scales = deviations[: config.latents].log2()
        self.hyper_synthesis.heads.bias.copy_(torch.cat([torch.zeros_like(scales), scales]))
        means = smooth[: config.latents]
        self.nearby.copy_(torch.tensor([0.9, 0.45, 0.45] * 2)[:, None] * means)
        self.surer.copy_(torch.tensor([0.75, 1, 1.25, 1.5])[:, None] * means)

    @torch.no_grad()
    def worth(self, rate: Tensor) -> Tensor:
        """Bits that a squared error of a latent of one level is worth at rates (n,).

        As if the synthesis were the orthogonal transform that it begins as, up to a factor of
        NOT_ORTHOGONAL: latents that are rounded to fewer bits also worsen the predictions of those
        around them.

        Returns:
            (n, latents, 1, 1).
        """
        of_a_pixel = (255 / (2 * SPAN)) ** 2 / CHANNELS
        weight = error_weight(rate)[:, None, None, None]
        return NOT_ORTHOGONAL * of_a_pixel * weight / self.gain(rate).square()

    def gain(self, rate: Tensor) -> Tensor:
        """Factors (n, latents, 1, 1) that scale latents to levels at rates (n,) in 1/RATE_UNITS."""
        return torch.exp2(between(self.gains, rate / RATE_UNITS))[:, :, None, None]


def error_weight(rate: Tensor) -> Tensor:
    """Bits per pixel that a unit of squared error is worth at rates (n,), for samples up to 255."""
    return LOWEST_WEIGHT * WEIGHT_RISE ** (rate / RATE_UNITS)


def known_level(rate: Tensor) -> Tensor:
    """Log-SNRs (n,) in nats of decoded pictures at rates (n,), for a score decoder (`unet.Known`).

    About -log of their mean squared error; at least LEAST_KNOWN, because the error at low rates is
    missing detail rather than noise.
    """
    return LEAST_KNOWN + (rate / RATE_UNITS - 1.75).clamp(min=0) / 2


def between(rows: Tensor, at: Tensor) -> Tensor:
    """Rows (r, c), interpolated linearly at indices (n,) from 0 to r - 1: (n, c)."""
    low = at.floor().clamp(0, len(rows) - 2).long()
    return torch.lerp(rows[low], rows[low + 1], (at - low)[:, None].to(rows.dtype))


def _set_matrix(conv: nn.Module, matrix: Tensor) -> None:
    """Make a convolution multiply the channels of each pixel by a matrix."""
    assert isinstance(conv, nn.Conv2d) and conv.bias is not None
    middle = conv.weight.shape[2] // 2
    conv.weight.zero_()[:, :, middle, middle] = matrix
    conv.bias.zero_()


def _transform(count: int, planes: int) -> tuple[Tensor, Tensor, Tensor]:
    """The basis functions of a block transform that usually have the most energy.

    Those of an orthonormal DCT of three orthonormal colour planes. The pixels of a block are in the
    order of three `pixel_unshuffle`, of patches and then of pairs, twice.

    Returns:
        Basis functions (count, planes), typical standard deviations of their coefficients (count,),
        and 1 for those of mean colours, else 0 (count,).
    """
    waves = transform(LATENT_PIXELS).float()
    sides = torch.arange(LATENT_PIXELS)
    frequency = (sides[:, None] ** 2 + sides**2).flatten()
    deviations = torch.kron(torch.tensor([1, 0.2, 0.1]), 6 * (1 + frequency) ** -0.65)
    order = deviations.argsort(descending=True)[:count]
    places = torch.arange(waves.shape[1]).view(1, CHANNELS, LATENT_PIXELS, LATENT_PIXELS)
    for factor in (PATCH, 2, 2):
        places = functional.pixel_unshuffle(places, factor)
    held = torch.zeros(count, planes)
    held[: len(order), : places.numel()] = waves[order][:, places.flatten()]
    filling = 0, count - len(order)
    flat = order % LATENT_PIXELS**2 == 0
    deviations = functional.pad(deviations[order], filling, value=2**-4)
    return held, deviations, functional.pad(flat.float(), filling)
