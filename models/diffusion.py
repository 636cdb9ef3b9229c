"""Gaussian diffusion in continuous time: noise levels, parameterisations, posteriors, bits.

A noisy image is z = alpha x + sigma e with e standard normal and alpha^2 + sigma^2 = 1 (variance
preserving). Its noise level is the log-SNR, log(alpha^2 / sigma^2), in nats; all functions take
that instead of a time (Kingma et al., Variational Diffusion Models, arXiv 2107.00630).

Images are scaled to -SPAN..SPAN, which gives photographs about unit variance.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

SPAN = 2.0
"""Largest magnitude of a sample of an image."""


class Denoiser(Protocol):
    """The mean of the image given a noisy one."""

    def __call__(self, z: Tensor, logsnr: Tensor) -> Tensor:
        """E[x | z].

        Args:
            z: (n, 3, h, w), noisy images.
            logsnr: (n,), their log-SNRs in nats.

        Returns:
            (n, 3, h, w), images of -SPAN to SPAN.
        """
        ...


def to_unit(samples: Tensor) -> Tensor:
    """Samples from 0 to 255, of any type and shape, as float32 from -SPAN to SPAN."""
    return samples.float() * (2 * SPAN / 255) - SPAN


def to_samples(x: Tensor) -> Tensor:
    """Images from -SPAN to SPAN as samples from 0 to 255, rounded and clamped, as uint8."""
    return ((x + SPAN) * (255 / (2 * SPAN))).round().clamp(0, 255).to(torch.uint8)


def alpha_sigma(logsnr: Tensor) -> tuple[Tensor, Tensor]:
    """Signal and noise amplitude, (n, 1, 1, 1) each, at log-SNRs (n,) in nats."""
    level = logsnr[:, None, None, None]
    return torch.sigmoid(level).sqrt(), torch.sigmoid(-level).sqrt()


def noisy(x: Tensor, noise: Tensor, logsnr: Tensor) -> Tensor:
    """z at log-SNRs (n,), from images (n, 3, h, w) and standard normal noise of their shape."""
    alpha, sigma = alpha_sigma(logsnr)
    return alpha * x + sigma * noise


def x_from_v(z: Tensor, v: Tensor, logsnr: Tensor) -> Tensor:
    """The image x, from z (n, 3, h, w) and v = alpha e - sigma x (arXiv 2202.00512) at (n,)."""
    alpha, sigma = alpha_sigma(logsnr)
    return alpha * z - sigma * v


def joined(z: Tensor, logsnr: Tensor, other: Tensor, level: Tensor) -> tuple[Tensor, Tensor]:
    """Fuse two noisy observations of an image into one of higher SNR.

    The mean of both with weights in proportion to their SNRs, for errors that are independent.

    Args:
        z: (n, 3, h, w), noisy images.
        logsnr: (n,), their log-SNRs in nats.
        other: (n, 3, h, w), the second observations: the images plus errors, not scaled by alpha.
        level: (n,), their log-SNRs: -log of the mean squared error.

    Returns:
        Noisy images (n, 3, h, w) and their log-SNRs (n,).
    """
    share = torch.sigmoid(logsnr - level)[:, None, None, None]
    alpha, _ = alpha_sigma(logsnr)
    together = torch.logaddexp(logsnr, level)
    return alpha_sigma(together)[0] * (share / alpha * z + (1 - share) * other), together


def noise_from_x(z: Tensor, x: Tensor, logsnr: Tensor) -> Tensor:
    """The noise e in z, given the image x; both (n, 3, h, w), at log-SNRs (n,)."""
    alpha, sigma = alpha_sigma(logsnr)
    return (z - alpha * x) / sigma


def sigmoid_weight(logsnr: Tensor, bias: float) -> Tensor:
    """Weight of the squared error of the noise: sigmoid(bias - logsnr) (arXiv 2410.19324), (n,)."""
    return torch.sigmoid(bias - logsnr)


@dataclass(frozen=True)
class Posterior:
    """q(z_s | z_t, x), a Gaussian (arXiv 2107.00630, appendix A).

    Attributes:
        of_z, of_x: factors of its mean, of_z z_t + of_x x.
        variance: its variance, the same for every sample.
    """

    of_z: float
    of_x: float
    variance: float


def posterior(noisier: float, cleaner: float) -> Posterior:
    """The posterior of one step, from a lower to a higher log-SNR in nats.

    A first log-SNR of -math.inf is pure noise, a second one of math.inf the image.

    Raises:
        ValueError: the second log-SNR is not the higher one.
    """
    if not noisier < cleaner:
        raise ValueError(f"a step goes to a higher log-SNR, not from {noisier} to {cleaner}")
    removed = -math.expm1(noisier - cleaner)  # share of the noise
    kept = _power(noisier) / _power(cleaner)  # share of the signal's power
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
    """Bits per dimension and nat of log-SNR that images cost at a noise level.

    The integrand of the diffusion loss: half the SNR times the squared error (arXiv 2107.00630,
    section 5).

    Args:
        x, estimate: (n, 3, h, w).
        logsnr: (n,), in nats.

    Returns:
        (n,).
    """
    error = functional.mse_loss(estimate, x, reduction="none").mean((1, 2, 3))
    return error * torch.exp(logsnr) / (2 * math.log(2))
