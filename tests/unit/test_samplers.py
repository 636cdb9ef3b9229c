"""Samplers on models in closed form: where they arrive, and how fast they converge."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import pytest
import torch
from gaussian import GaussianDenoiser
from torch import Tensor

from noisepress.models.dct import CLASSES, from_blocks, to_blocks
from noisepress.models.diffusion import Denoiser, posterior
from noisepress.models.samplers import ancestral, ddim, dpm_solver
from noisepress.models.unet import UNet, UNetConfig

Sampler = Callable[[Denoiser, Tensor, Sequence[float]], Tensor]


def ancestral_seeded(denoiser: Denoiser, z: Tensor, levels: Sequence[float]) -> Tensor:
    """`ancestral` with the signature of the others."""
    generator = torch.Generator().manual_seed(7)
    return ancestral(
        denoiser, z, levels, lambda _: torch.randn(z.shape, generator=generator, dtype=z.dtype)
    )


EVERY = pytest.mark.parametrize("sampler", [ddim, ancestral_seeded, dpm_solver])


class Recorded:
    """A denoiser that remembers the levels it was called at and its last estimate."""

    def __init__(self, denoiser: Denoiser) -> None:
        self.denoiser = denoiser
        self.levels: list[float] = []

    def __call__(self, z: Tensor, logsnr: Tensor) -> Tensor:
        assert logsnr.shape == (len(z),) and logsnr.dtype == z.dtype
        self.levels.append(logsnr[0].item())
        self.last = self.denoiser(z, logsnr)
        return self.last


def normals(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.fixture(scope="module")
def gaussian() -> GaussianDenoiser:
    """Variances from 40 down to 0.001, in no order."""
    spread = torch.logspace(math.log10(40), -3, CLASSES, dtype=torch.float64)
    order = torch.randperm(CLASSES, generator=torch.Generator().manual_seed(0))
    mean = torch.tensor([0.5, -0.25, 1.0], dtype=torch.float64)
    return GaussianDenoiser(mean, spread[order].reshape(3, 8, 8))


def deviations(x: Tensor, gaussian: GaussianDenoiser) -> Tensor:
    """Root mean square of every class about the model's mean, by the model's, (192,)."""
    mean = gaussian.mean[:, None, None].expand(x.shape[1:])
    return (to_blocks(x - mean).square().mean((0, 2)) / gaussian.variances.flatten()).sqrt()


def uneven(low: float, high: float, pairs: int) -> list[float]:
    """Rising levels whose steps are alternately narrow and three times as wide."""
    widths = torch.tensor([1.0, 3.0], dtype=torch.float64).repeat(pairs)
    rise = (high - low) / (4 * pairs) * widths.cumsum(0)
    return [low, *(low + rise).tolist()]


@EVERY
def test_samples_from_pure_noise_are_those_of_the_model(
    sampler: Sampler, gaussian: GaussianDenoiser
) -> None:
    levels = [*uneven(-9, 11, 100), math.inf]
    x = sampler(gaussian, normals(1, 32, 3, 32, 32).float(), levels)
    ratios = deviations(x, gaussian)
    assert ratios.mean().item() == pytest.approx(1, abs=0.04)
    assert ratios.min() > 0.85 and ratios.max() < 1.15
    assert torch.allclose(x.mean((0, 2, 3)).double(), gaussian.mean, atol=0.05)


def test_samples_differ_with_the_noise_and_repeat_with_it(gaussian: GaussianDenoiser) -> None:
    z, levels = normals(2, 2, 3, 16, 16), [-4.0, -1.0, 2.0, math.inf]
    steps: list[int] = []

    def noise(step: int, seed: int = 0) -> Tensor:
        steps.append(step)
        return normals(100 * seed + step, *z.shape)

    first = ancestral(gaussian, z, levels, noise)
    assert steps == [0, 1], "none for the step to the image"
    assert torch.equal(first, ancestral(gaussian, z, levels, noise))
    other = ancestral(gaussian, z, levels, lambda step: noise(step, seed=1))
    assert not torch.allclose(first, other, atol=0.1)


def test_ancestral_step_is_a_draw_of_the_posterior(gaussian: GaussianDenoiser) -> None:
    z, unit = normals(3, 1, 3, 8, 8), normals(4, 1, 3, 8, 8)
    estimate = gaussian(z, torch.full((1,), -1.0))
    step = posterior(-1.0, 0.5)
    wanted = step.of_z * z + step.of_x * estimate + step.variance**0.5 * unit
    assert torch.allclose(ancestral(gaussian, z, [-1.0, 0.5], lambda _: unit), wanted)


def test_ancestral_refuses_levels_that_do_not_rise(gaussian: GaussianDenoiser) -> None:
    z = normals(5, 1, 3, 8, 8)
    with pytest.raises(ValueError, match="higher log-SNR"):
        ancestral(gaussian, z, [0.0, 1.0, 1.0], lambda _: z)


def amplitudes(*levels: float) -> tuple[Tensor, Tensor]:
    """alpha and sigma of each level."""
    logsnr = torch.tensor(levels, dtype=torch.float64)
    return logsnr.sigmoid().sqrt(), (-logsnr).sigmoid().sqrt()


def flow(gaussian: GaussianDenoiser, low: float, high: float) -> tuple[Tensor, Tensor]:
    """Noisy images and where the probability-flow ODE takes them: every class keeps its rank."""
    alphas, sigmas = amplitudes(low, high)
    z = normals(6, 1, 3, 8, 8)
    spread = (alphas**2)[:, None] * gaussian.variances.flatten() + (sigmas**2)[:, None]
    end = (spread[1] / spread[0]).sqrt()[:, None]
    mean = gaussian.mean[:, None, None].expand(3, 8, 8)
    bent = end * to_blocks(z - alphas[0] * mean)
    return z, alphas[1] * mean + from_blocks(bent, 8, 8)


@pytest.mark.parametrize(("sampler", "order"), [(ddim, 1), (dpm_solver, 2)], ids=["ddim", "dpm"])
def test_error_falls_with_the_order_as_levels_double(
    sampler: Sampler, order: int, gaussian: GaussianDenoiser
) -> None:
    z, end = flow(gaussian, -5, 6)
    errors = [
        (sampler(gaussian, z, uneven(-5, 6, pairs)) - end).abs().max().item()
        for pairs in (16, 32, 64)
    ]
    for coarse, fine in pairwise(errors):
        assert 0.9 * 2**order < coarse / fine < 1.1 * 2**order


def test_dpm_solver_extrapolates_by_the_ratio_of_the_widths(gaussian: GaussianDenoiser) -> None:
    """The letters are those of arXiv 2211.01095, algorithm 2; its lambda is half the log-SNR."""
    z, levels = normals(13, 1, 3, 8, 8), [-3.0, -1.0, 2.0]
    alphas, sigmas = amplitudes(*levels)
    recorded = Recorded(gaussian)
    first = dpm_solver(recorded, z, levels[:2])
    before = recorded.last
    estimate = gaussian(first, torch.tensor([levels[1]]))
    h_before, h = 1.0, 1.5
    r = h_before / h
    d = (1 + 1 / (2 * r)) * estimate - 1 / (2 * r) * before
    wanted = sigmas[2] / sigmas[1] * first - alphas[2] * math.expm1(-h) * d
    assert torch.allclose(dpm_solver(gaussian, z, levels), wanted)


def test_second_order_pays_at_few_calls(gaussian: GaussianDenoiser) -> None:
    z, end = flow(gaussian, -5, 6)

    def error(sampler: Sampler, pairs: int) -> float:
        return (sampler(gaussian, z, uneven(-5, 6, pairs)) - end).square().mean().item()

    assert error(dpm_solver, 8) < 0.1 * error(ddim, 8)


@EVERY
def test_one_step_is_exact_for_a_model_of_one_image(sampler: Sampler) -> None:
    image, noise = normals(8, 2, 3, 8, 8), normals(9, 2, 3, 8, 8)

    def known(z: Tensor, logsnr: Tensor) -> Tensor:
        return image

    start = 0.1 * image + math.sqrt(0.99) * noise
    level = math.log(0.01 / 0.99)
    assert torch.equal(sampler(known, start, [level, math.inf]), image)
    assert torch.equal(sampler(known, start, [-math.inf, math.inf]), image)
    end = sampler(known, start, [level, math.log(0.64 / 0.36)])
    if sampler is ancestral_seeded:
        assert (end - 0.8 * image).std().item() == pytest.approx(0.6, rel=0.1)
    else:
        assert torch.allclose(end, 0.8 * image + 0.6 * noise)


@EVERY
def test_the_last_step_returns_the_estimate_before_it(
    sampler: Sampler, gaussian: GaussianDenoiser
) -> None:
    recorded = Recorded(gaussian)
    x = sampler(recorded, normals(10, 2, 3, 8, 8), [-2.0, 0.0, 3.0, math.inf])
    assert recorded.levels == [-2.0, 0.0, 3.0]
    assert torch.equal(x, recorded.last)


@EVERY
def test_sampling_goes_on_where_it_stopped(sampler: Sampler, gaussian: GaussianDenoiser) -> None:
    """The level given for z is the level of z, and the one returned the last."""
    z = normals(11, 32, 3, 16, 16).float()
    half = sampler(gaussian, z, uneven(-9, 0, 20))
    spread = (0.5 * gaussian.variances + 0.5).flatten()
    mean = math.sqrt(0.5) * gaussian.mean[:, None, None].expand(3, 16, 16)
    ratios = to_blocks(half - mean).square().mean((0, 2)) / spread
    assert ratios.mean().item() == pytest.approx(1, abs=0.05)
    rest = sampler(gaussian, half, [*uneven(0, 11, 20), math.inf])
    assert deviations(rest, gaussian).mean().item() == pytest.approx(1, abs=0.05)


@EVERY
def test_networks_are_sampled_without_gradients(sampler: Sampler) -> None:
    torch.manual_seed(0)
    network = UNet(UNetConfig(width0=4, width1=4, width2=4, width3=4, down=1, up=1))
    z = normals(12, 2, 3, 16, 16).float()
    levels = [-4.0, 0.0, 4.0, math.inf]
    x = sampler(network, z, levels)
    assert x.shape == z.shape and x.dtype == torch.float32 and x.isfinite().all()
    assert not x.requires_grad and not x.is_inference()
    with torch.inference_mode():
        assert torch.equal(sampler(network, z, levels), x)
