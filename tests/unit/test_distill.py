"""Distillation from Gaussian images, whose few-step samplers are known, and of small networks."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import pytest
import torch
from torch import Tensor, nn

from noisepress.models.diffusion import Denoiser, alpha_sigma, posterior
from noisepress.models.samplers import ancestral, ddim
from noisepress.models.unet import UNet, UNetConfig
from noisepress.training.distill import Steps, consistency_loss, moment_loss, progressive_loss

Loss = Callable[[Denoiser, Denoiser, Tensor, Steps, torch.Generator], Tensor]

MEAN = torch.tensor([0.5, -0.25, 1.0], dtype=torch.float64)
VARIANCE = torch.tensor([4.0, 1.0, 0.1], dtype=torch.float64)
STEPS = Steps((-6.0, -3.0, -1.5, 0.0, 1.0, 3.0, 5.0, 6.0, math.inf), stride=4)

BY_TRAJECTORY = pytest.mark.parametrize("loss", [progressive_loss, consistency_loss])


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normals(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=generator(seed), dtype=torch.float64)


def images(count: int, source: torch.Generator) -> Tensor:
    """(count, 3, 4, 4), every sample independent, with its colour's mean and variance."""
    unit = torch.randn(count, 3, 4, 4, generator=source, dtype=torch.float64)
    return MEAN[:, None, None] + VARIANCE.sqrt()[:, None, None] * unit


def lines(logsnr: Tensor) -> tuple[Tensor, Tensor]:
    """Slope and intercept of the mean of such images as a function of z, (n, 3) each."""
    alpha, sigma = (part[:, :, 0, 0] for part in alpha_sigma(logsnr))
    slope = alpha * VARIANCE / (alpha**2 * VARIANCE + sigma**2)
    return slope, MEAN * (1 - slope * alpha)


def teacher(z: Tensor, logsnr: Tensor) -> Tensor:
    """The ideal denoiser of `images`."""
    slope, intercept = (part[:, :, None, None] for part in lines(logsnr))
    return intercept + slope * z


class Lines(nn.Module):
    """A line for each colour and level; at first the teacher's."""

    def __init__(self, levels: tuple[float, ...]) -> None:
        super().__init__()
        finite = [level for level in levels if level < math.inf]
        self.levels = torch.tensor(finite, dtype=torch.float64)
        self.table = nn.Parameter(torch.stack(lines(self.levels), 1))

    def forward(self, z: Tensor, logsnr: Tensor) -> Tensor:
        rows = torch.searchsorted(self.levels, logsnr)
        assert torch.equal(self.levels[rows], logsnr)
        slope, intercept = self.table[rows].unbind(1)
        return intercept[:, :, None, None] + slope[:, :, None, None] * z


