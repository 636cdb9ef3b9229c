"""Gaussian diffusion: posteriors by Bayes' rule, and the bits of images whose rate is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.fft
import torch
from gaussian import GaussianDenoiser
from torch import Tensor

from noisepress.models.dct import CLASSES, from_blocks, to_blocks
from noisepress.models.diffusion import (
    SPAN,
    alpha_sigma,
    bits_density,
    joined,
    noise_from_x,
    noisy,
    posterior,
    sigmoid_weight,
    to_samples,
    to_unit,
    x_from_v,
)

STEPS = [(-9.0, -8.5), (-3.0, 2.0), (0.0, 0.25), (1.0, 9.0), (6.0, 6.5)]


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def normals(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def amplitudes(logsnr: float) -> tuple[float, float]:
    """alpha and sigma from the ratio and the sum of their squares."""
    snr = math.exp(logsnr)
    return math.sqrt(snr / (1 + snr)), math.sqrt(1 / (1 + snr))


@pytest.mark.parametrize(("noisier", "cleaner"), STEPS)
def test_posterior_follows_bayes_rule(noisier: float, cleaner: float) -> None:
    alpha_t, sigma_t = amplitudes(noisier)
    alpha_s, sigma_s = amplitudes(cleaner)
    kept = alpha_t / alpha_s  # z_t = kept z_s + added noise
    added = sigma_t**2 - kept**2 * sigma_s**2
    precision = 1 / sigma_s**2 + kept**2 / added
    step = posterior(noisier, cleaner)
    assert step.variance == pytest.approx(1 / precision, rel=1e-9)
    assert step.of_z == pytest.approx(kept / added / precision, rel=1e-9)
    assert step.of_x == pytest.approx(alpha_s / sigma_s**2 / precision, rel=1e-9)


@pytest.mark.parametrize(("noisier", "cleaner"), STEPS)
def test_information_of_a_step_is_the_difference_of_the_snrs(
    noisier: float, cleaner: float
) -> None:
    step = posterior(noisier, cleaner)
    difference = math.exp(cleaner) - math.exp(noisier)
    assert step.of_x**2 / step.variance == pytest.approx(difference, rel=1e-9)


@pytest.mark.parametrize("level", [-5.0, 0.0, 5.0])
def test_posterior_from_pure_noise_and_to_the_image(level: float) -> None:
    alpha, sigma = amplitudes(level)
    first, last = posterior(-math.inf, level), posterior(level, math.inf)
    assert first.of_z == 0
    assert first.of_x == pytest.approx(alpha)
    assert first.variance == pytest.approx(sigma**2)
    assert (last.of_z, last.of_x, last.variance) == (0, 1, 0)


@pytest.mark.parametrize(("noisier", "cleaner"), [(1.0, 1.0), (2.0, 1.0), (math.nan, 1.0)])
def test_steps_that_do_not_rise_are_refused(noisier: float, cleaner: float) -> None:
    with pytest.raises(ValueError, match="higher log-SNR") as error:
        posterior(noisier, cleaner)
    assert "\n" not in str(error.value)


def test_amplitudes_keep_the_variance_and_make_the_snr() -> None:
    logsnr = torch.tensor([-12.0, -1.0, 0.0, 3.0, 12.0], dtype=torch.float64)
    alpha, sigma = alpha_sigma(logsnr)
    assert alpha.shape == sigma.shape == (5, 1, 1, 1)
    assert torch.allclose(alpha**2 + sigma**2, torch.ones(1, dtype=torch.float64))
    assert torch.allclose((alpha**2 / sigma**2).log().flatten(), logsnr)


def test_parameterisations_mean_the_same_image(generator: torch.Generator) -> None:
    logsnr = torch.tensor([-8.0, -1.0, 0.0, 2.0, 8.0], dtype=torch.float64)
    x, noise = normals(generator, 5, 3, 4, 4), normals(generator, 5, 3, 4, 4)
    z = noisy(x, noise, logsnr)
    for index, level in enumerate(logsnr.tolist()):
        signal, rest = amplitudes(level)
        assert torch.allclose(z[index], signal * x[index] + rest * noise[index])
    alpha, sigma = alpha_sigma(logsnr)
    assert torch.allclose(x_from_v(z, alpha * noise - sigma * x, logsnr), x)
    assert torch.allclose(noise_from_x(z, x, logsnr), noise)


@pytest.mark.parametrize("level", [-2.0, 4.0])
def test_two_noisy_images_are_joined_as_one_of_less_noise(
    level: float, generator: torch.Generator
) -> None:
    """The SNRs add up, and what is left is noise of the new level."""
    x = torch.randn((3, 3, 64, 64), generator=generator, dtype=torch.float64)
    errors = torch.randn((2, *x.shape), generator=generator, dtype=torch.float64)
    logsnr = torch.tensor([-6.0, 3.0, 8.0], dtype=torch.float64)
    other = x + math.exp(-level / 2) * errors[1]
    levels = torch.full_like(logsnr, level)
    z, together = joined(noisy(x, errors[0], logsnr), logsnr, other, levels)
    torch.testing.assert_close(together.exp(), logsnr.exp() + math.exp(level))
    noise = noise_from_x(z, x, together)
    torch.testing.assert_close(noise.std((1, 2, 3)), torch.ones(3).double(), rtol=0.03, atol=0)


def test_samples_survive_scaling() -> None:
    samples = torch.arange(256, dtype=torch.uint8)
    x = to_unit(samples)
    assert x.dtype == torch.float32
    assert x[[0, -1]].tolist() == [-SPAN, SPAN]
    assert torch.equal(to_samples(x), samples)
    assert to_samples(torch.tensor([-9.0, 9.0])).tolist() == [0, 255]


def test_sigmoid_weight_falls_as_the_snr_rises_beyond_the_bias() -> None:
    weight = sigmoid_weight(torch.tensor([-20.0, 2.0, 12.0, 13.0]), 2.0)
    assert weight[0] == 1 and weight[1] == 0.5
    assert weight[2] / weight[3] == pytest.approx(math.e, rel=1e-3)


def test_bits_density_is_half_the_snr_times_the_error(generator: torch.Generator) -> None:
    x = normals(generator, 2, 3, 8, 8)
    shift = torch.tensor([0.1, 0.3], dtype=torch.float64)
    logsnr = torch.tensor([4.0, -1.0], dtype=torch.float64)
    nats = bits_density(x, x + shift[:, None, None, None], logsnr) * math.log(2)
    assert nats.tolist() == pytest.approx([0.005 * math.exp(4), 0.045 * math.exp(-1)])


# Coefficients of blocks


def test_block_coefficients_are_the_dct_of_each_colour_plane(generator: torch.Generator) -> None:
    x = normals(generator, 1, 3, 16, 24)
    coefficients = to_blocks(x)
    assert coefficients.shape == (1, CLASSES, 6)
    red, green, blue = x[0].numpy()
    planes = [
        (red + green + blue) / math.sqrt(3),
        (red - blue) / math.sqrt(2),
        (red - 2 * green + blue) / math.sqrt(6),
    ]
    for colour, plane in enumerate(planes):
        for index, (top, left) in enumerate((i, j) for i in (0, 8) for j in (0, 8, 16)):
            wanted = scipy.fft.dctn(plane[top : top + 8, left : left + 8], norm="ortho")
            found = coefficients[0, 64 * colour : 64 * (colour + 1), index].reshape(8, 8)
            assert np.allclose(found.numpy(), wanted)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-13)])
def test_blocks_are_orthonormal_and_come_back(
    dtype: torch.dtype, tolerance: float, generator: torch.Generator
) -> None:
    x = normals(generator, 2, 3, 16, 40).to(dtype)
    coefficients = to_blocks(x)
    assert coefficients.dtype == dtype
    energies = coefficients.square().sum((1, 2)), x.square().sum((1, 2, 3))
    assert torch.allclose(*energies, rtol=tolerance)
    assert torch.allclose(from_blocks(coefficients, 16, 40), x, rtol=0, atol=tolerance)


@pytest.mark.parametrize(("h", "w"), [(12, 16), (16, 12), (4, 4)])
def test_sides_that_are_no_multiples_of_blocks_are_refused(h: int, w: int) -> None:
    with pytest.raises(ValueError, match=f"multiples of 8, not {h} and {w}"):
        to_blocks(torch.zeros(1, 3, h, w))
    with pytest.raises(ValueError, match=f"multiples of 8, not {h} and {w}"):
        from_blocks(torch.zeros(1, CLASSES, 4), h, w)


# Images whose rate is known


@pytest.fixture(scope="module")
def gaussian() -> GaussianDenoiser:
    """Variances that fall with frequency as those of photographs do."""
    frequency = torch.arange(8, dtype=torch.float64)
    energy = 20 / (1 + frequency[:, None] ** 2 + 2 * frequency**2)
    colours = torch.tensor([1, 0.1, 0.02], dtype=torch.float64)
    mean = torch.tensor([0.3, -0.1, 0.2], dtype=torch.float64)
    return GaussianDenoiser(mean, colours[:, None, None] * energy)


def test_gaussian_images_have_the_mean_and_variances_of_the_model(
    gaussian: GaussianDenoiser, generator: torch.Generator
) -> None:
    x = gaussian.sample(64, 32, 64, generator)
    assert x.shape == (64, 3, 32, 64) and x.dtype == torch.float64
    mean = gaussian.mean[:, None, None].expand(3, 32, 64)
    found = to_blocks(x - mean).square().mean((0, 2)).reshape(3, 8, 8)
    assert torch.allclose(found, gaussian.variances, rtol=0.15)
    assert torch.allclose(x.mean((0, 2, 3)), gaussian.mean, atol=0.05)


@pytest.mark.parametrize("level", [-6.0, 0.0, 5.0])
def test_gaussian_denoiser_is_the_conditional_mean(
    gaussian: GaussianDenoiser, level: float, generator: torch.Generator
) -> None:
    alpha, sigma = amplitudes(level)
    z = normals(generator, 1, 3, 8, 8)
    basis = from_blocks(torch.eye(CLASSES, dtype=torch.float64)[:, :, None], 8, 8).flatten(1)
    covariance = basis.T @ (gaussian.variances.reshape(-1, 1) * basis)
    mean = gaussian.mean.repeat_interleave(64)
    total = alpha**2 * covariance + sigma**2 * torch.eye(192, dtype=torch.float64)
    innovation = torch.linalg.solve(total, z.flatten() - alpha * mean)
    wanted = mean + alpha * covariance @ innovation
    found = gaussian(z, torch.tensor([level], dtype=torch.float64))
    assert torch.allclose(found.flatten(), wanted)


def test_gaussian_denoiser_takes_a_level_for_each_image(gaussian: GaussianDenoiser) -> None:
    z = torch.randn(2, 3, 16, 8, generator=torch.Generator().manual_seed(1))
    levels = torch.tensor([-2.0, 3.0])
    both = gaussian(z, levels)
    assert both.dtype == torch.float32
    for index in range(2):
        alone = gaussian(z[index : index + 1], levels[index : index + 1])
        assert torch.allclose(both[index], alone[0], atol=1e-6)


def test_bits_of_gaussian_images_are_their_mutual_information(gaussian: GaussianDenoiser) -> None:
    """The bits density of the ideal denoiser, over a range of log-SNRs (arXiv cs/0412108)."""
    source = torch.Generator().manual_seed(2)
    x = gaussian.sample(256, 32, 32, source)
    low, high = -7.0, 6.0
    logsnr = torch.linspace(low, high, 256, dtype=torch.float64)
    z = noisy(x, normals(source, *x.shape), logsnr)
    bits = (high - low) * bits_density(x, gaussian(z, logsnr), logsnr).mean().item()
    noise = 1 + np.exp([[low], [high]]) * gaussian.variances.numpy().flatten()
    information = np.log2(noise[1] / noise[0]).mean() / 2
    assert information > 1 and bits == pytest.approx(information, rel=0.03)
