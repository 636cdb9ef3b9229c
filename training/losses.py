"""Training losses: the bits that the codecs would write, in floats and differentiable.

For lossless codecs each loss is the float counterpart of an integer entropy model of the bitstream.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..bitstream.entropy import (
    LOCATION_UNITS,
    LOGIT_UNITS,
    SCALE_HIGH,
    SCALE_LOW,
    SCALE_UNITS,
)
from ..models import lattice, vdm
from ..models.diffusion import Denoiser, bits_density, noisy, sigmoid_weight, to_unit
from ..models.masked import STAGES
from ..models.registry import find, load
from ..models.unet import RESTORING_LOGSNR, SCORE_LOGSNR_MAX, SCORE_LOGSNR_MIN, Known
from ..models.wavelet import TRAINED_STEPS, coded, known_level
from .distill import Pair, Steps
from .planes import with_planes

UNIFORM_SHARE = 2.0**-12
"""Share of the uniform distribution in a mixture, see `bitstream.entropy.LogisticMixture`."""
_LOG2 = math.log(2)


def _mixture_parts(parameters: Tensor, k: int) -> tuple[Tensor, Tensor, Tensor]:
    """Weights, locations, and inverse scales, per 1/LOCATION_UNITS, of parameters (n, 3 k, ...)."""
    logits, location, log_scale = torch.split(parameters, k, 1)
    weights = torch.softmax(logits * (_LOG2 / LOGIT_UNITS), 1)
    inverse = torch.exp2(-log_scale.clamp(SCALE_LOW, SCALE_HIGH) / SCALE_UNITS) / LOCATION_UNITS
    return weights, location, inverse


def logistic_mixture_bits(parameters: Tensor, x: Tensor, base: Tensor, residuals: Tensor) -> Tensor:
    """Bits of each pixel under a mixture of discretised logistics (arXiv 1701.05517, eq. 2).

    Args:
        parameters: (n, 3 k + c, h, w): k logits, k locations and k logarithms of scales in the
            units of `bitstream.entropy`, and c coefficients in 1/32 of the c previous channels'
            residuals.
        x: (n, h, w), pixels from 0 to 255.
        base: (n, h, w), the interpolation that locations are relative to.
        residuals: (n, c, h, w), the previous channels less their interpolations.

    Returns:
        (n, h, w) bits.
    """
    count = residuals.shape[1]
    k = (parameters.shape[1] - count) // 3
    weights, location, inverse = _mixture_parts(parameters[:, : 3 * k], k)
    shift = (parameters[:, 3 * k :] * residuals).sum(1, keepdim=True) * (LOCATION_UNITS / 32)
    offset = ((x - base) * LOCATION_UNITS)[:, None] - location - shift
    above = torch.sigmoid((offset + LOCATION_UNITS / 2) * inverse)
    below = torch.sigmoid((offset - LOCATION_UNITS / 2) * inverse)
    above = torch.where((x >= 255)[:, None], 1.0, above)
    below = torch.where((x <= 0)[:, None], 0.0, below)
    mass = (weights * (above - below)).sum(1)
    return -torch.log2(mass.clamp_min(0) * (1 - UNIFORM_SHARE) + UNIFORM_SHARE / 256)


LEVELS = (-9.0, 8.0)
"""Range of the log-SNRs, in nats, that denoisers learn."""
_BIAS = 4.0
"""Log-SNR in nats above which details count less, see `sigmoid_weight`."""
_COARSE = 1.0
"""Log-SNR in nats below which score decoders weight squared errors alike at all levels."""


def diffusion_loss(net: nn.Module, batch: Tensor, generator: torch.Generator) -> Tensor:
    """Bits per dimension of a diffusion model over `LEVELS`, a scalar; see `weighted_bits`.

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
        x: (n, 3, h, w), from -SPAN to SPAN.
        levels: the range of log-SNRs in nats.
        weight: maps log-SNRs (n,) to weights (n,) of the bits there.

    Returns:
        The mean over images, a scalar.
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
    """The sigmoid weight of arXiv 2410.19324: the finest details count less."""
    return sigmoid_weight(logsnr, _BIAS)


def _coarse_up(logsnr: Tensor) -> Tensor:
    """The same, with a larger weight for levels of strong noise.

    Given the decoded picture, errors at these levels cost few bits, yet they determine the overall
    look of a sample.
    """
    return _faint_down(logsnr) * (1 + torch.exp(_COARSE - logsnr))


_RESTORED = 3
"""One image in so many is restored in training, the others are drawn."""
_GRAIN = 4.0
"""Largest standard deviation of the noise of images that are restored, which files keep or not."""
_RESTORING_SHARE = 0.25
"""Weight of the relative squared error of restored images, beside bits per dimension."""