class Exact:
    """The estimates whose steps to the end of the student's step land where the teacher's do."""

    def __init__(self, steps: Steps) -> None:
        self.steps = steps

    def __call__(self, z: Tensor, logsnr: Tensor) -> Tensor:
        return torch.cat([self._one(z[i : i + 1], level) for i, level in enumerate(logsnr)])

    def _one(self, z: Tensor, logsnr: Tensor) -> Tensor:
        place = self.steps.levels.index(logsnr.item())
        end = (place // self.steps.stride + 1) * self.steps.stride
        run = self.steps.levels[place : end + 1]

        def landed(x: Tensor) -> Tensor:
            return ddim(lambda z, logsnr: x, z, [run[0], run[-1]])

        wanted, from_zero = ddim(teacher, z, run), landed(torch.zeros_like(z))
        x = (wanted - from_zero) / (landed(torch.ones_like(z)) - from_zero)
        assert torch.allclose(landed(x), wanted)
        return x


class Recorded:
    """A denoiser that remembers what it was last called with and what it returned."""

    def __init__(self, denoiser: Denoiser) -> None:
        self.denoiser = denoiser

    def __call__(self, z: Tensor, logsnr: Tensor) -> Tensor:
        self.z, self.logsnr = z, logsnr
        self.answer = self.denoiser(z, logsnr)
        return self.answer


@pytest.mark.parametrize(
    ("levels", "stride"),
    [
        ((0.0, 1.0, 1.0), 2),
        ((0.0, 2.0, 1.0), 2),
        ((0.0, 1.0, math.inf, math.inf, math.inf), 2),
        ((0.0, math.nan, 1.0), 2),
    ],
)
def test_levels_must_rise(levels: tuple[float, ...], stride: int) -> None:
    with pytest.raises(ValueError, match="must rise"):
        Steps(levels, stride)


@pytest.mark.parametrize(
    ("levels", "stride"),
    [((0.0, 1.0, 2.0, 3.0), 2), ((0.0, 1.0, 2.0), 1), ((0.0,), 2), ((), 2), ((0.0, 1.0), 0)],
)
def test_the_student_takes_whole_steps(levels: tuple[float, ...], stride: int) -> None:
    with pytest.raises(ValueError, match="whole"):
        Steps(levels, stride)


def test_the_student_skips_levels() -> None:
    assert STEPS.student == (-6.0, 1.0, math.inf)
    assert Steps((-math.inf, 0.0, 1.0), 2).student == (-math.inf, 1.0)


@BY_TRAJECTORY
@pytest.mark.parametrize("stride", [2, 3, 6])
def test_no_loss_for_steps_that_land_where_the_teacher_does(loss: Loss, stride: int) -> None:
    for last in (4.0, math.inf):
        steps = Steps((-5.0, -4.0, -1.0, -0.5, 0.5, 2.0, last), stride)
        x = images(12, generator(1))
        assert loss(Exact(steps), teacher, x, steps, generator()).item() < 1e-20
        assert loss(teacher, teacher, x, steps, generator()).item() > 1e-3


@BY_TRAJECTORY
def test_a_step_to_the_image_has_exactly_the_last_estimate_for_its_target(loss: Loss) -> None:
    steps = Steps((-math.inf, 1.0, math.inf), 2)
    asked = Recorded(lambda z, logsnr: Exact(steps)(z, logsnr))
    assert loss(asked, teacher, images(4, generator(2)), steps, generator()).item() == 0
    start = asked.z[:1]
    assert torch.equal(asked.answer[:1], ddim(teacher, start, steps.levels))


@BY_TRAJECTORY
def test_the_error_is_that_of_v(loss: Loss) -> None:
    """An estimate off by d makes v wrong by d / sigma; a target is made without gradients."""
    steps = Steps((-1.0, 0.0, 1.0, 2.0, math.inf), 2)
    exact = Exact(steps)
    off = Recorded(lambda z, logsnr: exact(z, logsnr) + 0.1 * torch.is_grad_enabled())
    value = loss(off, teacher, images(4, generator(3)), steps, generator())
    _, sigma = alpha_sigma(off.logsnr)
    assert value.item() == pytest.approx((0.1 / sigma).square().mean().item())


def test_every_batch_covers_the_levels() -> None:
    asked, auxiliary = Recorded(teacher), Recorded(teacher)
    levels = list(STEPS.levels)
    for seed in range(20):
        progressive_loss(asked, teacher, images(2, generator(seed)), STEPS, generator(seed))
        assert asked.logsnr.tolist() == [-6.0, 1.0]
        consistency_loss(asked, teacher, images(8, generator(seed)), STEPS, generator(seed))
        assert asked.logsnr.tolist() == levels[:-1]
        moment_loss(asked, auxiliary, teacher, images(7, generator()), STEPS, generator(seed))
        assert asked.logsnr.tolist() == [-6.0] * 4 + [1.0] * 3
        assert auxiliary.logsnr.tolist() == levels[1:-1]


def test_a_draw_that_rounds_up_is_of_the_last_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "rand", lambda count, **_: torch.full((count,), 1 - 2.0**-24))
    asked = Recorded(teacher)
    progressive_loss(asked, teacher, images(4, generator()), STEPS, generator())
    assert asked.logsnr.tolist() == [-6.0, 1.0, 1.0, 1.0]


def test_images_become_noisy_by_the_posterior() -> None:
    student, auxiliary = Recorded(teacher), Recorded(teacher)
    moment_loss(student, auxiliary, teacher, images(700, generator(4)), STEPS, generator())
    ways = zip(student.logsnr.tolist(), auxiliary.logsnr.tolist(), strict=True)
    steps = [posterior(start, end) for start, end in ways]
    for start, made, end, step in zip(student.z, student.answer, auxiliary.z, steps, strict=True):
        end.sub_(step.of_z * start + step.of_x * made).div_(math.sqrt(step.variance))
    unit, before = auxiliary.z.reshape(7, -1), student.z.reshape(7, -1)
    assert (unit.mean(1).abs() < 0.06).all() and ((unit.std(1) - 1).abs() < 0.04).all()
    assert (unit @ before.T / unit.shape[1]).abs().max() < 0.2


