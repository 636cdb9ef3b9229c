"""Training losses: the bits that the codecs would spend, in float and differentiable.

For lossless codecs each loss is the float twin of an integer entropy model of the bitstream.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..models.autoencoder import (
    DEVIATIONS,
    HYPER_MAX,
    LOWEST_WEIGHT,
    Autoencoder,
    error_weight,
    known_level,
)
from ..models.diffusion import SPAN, Denoiser, bits_density, noisy, sigmoid_weight, to_unit
from ..models.latents import interval_bits
from ..models.lattice import (
    CHANNELS,
    CODING_ORDER,
    PHASES,
    LatticeNet,
    input_planes,
    interpolate,
    neighbours,
    residual,
    sub_lattices,
)
from ..models.masked import STAGES
from ..models.registry import find, load
from ..models.unet import SCORE_LOGSNR_MAX, SCORE_LOGSNR_MIN, Known
from ..models.vdm import (
    ESTIMATE_FRAC,
    LATENT_FRAC,
    LOG_SIGMA_MAX,
    LOG_SIGMA_MIN,
    UNITS,
    UNSEEN,
    bases,
    gauge,
    hidden_pixels,
    to_planes,
)
from .distill import Pair, Steps

SCALE_MIN, SCALE_MAX = -48, 128
UNIFORM_SHARE = 2.0**-12
_LOG2 = math.log(2)


def _mixture_parts(parameters: Tensor, k: int) -> tuple[Tensor, Tensor, Tensor]:
    """Weights, locations, and inverse scales in 1/16 level from (n, 3 k, ...) parameters."""
    logits, location, log_scale = torch.split(parameters, k, 1)
    weights = torch.softmax(logits * (_LOG2 / 32), 1)
    inverse = torch.exp2(-log_scale.clamp(SCALE_MIN, SCALE_MAX) / 16) / 16
    return weights, location, inverse


def logistic_mixture_bits(parameters: Tensor, x: Tensor, base: Tensor, residuals: Tensor) -> Tensor:
    """Bits of each pixel under a mixture of discretised logistics (arXiv 1701.05517, eq. 2).

    Args:
        parameters: (n, 3 k + c, h, w): k logits in 1/32 octave, k locations in 1/16 level,
            k logarithmic scales in 1/16 octave, and c coefficients in 1/32 of the c
            previous channels' residuals.
        x: (n, h, w), pixels from 0 to 255.
        base: (n, h, w), the interpolation that locations are relative to.
        residuals: (n, c, h, w), the previous channels less their interpolations.

    Returns:
        (n, h, w) bits.
    """
    count = residuals.shape[1]
    k = (parameters.shape[1] - count) // 3
    weights, location, inverse = _mixture_parts(parameters[:, : 3 * k], k)
    shift = (parameters[:, 3 * k :] * residuals).sum(1, keepdim=True) * 0.5
    offset = ((x - base) * 16)[:, None] - location - shift
    above = torch.sigmoid((offset + 8) * inverse)
    below = torch.sigmoid((offset - 8) * inverse)
    above = torch.where((x >= 255)[:, None], 1.0, above)
    below = torch.where((x <= 0)[:, None], 0.0, below)
    mass = (weights * (above - below)).sum(1)
    return -torch.log2(mass.clamp_min(0) * (1 - UNIFORM_SHARE) + UNIFORM_SHARE / 256)


LEVELS = (-9.0, 8.0)
"""Range of the log-SNRs that denoisers learn."""
_BIAS = 4.0
_COARSE = 1.0
"""Log-SNR in nats below which score decoders weigh errors alike, whatever the noise."""


def diffusion_loss(net: nn.Module, batch: Tensor, generator: torch.Generator) -> Tensor:
    """Bits per dimension of a diffusion model over `LEVELS`, see `weighted_bits`.

    Args:
        batch: (n, 3, h, w) float integers from 0 to 255.
    """
    return weighted_bits(net, to_unit(batch), LEVELS, _faint_down, generator)


def weighted_bits(
    denoiser: Denoiser,
    x: Tensor,
    levels: tuple[float, float],
    weight: Callable[[Tensor], Tensor],
    generator: torch.Generator,
) -> Tensor:
    """Bits per dimension of a diffusion model, weighted by the noise level.

    The diffusion loss (arXiv 2107.00630, section 5) over a range of log-SNRs. Each image draws a
    noise level, stratified over the batch.

    Args:
        x: (n, 3, h, w), of -SPAN to SPAN.
        levels: the range.
        weight: of the bits at log-SNRs (n,).
    """
    count = len(x)
    low, high = levels
    jitter = torch.rand(count, generator=generator, device=x.device)
    logsnr = low + (high - low) * (torch.arange(count, device=x.device) + jitter) / count
    noise = torch.randn(x.shape, generator=generator, device=x.device)
    z = noisy(x, noise, logsnr).contiguous(memory_format=torch.channels_last)
    density = bits_density(x, denoiser(z, logsnr), logsnr) * weight(logsnr)
    return (high - low) * density.mean()


def _faint_down(logsnr: Tensor) -> Tensor:
    """The sigmoid weight of arXiv 2410.19324: the faintest details count less."""
    return sigmoid_weight(logsnr, _BIAS)


def _coarse_up(logsnr: Tensor) -> Tensor:
    """The same, but noise that hides nearly all counts more.

    With a picture beside it errors are small in bits there, yet they settle what a draw shows.
    """
    return _faint_down(logsnr) * (1 + torch.exp(_COARSE - logsnr))


@dataclass(frozen=True)
class ScoreLoss:
    """The loss of a score decoder: `weighted_bits` of images conditioned on their decoded pictures.

    Attributes:
        autoencoder: model that codes the images, by name or path; low rates are drawn more often.
    """

    autoencoder: str

    def __call__(self, net: nn.Module, batch: Tensor, generator: torch.Generator) -> Tensor:
        """Bits per dimension, a scalar.

        Args:
            batch: (n, 3, h, w) float integers from 0 to 255, h and w multiples of 64.

        Raises:
            ModelError: there is no such autoencoder.
        """
        x = to_unit(batch)
        known = _decoded(self.autoencoder, x, generator)
        levels = SCORE_LOGSNR_MIN - 0.5, SCORE_LOGSNR_MAX
        return weighted_bits(_conditioned(net, known), x, levels, _coarse_up, generator)


Method = Callable[..., Tensor]
"""`progressive_loss`, `consistency_loss` or, for networks that are a `Pair`, `moment_loss`."""


@dataclass(frozen=True)
class DistillationLoss:
    """The loss of a score decoder that samples in few calls.

    Attributes:
        autoencoder: see `ScoreLoss`.
        teacher: the score decoder that it learns from, by name or path.
        steps: those of teacher and student.
        method: how it learns.
    """

    autoencoder: str
    teacher: str
    steps: Steps
    method: Method

    def __call__(self, net: nn.Module, batch: Tensor, generator: torch.Generator) -> Tensor:
        """Squared error, a scalar.

        Args:
            batch: (n, 3, h, w) float integers from 0 to 255, h and w multiples of 64.

        Raises:
            ModelError: there is no such autoencoder or teacher.
        """
        x = to_unit(batch)
        known = _decoded(self.autoencoder, x, generator)
        teacher = load(find(self.teacher)).to(x.device)
        learners = (net.student, net.auxiliary) if isinstance(net, Pair) else (net,)
        denoisers = [_conditioned(network, known) for network in (*learners, teacher)]
        loss: Tensor = self.method(*denoisers, x, self.steps, generator)
        return loss


def _conditioned(net: nn.Module, known: Known) -> Denoiser:
    """A denoiser of images whose decoded pictures are known."""
    return lambda z, logsnr: net(z, logsnr, known)


@torch.no_grad()
def _decoded(autoencoder: str, x: Tensor, generator: torch.Generator) -> Known:
    """Images (n, 3, h, w) of -SPAN to SPAN after coding by an autoencoder, at random rates."""
    coder = load(find(autoencoder)).to(x.device)
    assert isinstance(coder, Autoencoder)
    place = torch.rand(len(x), generator=generator, device=x.device).square()
    rate = place * coder.last_rate
    return Known(coder.reconstruction(x, rate), known_level(rate))


def masked_bits(net: nn.Module, batch: Tensor, generator: torch.Generator) -> Tensor:
    """Bits per dimension of an order-agnostic model: arXiv 2110.02037, eq. 5 over all stages.

    Each image draws a stage and a fraction of known samples; the masked samples' mean cost,
    times the number of stages, estimates the bits of one sample without bias.

    Args:
        batch: (n, 3, h, w) float integers from 0 to 255.
    """
    count, size = len(batch), batch[0].numel()
    # Stratified draws: every batch covers all stages and fractions.
    slots = torch.arange(count, device=batch.device)
    stage = slots % STAGES
    jitter = torch.rand(count, generator=generator, device=batch.device)
    fraction = ((slots // STAGES + jitter) / max(1, count // STAGES)) % 1
    noise = torch.rand(batch.shape, generator=generator, device=batch.device)
    known = (fraction * size).floor()
    rank = noise.flatten(1).argsort(1).argsort(1).view_as(batch)
    mask = (rank < known[:, None, None, None]).to(batch.dtype)
    bits = masked_digit_bits(net, batch, mask, stage)
    hidden = 1 - mask
    return STAGES * ((bits * hidden).sum((1, 2, 3)) / hidden.sum((1, 2, 3))).mean()


def masked_digit_bits(net: nn.Module, x: Tensor, mask: Tensor, stage: Tensor) -> Tensor:
    """Bits of the present stage's digit of every sample, shape of `x`.

    Args:
        x: (n, 3, h, w) float integers from 0 to 255.
        mask: (n, 3, h, w), 1 where the present digit is known.
        stage: (n,), 0 to STAGES - 1.
    """
    step = (4.0 ** (STAGES - 1 - stage))[:, None, None, None]
    prefix = torch.floor(x / (4 * step)) * (4 * step)
    value = torch.floor(x / step) * step
    centre = torch.where(mask > 0, value + torch.floor(step / 2), prefix + 2 * step)
    parameters = net(centre, mask, stage).transpose(1, 2)
    k = parameters.shape[1] // 3
    weights, location, inverse = _mixture_parts(parameters, k)

    def below(edge: Tensor) -> Tensor:
        share = torch.sigmoid((((edge - centre) * 16 - 8)[:, None] - location) * inverse)
        total = (weights * share).sum(1)
        total = torch.where(edge <= 0, 0.0, torch.where(edge >= 256, 1.0, total))
        return total * (1 - UNIFORM_SHARE) + UNIFORM_SHARE * edge / 256

    inside = below(value + step) - below(value)
    whole = below(prefix + 4 * step) - below(prefix)
    return torch.log2(whole.clamp_min(1e-9)) - torch.log2(inside.clamp_min(1e-9))


def lattice_level_bits(net: LatticeNet, level: int, image: Tensor) -> Tensor:
    """Bits of the three coded sub-lattices of each image of one pyramid level, shape (n,).

    Args:
        image: (n, 3, h, w) float integers from 0 to 255 in coding order of the channels, h
            and w even.
    """
    parts = sub_lattices(image)
    known = {"E": parts["E"]}
    bits = image.new_zeros(len(image))
    carried = None
    for phase in PHASES:
        around = neighbours(phase, known)
        base = interpolate(around[:4])
        x = known[phase] = parts[phase]
        difference = x - base
        clamped = residual(x, base)
        phase_net = net.phase(level, phase)
        carried, features = phase_net.features(input_planes(around, base), carried)
        for channel in range(CHANNELS):
            parameters = phase_net.parameters_of(channel, features, clamped[:, :channel])
            bits = bits + logistic_mixture_bits(
                parameters, x[:, channel], base[:, channel], difference[:, :channel]
            ).sum((1, 2))
    return bits


def lattice_bits(net: nn.Module, batch: Tensor, generator: torch.Generator) -> Tensor:
    """Bits per dimension of square crops under a lattice network, without the coarsest pixels.

    Args:
        batch: (n, 3, size, size) RGB float integers from 0 to 255; size divisible by
            2^levels.
    """
    assert isinstance(net, LatticeNet)
    image = batch[:, list(CODING_ORDER)]
    dimensions = image[0].numel() * len(image)
    bits = batch.new_zeros(())
    for level in range(net.config.levels):
        image = image.contiguous(memory_format=torch.channels_last)
        bits = bits + lattice_level_bits(net, level, image).sum()
        image = image[..., ::2, ::2]
    return bits / dimensions


@dataclass(frozen=True)
class VdmBits:
    """The terms of vdm's bound, in bits per hidden pixel and plane (arXiv 2107.00630, eq. 4).

    Attributes:
        prior: the noisiest values, less what of them is noise.
        diffusion: the steps to cleaner values.
        reconstruction: the pixels given the cleanest values.
    """

    prior: Tensor
    diffusion: Tensor
    reconstruction: Tensor

    @property
    def total(self) -> Tensor:
        return self.prior + self.diffusion + self.reconstruction


def vdm_terms(net: nn.Module, batch: Tensor, generator: torch.Generator) -> VdmBits:
    """One image of every eight, and at least one, gives the prior, one the reconstruction.

    The others give the diffusion term at one step each of random length: as if the whole were of
    8 to 128 steps.

    Args:
        batch: (n, 3, h, w) RGB float integers from 0 to 255, n at least 3, h and w even.
    """
    image = to_planes(batch)
    even = sub_lattices(image)["E"].contiguous(memory_format=torch.channels_last)
    x = hidden_pixels(image) - bases(even)
    count = len(batch)
    slots = torch.arange(count, device=batch.device)
    unseen, cleanest = slots % 8 == 0, slots % 8 == 1
    chosen = ~(unseen | cleanest)
    reach = LOG_SIGMA_MAX - LOG_SIGMA_MIN
    jitter = torch.rand((2, count), generator=generator, device=batch.device)
    steps = torch.exp2(3 + 4 * jitter[0])
    # Stratified draws: every batch covers the levels evenly.
    place = (chosen.cumsum(0) - 1 + jitter[1]) / chosen.sum()
    level = torch.round(LOG_SIGMA_MIN + reach * (1 / steps + place * (1 - 1 / steps))).long()
    level = torch.where(unseen, UNSEEN, torch.where(cleanest, LOG_SIGMA_MIN, level))
    noise = torch.randn(x.shape, generator=generator, device=batch.device)
    s = torch.exp2(level / UNITS)[:, None, None, None]
    whole = 2.0**LATENT_FRAC
    latent = torch.round((x + s * noise) * whole)
    said, width = net(even, latent, level)
    skip, out = gauge(level)
    off = x - skip * latent / whole - out * said * 2.0**-ESTIMATE_FRAC
    variance = (out * torch.exp2(width * 2.0**-ESTIMATE_FRAC)).square()
    # A step from nothing known is one from infinite noise.
    cleaner = torch.where(unseen, LOG_SIGMA_MAX, level - reach / steps)
    power = torch.exp2(2 * cleaner / UNITS)[:, None, None, None]
    weight = torch.where(unseen[:, None, None, None], 1.0, 1 - power / s**2)
    wider = weight * variance / power
    squared = weight * off.square() / power
    nats = 0.5 * (torch.log1p(wider) + (squared - wider) / (1 + wider))
    bits = nats.mean((1, 2, 3)) / math.log(2)
    deviation = variance[cleanest].sqrt()
    ends = [torch.special.ndtr((off[cleanest] + edge) / deviation) for edge in (0.5, -0.5)]
    found = -torch.log2((ends[0] - ends[1]).clamp_min(2.0**-20))
    return VdmBits(bits[unseen].mean(), (bits * steps)[chosen].mean(), found.mean())


def vdm_bits(net: nn.Module, batch: Tensor, generator: torch.Generator) -> Tensor:
    """The sum of `vdm_terms`."""
    return vdm_terms(net, batch, generator).total


_NOISE = 12**-0.5
"""Deviation of the noise that stands for rounding."""


@dataclass(frozen=True)
class AutoencoderTerms:
    """What an autoencoder costs, (n,) of each.

    Attributes:
        hyper: bits per pixel of hyper-latents.
        latents: bits per pixel of latents.
        error: mean squared error of samples of 0 to 255.
    """

    hyper: Tensor
    latents: Tensor
    error: Tensor


def autoencoder_terms(
    net: Autoencoder, batch: Tensor, rate: Tensor, generator: torch.Generator
) -> AutoencoderTerms:
    """Rates and errors of what is rounded.

    Rounding has the gradient of the identity. Gradients of the rates by the values themselves are
    those with noise in place of rounding (arXiv 1611.01704): where all is rounded to zero, rates
    are flat.

    Args:
        batch: (n, 3, h, w) float integers from 0 to 255, h and w multiples of 64.
        rate: (n,), in 1/RATE_UNITS.
    """
    x = to_unit(batch)
    gain = net.gain(rate)
    latents = net.analysis(x) * gain
    hyper = net.hyper_analysis(latents).float()
    law = net.prior(rate)
    whole = _become(hyper, net.whole(hyper, rate)).clamp(-HYPER_MAX, HYPER_MAX)
    hyper_bits = _bits(hyper, whole.detach() - law[0], law, generator)
    said = net.hyper_synthesis(whole)
    mean, deviation = said[0] / 16, net.deviation(said[1], gain.detach())
    known = net.known(latents - mean, deviation, net.worth(rate))
    told = net.told(known)
    mean, deviation = mean + told[0], (deviation * told[1]).clamp(*DEVIATIONS)
    symbols = known - told[0]
    off = latents - mean
    bits = _bits(latents, _become(latents.detach() - mean, symbols), (mean, deviation), generator)
    shown = net.synthesis((mean + _become(off, symbols)) / gain)
    pixels = x[0, 0].numel()
    return AutoencoderTerms(
        hyper_bits.sum((1, 2, 3)) / pixels,
        bits.sum((1, 2, 3)) / pixels,
        (shown.float() - x).square().mean((1, 2, 3)) * (255 / (2 * SPAN)) ** 2,
    )


def _bits(
    values: Tensor, off: Tensor, law: tuple[Tensor, Tensor], generator: torch.Generator
) -> Tensor:
    """Bits of rounded distances from the means of normal laws.

    Args:
        values: that get the gradients of noise in place of rounding.
        off: the distances, which give the laws theirs.
        law: means and deviations.
    """
    mean, deviation = (part.detach() for part in law)
    deviation = torch.hypot(deviation, torch.tensor(_NOISE))  # of the values with the noise
    noise = torch.rand(values.shape, generator=generator, device=values.device)
    soft = interval_bits(values + noise - 0.5 - mean, deviation)
    return interval_bits(off, law[1]) + soft - soft.detach()


def autoencoder_loss(net: nn.Module, batch: Tensor, generator: torch.Generator) -> Tensor:
    """Rate and distortion of images at rates of their own, stratified over the batch.

    High rates, which cost more of both, count less, by the root of what an error is worth there.
    """
    assert isinstance(net, Autoencoder)
    count = len(batch)
    jitter = torch.rand(count, generator=generator, device=batch.device)
    place = (torch.arange(count, device=batch.device) + jitter) / count
    rate = place * net.last_rate
    terms = autoencoder_terms(net, batch, rate, generator)
    weight = error_weight(rate)
    cost = terms.hyper + terms.latents + weight * terms.error
    return (cost / (weight / LOWEST_WEIGHT).sqrt()).mean()


def _become(values: Tensor, others: Tensor) -> Tensor:
    """The others, with the gradient of the values."""
    return values + (others - values).detach()
