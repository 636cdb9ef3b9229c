"""Distillation: losses that teach a denoiser to sample in fewer steps than its teacher.

All take the denoisers, the teacher last, clean images, the steps, and a generator, and return a
scalar. Each image draws one step, stratified over the batch. The teacher gets no gradient. Errors
of the image are weighted by 1 / sigma^2, the SNR + 1, which makes them errors of v (arXiv
2202.00512, section 4).

`progressive_loss` and `consistency_loss` make students for `models.samplers.ddim`, which map each
noise to the image that the teacher makes of it. `moment_loss` makes one for
`models.samplers.ancestral`, whose images are distributed as the teacher's. Either samples at the
levels `Steps.student`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from ..models.diffusion import Denoiser, alpha_sigma, noisy, posterior
from ..models.samplers import step
from ..models.unet import UNet


@dataclass(frozen=True)
class Steps:
    """The steps of a teacher's sampler, and the longer ones of its student's.

    Attributes:
        levels: rising log-SNRs in nats between which the teacher steps; the last may be math.inf,
            the image, and the first -math.inf if the denoisers take that.
        stride: steps of the teacher that one step of the student replaces, at least 2.

    Raises:
        ValueError: the levels do not rise, or their steps do not divide by the stride.
    """

    levels: tuple[float, ...]
    stride: int

    def __post_init__(self) -> None:
        count = len(self.levels) - 1
        if self.stride < 2 or count < 1 or count % self.stride:
            raise ValueError(f"{count} steps are not a whole number of steps of {self.stride}")
        if not all(noisier < cleaner for noisier, cleaner in pairwise(self.levels)):
            raise ValueError(f"levels must rise, unlike {self.levels}")

    @property
    def student(self) -> tuple[float, ...]:
        """The levels of the student's sampler."""
        return self.levels[:: self.stride]


def progressive_loss(
    student: Denoiser, teacher: Denoiser, x: Tensor, steps: Steps, generator: torch.Generator
) -> Tensor:
    """Squared error of v to the estimate that lands where `stride` steps of the teacher do.

    Progressive distillation (arXiv 2202.00512, algorithm 2), where the stride is 2. The student is
    called at the levels of its own steps only, and so can be the teacher of the next student.

    Args:
        x: (n, 3, h, w), images of -SPAN to SPAN.
        generator: draws the steps and the noise, on the device of the images.

    Returns:
        The mean over images and samples, a scalar.
    """
    levels = _levels(steps, x)
    first = steps.stride * _draws(len(steps.student) - 1, x, generator)
    start, end = levels[first], levels[first + steps.stride]
    z = _noised(x, start, generator)
    with torch.no_grad():
        reached = z
        for place in range(steps.stride):
            noisier, cleaner = levels[first + place], levels[first + place + 1]
            reached = step(reached, teacher(reached, noisier), noisier, cleaner)
        target = _estimate(z, reached, start, end)
    return _error(student(z, start), target, start)


