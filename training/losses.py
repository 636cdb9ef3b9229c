"""Training losses: the bits that the codecs would spend, in float and differentiable.

For lossless codecs each loss is the float twin of an integer entropy model of the bitstream.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ..models.diffusion import bits_density, noisy, sigmoid_weight, to_unit
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


def diffusion_loss(net: nn.Module, batch: Tensor, generator: torch.Generator) -> Tensor:
    """Bits per dimension of a diffusion model, the faintest details weighted down.

    The diffusion loss (arXiv 2107.00630, section 5) over `LEVELS`, with the sigmoid weight of
    arXiv 2410.19324. Each image draws a noise level, stratified over the batch.

    Args:
        batch: (n, 3, h, w) float integers from 0 to 255.
    """
    count = len(batch)
    low, high = LEVELS
    jitter = torch.rand(count, generator=generator, device=batch.device)
    logsnr = low + (high - low) * (torch.arange(count, device=batch.device) + jitter) / count
    x = to_unit(batch)
    noise = torch.randn(x.shape, generator=generator, device=x.device)
    z = noisy(x, noise, logsnr).contiguous(memory_format=torch.channels_last)
    density = bits_density(x, net(z, logsnr), logsnr) * sigmoid_weight(logsnr, _BIAS)
    return (high - low) * density.mean()


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
