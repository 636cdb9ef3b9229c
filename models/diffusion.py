"""Gaussian diffusion in continuous time: noise levels, parameterisations, posteriors, bits.

A noisy image is z = alpha x + sigma e with e standard normal and alpha^2 + sigma^2 = 1 (variance
preserving). Its noise level is the log-SNR, log(alpha^2 / sigma^2), in nats; all functions take
that instead of a time (Kingma et al., Variational Diffusion Models, arXiv 2107.00630).

Images are scaled to -SPAN..SPAN, which gives photographs about unit variance.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

SPAN = 2.0


class Denoiser(Protocol):
    """The mean of the image given a noisy one."""

    def __call__(self, z: Tensor, logsnr: Tensor) -> Tensor:
        """E[x | z].

        Args:
            z: (n, 3, h, w), noisy images.
            logsnr: (n,), their noise levels.
        """
        ...


def to_unit(samples: Tensor) -> Tensor:
    """Samples of 0 to 255 as float32 of -SPAN to SPAN."""
    return samples.float() * (2 * SPAN / 255) - SPAN


def to_samples(x: Tensor) -> Tensor:
    """The inverse of `to_unit`, rounded and clamped, as uint8."""
    return ((x + SPAN) * (255 / (2 * SPAN))).round().clamp(0, 255).to(torch.uint8)


def alpha_sigma(logsnr: Tensor) -> tuple[Tensor, Tensor]:
    """Signal and noise amplitude, (n, 1, 1, 1), of log-SNRs (n,)."""
    level = logsnr[:, None, None, None]
    return torch.sigmoid(level).sqrt(), torch.sigmoid(-level).sqrt()


def noisy(x: Tensor, noise: Tensor, logsnr: Tensor) -> Tensor:
    """z at log-SNRs (n,) of images and standard normal noise (n, 3, h, w)."""
    alpha, sigma = alpha_sigma(logsnr)
    return alpha * x + sigma * noise


def x_from_v(z: Tensor, v: Tensor, logsnr: Tensor) -> Tensor:
    """The image that a v-prediction means: v = alpha e - sigma x (arXiv 2202.00512)."""
    alpha, sigma = alpha_sigma(logsnr)
    return alpha * z - sigma * v


def joined(z: Tensor, logsnr: Tensor, other: Tensor, level: Tensor) -> tuple[Tensor, Tensor]:
    """A noisy image and a second one of the same image as one of less noise, and its log-SNR.

    Args:
        z: (n, 3, h, w), at log-SNRs (n,).
        other: (n, 3, h, w), the image and an error of its own, which is taken to be noise.
        level: (n,), log-SNRs of the second one.
    """
    share = torch.sigmoid(logsnr - level)[:, None, None, None]
    alpha, _ = alpha_sigma(logsnr)
    together = torch.logaddexp(logsnr, level)
    return alpha_sigma(together)[0] * (share / alpha * z + (1 - share) * other), together


def noise_from_x(z: Tensor, x: Tensor, logsnr: Tensor) -> Tensor:
    """The noise e that z holds beside the image."""
    alpha, sigma = alpha_sigma(logsnr)
    return (z - alpha * x) / sigma


def x_from_noise(z: Tensor, noise: Tensor, logsnr: Tensor) -> Tensor:
    """The image that a noise prediction means."""
    alpha, sigma = alpha_sigma(logsnr)
    return (z - sigma * noise) / alpha


def cosine(time: float) -> float:
    """Log-SNR of the cosine schedule at a time inside 0 to 1 (arXiv 2102.09672, eq. 17)."""
    return -2 * math.log(math.tan(math.pi * time / 2))


def shifted(schedule: Callable[[float], float], side: int, base: int) -> Callable[[float], float]:
    """A schedule made for images of `base` pixels a side, for images of `side`.

    Larger images need more noise to hide the same structures (arXiv 2301.11093, section 2.1).
    """
    return lambda time: schedule(time) + 2 * math.log(base / side)


def sigmoid_weight(logsnr: Tensor, bias: float) -> Tensor:
    """Weight of the squared error of the noise: sigmoid(bias - logsnr) (arXiv 2410.19324)."""
    return torch.sigmoid(bias - logsnr)


@dataclass(frozen=True)
class Posterior:
    """q(z_s | z_t, x), a Gaussian (arXiv 2107.00630, appendix A).

    Attributes:
        of_z, of_x: its mean is of_z z_t + of_x x.
        variance: of every sample.
    """

    of_z: float
    of_x: float
    variance: float


def posterior(noisier: float, cleaner: float) -> Posterior:
    """The posterior of one step, from a lower to a higher log-SNR; -inf is pure noise.

    Raises:
        ValueError: the second log-SNR is not the higher one.
    """
    if not noisier < cleaner:
        raise ValueError(f"a step goes to a higher log-SNR, not from {noisier} to {cleaner}")
    removed = -math.expm1(noisier - cleaner)  # of the noise
    kept = _power(noisier) / _power(cleaner)  # of the signal's power
    return Posterior(
        of_z=math.sqrt(kept) * _power(-cleaner) / _power(-noisier),
        of_x=math.sqrt(_power(cleaner)) * removed,
        variance=_power(-cleaner) * removed,
    )


def _power(logsnr: float) -> float:
    """The logistic function without overflow."""
    return math.exp(-_softplus(-logsnr))


def _softplus(value: float) -> float:
    return max(value, 0.0) + math.log1p(math.exp(-abs(value)))


def bits_density(x: Tensor, estimate: Tensor, logsnr: Tensor) -> Tensor:
    """Bits per dimension and nat of log-SNR that images cost at a noise level, shape (n,).

    The integrand of the diffusion loss: half the SNR times the squared error (arXiv 2107.00630,
    section 5).
    """
    error = functional.mse_loss(estimate, x, reduction="none").mean((1, 2, 3))
    return error * torch.exp(logsnr) / (2 * math.log(2))


@torch.no_grad()
def diffusion_bits(
    denoiser: Denoiser, x: Tensor, levels: Sequence[float], generator: torch.Generator
) -> Tensor:
    """The variational bound on the bits per dimension of coding z at the last level, (n,).

    The sum over the steps of KL(q(z_s | z_t, x) || p(z_s | z_t)) where p has q's variance and the
    denoiser's estimate for x (arXiv 2107.00630, section 4), and the KL of z at the first level from
    the standard normal.

    Args:
        x: (n, 3, h, w), images of -SPAN to SPAN.
        levels: rising log-SNRs.
        generator: of the noise, on the device of the images.
    """
    first = torch.full((len(x),), levels[0], device=x.device)
    power, left = torch.sigmoid(first), torch.sigmoid(-first)
    energy = x.square().mean((1, 2, 3))
    nats = 0.5 * (power * energy + left - 1 - torch.log(left))
    for noisier, cleaner in pairwise(levels):
        level = torch.full((len(x),), noisier, device=x.device)
        noise = torch.randn(x.shape, generator=generator, device=x.device)
        estimate = denoiser(noisy(x, noise, level), level)
        step = posterior(noisier, cleaner)
        error = (estimate - x).square().mean((1, 2, 3))
        nats = nats + 0.5 * step.of_x**2 / step.variance * error
    return nats / math.log(2)