def consistency_loss(
    student: Denoiser, teacher: Denoiser, x: Tensor, steps: Steps, generator: torch.Generator
) -> Tensor:
    """Squared error of v to the estimate that lands where the student does a teacher's step later.

    Multistep consistency distillation (arXiv 2403.06807, algorithm 1), with the error squared, and
    with DDIM in place of aDDIM, which gives Gaussian images too much variance. The segments are the
    student's steps; it is called at all finite levels, and goes from each to the end of its
    segment.

    Args:
        x: (n, 3, h, w), images of -SPAN to SPAN.
        generator: draws the steps and the noise, on the device of the images.

    Returns:
        The mean over images and samples, a scalar.
    """
    levels = _levels(steps, x)
    place = _draws(len(levels) - 1, x, generator)
    start, after = levels[place], levels[place + 1]
    end = levels[(place // steps.stride + 1) * steps.stride]
    z = _noised(x, start, generator)
    with torch.no_grad():
        reached = step(z, teacher(z, start), start, after)
        # At the end of a segment no step is left; if that is the image, there is no finite level.
        arrived = after == end
        level = torch.where(arrived, start, after)
        onward = step(reached, student(reached, level), level, end)
        reached = torch.where(arrived[:, None, None, None], reached, onward)
        target = _estimate(z, reached, start, end)
    return _error(student(z, start), target, start)


class Pair(nn.Module):
    """A student and the auxiliary denoiser of `moment_loss`, to train as one network.

    Attributes:
        student, auxiliary: denoisers; at first, both are copies of the teacher.
    """

    def __init__(self, student: UNet, auxiliary: UNet) -> None:
        super().__init__()
        self.student, self.auxiliary = student, auxiliary


def moment_loss(
    student: Denoiser,
    auxiliary: Denoiser,
    teacher: Denoiser,
    x: Tensor,
    steps: Steps,
    generator: torch.Generator,
) -> Tensor:
    """Moment matching: an auxiliary denoiser learns the student's images, the student its moments.

    arXiv 2406.04103, algorithm 2, both of its updates at once. The student's images, estimated at
    the start of one of its steps, become noisy by q(z_s | z_t, x), s being any finite level of the
    step. The auxiliary denoiser learns to estimate them from that, without leaving the teacher.
    The gradient of the student's images is the difference of auxiliary and teacher: its part of the
    loss is half the square of that. No gradient of one part reaches the network of the other.

    Args:
        student: called at the levels of its own steps only.
        auxiliary: called at all finite levels except the first, as the teacher is.
        x: (n, 3, h, w), images of -SPAN to SPAN.
        generator: draws the steps and the noise, on the device of the images.

    Returns:
        The sum of both losses, means over images and samples, a scalar.
    """
    posteriors = _posteriors(steps, x)
    levels = _levels(steps, x)
    place = _draws(len(posteriors), x, generator)
    start, level = levels[place // steps.stride * steps.stride], levels[place + 1]
    z = _noised(x, start, generator)
    made = student(z, start)
    with torch.no_grad():
        of_z, of_x, deviation = posteriors[place].T[:, :, None, None, None]
        z = of_z * z + of_x * made + deviation * _normal(x, generator)
        taught = teacher(z, level)
    found = auxiliary(z, level)
    learning = _error(found, made.detach(), level) + _error(found, taught, level)
    return learning + _error(made, (made - found + taught).detach(), level) / 2


def _levels(steps: Steps, x: Tensor) -> Tensor:
    return torch.tensor(steps.levels, dtype=x.dtype, device=x.device)


def _posteriors(steps: Steps, x: Tensor) -> Tensor:
    """Posteriors from the start of a student's step to each finite level up to its end, (m, 3).

    `of_z`, `of_x` and the standard deviation of `models.diffusion.Posterior`.
    """
    rows: list[tuple[float, float, float]] = []
    for place, level in enumerate(steps.levels[1:]):
        if level < math.inf:
            to = posterior(steps.levels[place // steps.stride * steps.stride], level)
            rows.append((to.of_z, to.of_x, math.sqrt(to.variance)))
    return torch.tensor(rows, dtype=x.dtype, device=x.device)


def _draws(choices: int, x: Tensor, generator: torch.Generator) -> Tensor:
    """A whole number below `choices` for each image, (n,), stratified over the batch."""
    count = len(x)
    jitter = torch.rand(count, generator=generator, device=x.device)
    place = (torch.arange(count, device=x.device) + jitter) / count
    return (choices * place).long().clamp(max=choices - 1)  # the sum may be rounded up


def _normal(x: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn(x.shape, generator=generator, dtype=x.dtype, device=x.device)


def _noised(x: Tensor, logsnr: Tensor, generator: torch.Generator) -> Tensor:
    z = noisy(x, _normal(x, generator), logsnr)
    return z.contiguous(memory_format=torch.channels_last)


def _error(estimate: Tensor, target: Tensor, logsnr: Tensor) -> Tensor:
    """Mean squared error of v, of two estimates at log-SNRs (n,)."""
    _, sigma = alpha_sigma(logsnr)
    return ((estimate - target) / sigma).square().mean()


def _estimate(z: Tensor, reached: Tensor, noisier: Tensor, cleaner: Tensor) -> Tensor:
    """The estimate x with which `step` reaches a given z (arXiv 2403.06807, eq. 5)."""
    (alpha, sigma), (alpha_after, sigma_after) = alpha_sigma(noisier), alpha_sigma(cleaner)
    of_z = sigma_after / sigma
    return (reached - of_z * z) / (alpha_after - of_z * alpha)