def test_moments_teach_the_two_networks_separately() -> None:
    """The gradients of arXiv 2406.04103, algorithm 2, each as it stands there."""
    small, guess = Lines(STEPS.student), Lines(STEPS.levels)
    with torch.no_grad():
        small.table.add_(0.1)
        guess.table.sub_(0.1)
    student, auxiliary = Recorded(small), Recorded(guess)
    x = images(14, generator(5))
    loss = moment_loss(student, auxiliary, teacher, x, STEPS, generator())

    made, found = student.answer, auxiliary.answer
    _, sigma = alpha_sigma(auxiliary.logsnr)
    weight = sigma**-2 / made.numel()
    taught = teacher(auxiliary.z, auxiliary.logsnr)
    apart = (weight * made * (found - taught).detach()).sum()
    errors = (weight * ((made.detach() - found) ** 2 + (taught - found) ** 2)).sum()
    for weights, objective in ((small.table, apart), (guess.table, errors)):
        wanted, gradient = gradients([weights], objective)[0], gradients([weights], loss)[0]
        assert wanted.abs().max() > 1e-3 and torch.allclose(gradient, wanted)
    matching = (weight * (found - taught) ** 2).sum() / 2
    assert loss.item() == pytest.approx((matching + errors).item())


def gradients(weights: Iterable[Tensor], loss: Tensor) -> list[Tensor]:
    return list(torch.autograd.grad(loss, list(weights), retain_graph=True, materialize_grads=True))


def train(network: nn.Module, loss: Callable[[Tensor, torch.Generator], Tensor]) -> None:
    """Train with Adam at a learning rate that falls to zero."""
    updates, source = 400, generator(6)
    adam = torch.optim.Adam(network.parameters(), 0.03, betas=(0.9, 0.98))
    falling = torch.optim.lr_scheduler.LinearLR(adam, 1, 0, updates)
    for _ in range(updates):
        adam.zero_grad()
        torch.autograd.backward(loss(images(32, source), source))
        adam.step()
        falling.step()


@BY_TRAJECTORY
def test_few_steps_then_give_the_images_of_many(loss: Loss) -> None:
    """Noise by noise: those of the teacher's sampler exactly, and so almost those of the ODE."""
    student = Lines(STEPS.levels)
    train(student, lambda x, source: loss(student, teacher, x, STEPS, source))
    noise = normals(7, 64, 3, 4, 4)
    few = ddim(student, noise, STEPS.student)
    assert torch.allclose(few, ddim(teacher, noise, STEPS.levels), atol=1e-4)
    many = ddim(teacher, noise, [*torch.linspace(-6, 6, 500).tolist(), math.inf])

    def error(x: Tensor) -> Tensor:
        return (x - many).square().mean((0, 2, 3)) / VARIANCE

    assert (error(ddim(teacher, noise, STEPS.student)) > 0.1).all()
    assert (error(few) < 0.1).all()


def test_few_steps_then_give_images_of_the_right_moments() -> None:
    student, auxiliary = Lines(STEPS.student), Lines(STEPS.levels)
    both = nn.ModuleList([student, auxiliary])
    noise = normals(8, 1000, 3, 4, 4)

    def moments(denoiser: Denoiser) -> tuple[Tensor, Tensor]:
        """Shift of the mean in standard deviations, and ratio of variances to the images', (3,)."""
        x = ancestral(denoiser, noise, STEPS.student, lambda step: normals(9 + step, *noise.shape))
        shift = (x.mean((0, 2, 3)) - MEAN) / VARIANCE.sqrt()
        return shift, x.var((0, 2, 3)) / VARIANCE

    assert (moments(teacher)[1] < 0.4).all()
    train(both, lambda x, source: moment_loss(student, auxiliary, teacher, x, STEPS, source))
    shift, variance = moments(student)
    assert (shift.abs() < 0.1).all() and ((variance - 1).abs() < 0.35).all()


def unet(seed: int) -> UNet:
    torch.manual_seed(seed)
    return UNet(UNetConfig(width0=4, width1=4, width2=4, width3=4, down=1, up=1))


@pytest.mark.parametrize("loss", [progressive_loss, consistency_loss, moment_loss])
def test_networks_learn_and_the_teacher_does_not(loss: Callable[..., Tensor]) -> None:
    steps = Steps((-9.0, -3.0, 0.0, 3.0, 8.0, math.inf), 5)
    learners = [unet(1), unet(2)] if loss is moment_loss else [unet(1)]
    master = unet(0)
    x = images(2, generator(10)).float().repeat(1, 1, 4, 4)
    value = loss(*learners, master, x, steps, generator())
    assert value.shape == () and value.dtype == torch.float32
    for learner in learners:
        found = gradients(learner.parameters(), value)
        assert all(gradient.isfinite().all() for gradient in found)
        assert any(gradient.any() for gradient in found)
    assert not any(gradient.any() for gradient in gradients(master.parameters(), value))