def score_loss(net: nn.Module, batch: Tensor, generator: torch.Generator) -> Tensor:
    """The loss of a network that restores and draws images given their decoded pictures, a scalar.

    A part of the images is restored from the decoded picture alone, for a small squared error
    relative to the picture's. For the others, `weighted_bits`.

    Args:
        batch: (n, 3, h, w) float integers from 0 to 255, n at least _RESTORED, h and w multiples of
            `models.wavelet.MULTIPLE`.
    """
    count = len(batch) // _RESTORED
    batch = torch.cat([_grainy(batch[:count], generator), batch[count:]])
    x = to_unit(batch)
    known = _decoded(batch, generator)
    picture = Known(known.image[:count], known.level[:count])
    level = torch.full((count,), RESTORING_LOGSNR, device=x.device)
    restored = net(torch.zeros_like(picture.image), level, picture)
    error, before = (
        (image - x[:count]).square().mean((1, 2, 3)) for image in (restored, picture.image)
    )
    ratio = (error / before.clamp_min(1e-6)).mean()
    drawn = _conditioned(net, Known(known.image[count:], known.level[count:]))
    levels = SCORE_LOGSNR_MIN - 0.5, SCORE_LOGSNR_MAX
    bits = weighted_bits(drawn, x[count:], levels, _coarse_up, generator)
    return (1 - count / len(x)) * bits + _RESTORING_SHARE * ratio


def _grainy(batch: Tensor, generator: torch.Generator) -> Tensor:
    """Images (n, 3, h, w) of 0 to 255, half of them with white noise."""
    most = torch.rand((len(batch), 1, 1, 1), generator=generator, device=batch.device)
    noise = torch.randn(batch.shape, generator=generator, device=batch.device)
    deviation = (2 * _GRAIN * most - _GRAIN).clamp_min(0)
    return (batch + deviation * noise).round().clamp(0, 255)


Method = Callable[..., Tensor]
"""`progressive_loss`, `consistency_loss` or, for networks that are a `Pair`, `moment_loss`."""


@dataclass(frozen=True)
class DistillationLoss:
    """The loss of a score decoder that samples in few calls.

    Attributes:
        teacher: the score decoder that it learns from, by name or path.
        steps: those of teacher and student.
        method: how it learns.
    """

    teacher: str
    steps: Steps
    method: Method

    def __call__(self, net: nn.Module, batch: Tensor, generator: torch.Generator) -> Tensor:
        """Squared error, a scalar.

        Args:
            batch: (n, 3, h, w) float integers from 0 to 255, h and w multiples of
                `models.wavelet.MULTIPLE`.

        Raises:
            ModelError: there is no such teacher.
        """
        x = to_unit(batch)
        known = _decoded(batch, generator)
        teacher = load(find(self.teacher)).to(x.device)
        learners = (net.student, net.auxiliary) if isinstance(net, Pair) else (net,)
        denoisers = [_conditioned(network, known) for network in (*learners, teacher)]
        loss: Tensor = self.method(*denoisers, x, self.steps, generator)
        return loss


def _conditioned(net: nn.Module, known: Known) -> Denoiser:
    """A denoiser of images whose decoded pictures are known."""
    return lambda z, logsnr: net(z, logsnr, known)


def _decoded(batch: Tensor, generator: torch.Generator) -> Known:
    """Images (n, 3, h, w) of 0 to 255 after coding, at random steps."""
    low, high = (math.log(step) for step in TRAINED_STEPS)
    place = torch.rand(len(batch), generator=generator, device=batch.device)
    step = torch.exp(low + (high - low) * place)
    return Known(to_unit(coded(batch, step)), known_level(step))


def masked_bits(net: nn.Module, batch: Tensor, generator: torch.Generator) -> Tensor:
    """Bits per dimension of an order-agnostic model: arXiv 2110.02037, eq. 5 over all stages.

    Each image draws a stage and a fraction of known samples; the mean cost of the masked samples,
    times the number of stages, is an unbiased estimate of the bits of a sample.

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
    """Bits of the digit of every sample in its image's stage, (n, 3, h, w).

    Args:
        x: (n, 3, h, w) float integers from 0 to 255.
        mask: (n, 3, h, w), 1 where that digit is known, else 0.
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
        offset = (edge - centre - 0.5) * LOCATION_UNITS
        share = torch.sigmoid((offset[:, None] - location) * inverse)
        total = (weights * share).sum(1)
        total = torch.where(edge <= 0, 0.0, torch.where(edge >= 256, 1.0, total))
        return total * (1 - UNIFORM_SHARE) + UNIFORM_SHARE * edge / 256

    inside = below(value + step) - below(value)
    whole = below(prefix + 4 * step) - below(prefix)
    return torch.log2(whole.clamp_min(1e-9)) - torch.log2(inside.clamp_min(1e-9))


def lattice_level_bits(net: lattice.LatticeNet, level: int, image: Tensor) -> Tensor:
    """Bits of the three coded sub-lattices of each image of one pyramid level, shape (n,).

    Args:
        image: (n, 3, h, w) float integers from 0 to 255 in coding order of the channels, h
            and w even.
    """
    parts = lattice.sub_lattices(image)
    known = {"E": parts["E"]}
    bits = image.new_zeros(len(image))
    carried = None
    for phase in lattice.PHASES:
        around = lattice.neighbours(phase, known)
        base = lattice.interpolate(around[:4])
        x = known[phase] = parts[phase]
        difference = x - base
        clamped = lattice.residual(x, base)
        phase_net = net.phase(level, phase)
        carried, features = phase_net.features(lattice.input_planes(around, base), carried)
        for channel in range(lattice.CHANNELS):
            parameters = phase_net.parameters_of(channel, features, clamped[:, :channel])
            bits = bits + logistic_mixture_bits(
                parameters, x[:, channel], base[:, channel], difference[:, :channel]
            ).sum((1, 2))
    return bits


def lattice_bits(net: nn.Module, batch: Tensor, generator: torch.Generator) -> Tensor:
    """Bits per dimension of square crops under a lattice network, without the coarsest pixels.

    Args:
        batch: (n, 3, size, size) RGB or planes in their place, float integers from 0 to 255; size
            divisible by 2^levels.
    """
    assert isinstance(net, lattice.LatticeNet)
    image = batch[:, list(lattice.CODING_ORDER)]
    dimensions = image[0].numel() * len(image)
    bits = batch.new_zeros(())
    for level in range(net.config.levels):
        image = image.contiguous(memory_format=torch.channels_last)
        bits = bits + lattice_level_bits(net, level, image).sum()
        image = image[..., ::2, ::2]
    return bits / dimensions


def mixed_lattice_bits(net: nn.Module, batch: Tensor, generator: torch.Generator) -> Tensor:
    """`lattice_bits` of RGB crops of which `with_planes` turns a share into source planes."""
    return lattice_bits(net, with_planes(batch, generator), generator)


class VdmBits(NamedTuple):
    """The terms of vdm's bound, in bits per hidden pixel and plane (arXiv 2107.00630, eq. 4).

    Attributes:
        prior: of the noisiest values, net of the bits of their noise.
        diffusion: of the steps to cleaner values.
        reconstruction: of the pixels given the cleanest values.
    """

    prior: Tensor
    diffusion: Tensor
    reconstruction: Tensor


def vdm_terms(net: nn.Module, batch: Tensor, generator: torch.Generator) -> VdmBits:
    """The terms of vdm's bound, estimated from a batch.

    An eighth of the batch (at least one image) estimates the prior term, another eighth the
    reconstruction term. The others estimate the diffusion term, each from one step of a chain of
    8 to 128 steps.

    Args:
        batch: (n, 3, h, w) RGB float integers from 0 to 255, n at least 3, h and w even.
    """
    image = vdm.to_planes(batch)
    even = lattice.sub_lattices(image)["E"].contiguous(memory_format=torch.channels_last)
    x = vdm.hidden_pixels(image) - vdm.bases(even)
    count = len(batch)
    slots = torch.arange(count, device=batch.device)
    unseen, cleanest = slots % 8 == 0, slots % 8 == 1
    chosen = ~(unseen | cleanest)
    reach = vdm.LOG_SIGMA_MAX - vdm.LOG_SIGMA_MIN
    jitter = torch.rand((2, count), generator=generator, device=batch.device)
    steps = torch.exp2(3 + 4 * jitter[0])
    # Stratified draws: every batch covers the levels evenly.
    place = (chosen.cumsum(0) - 1 + jitter[1]) / chosen.sum()
    level = torch.round(vdm.LOG_SIGMA_MIN + reach * (1 / steps + place * (1 - 1 / steps))).long()
    level = torch.where(unseen, vdm.UNSEEN, torch.where(cleanest, vdm.LOG_SIGMA_MIN, level))
    noise = torch.randn(x.shape, generator=generator, device=batch.device)
    s = torch.exp2(level / vdm.UNITS)[:, None, None, None]
    whole = 2.0**vdm.LATENT_FRAC
    latent = torch.round((x + s * noise) * whole)
    estimate, width = net(even, latent, level)
    skip, out = vdm.gauge(level)
    off = x - skip * latent / whole - out * estimate * 2.0**-vdm.ESTIMATE_FRAC
    variance = (out * torch.exp2(width * 2.0**-vdm.ESTIMATE_FRAC)).square()
    # The step from the prior is one from infinite noise.
    cleaner = torch.where(unseen, vdm.LOG_SIGMA_MAX, level - reach / steps)
    power = torch.exp2(2 * cleaner / vdm.UNITS)[:, None, None, None]
    weight = torch.where(unseen[:, None, None, None], 1.0, 1 - power / s**2)
    wider = weight * variance / power
    squared = weight * off.square() / power
    nats = 0.5 * (torch.log1p(wider) + (squared - wider) / (1 + wider))
    bits = nats.mean((1, 2, 3)) / math.log(2)
    deviation = variance[cleanest].sqrt()
    ends = [torch.special.ndtr((off[cleanest] + edge) / deviation) for edge in (0.5, -0.5)]
    nearest = -torch.log2((ends[0] - ends[1]).clamp_min(2.0**-20))
    return VdmBits(bits[unseen].mean(), (bits * steps)[chosen].mean(), nearest.mean())


def vdm_bits(net: nn.Module, batch: Tensor, generator: torch.Generator) -> Tensor:
    """The sum of `vdm_terms`."""
    prior, diffusion, reconstruction = vdm_terms(net, batch, generator)
    return prior + diffusion + reconstruction
