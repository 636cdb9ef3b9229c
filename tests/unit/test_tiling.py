"""Networks on large images: tiles give what the whole image would."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from noisepress.models.autoencoder import LATENT_PIXELS, Autoencoder, AutoencoderConfig
from noisepress.models.tiling import by_tiles, estimate
from noisepress.models.unet import Known, UNet, UNetConfig

CODER = AutoencoderConfig(
    width0=4, width1=5, width2=6, latents=3, hyper=2, exact=2, blocks=1, rates=2
)
DENOISER = UNetConfig(width0=4, width1=5, width2=6, width3=7, down=1, up=1)


def loud(network: nn.Module) -> None:
    """Give a network float64 weights so large that everything that is connected matters."""
    torch.manual_seed(0)
    network.double().eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn_like(parameter) / math.sqrt(parameter[0].numel()))


@pytest.fixture(scope="module")
def coder() -> Autoencoder:
    network = Autoencoder(CODER)
    loud(network)
    network.analysis.leave.float()  # as it works, whatever the other layers' type
    return network


def noise(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def analysis(coder: Autoencoder, x: Tensor, side: int, reach: int) -> Tensor:
    return by_tiles(
        coder.analysis,
        x,
        reach=reach,
        unit=LATENT_PIXELS,
        side=side,
        scale=1 / LATENT_PIXELS,
    )


def synthesis(coder: Autoencoder, latents: Tensor, side: int, reach: int) -> Tensor:
    return by_tiles(coder.synthesis, latents, reach=reach, unit=1, side=side, scale=LATENT_PIXELS)


SIZES = [(16, 16), (16, 256), (208, 64), (192, 240)]


@pytest.mark.parametrize(("h", "w"), SIZES)
@pytest.mark.parametrize("side", [16, 48, 1024])
def test_latents_of_tiles_are_those_of_the_image(
    h: int, w: int, side: int, coder: Autoencoder
) -> None:
    x = noise(1, 3, h, w)
    with torch.inference_mode():
        whole = coder.analysis(x)
        found = analysis(coder, x, side, coder.reach)
    assert found.shape == (1, CODER.latents, h // 16, w // 16)
    torch.testing.assert_close(found, whole, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("h", "w"), SIZES)
@pytest.mark.parametrize("side", [1, 3, 64])
def test_images_of_tiles_are_those_of_all_latents(
    h: int, w: int, side: int, coder: Autoencoder
) -> None:
    latents = noise(1, CODER.latents, h // 16, w // 16)
    with torch.inference_mode():
        whole = coder.synthesis(latents)
        found = synthesis(coder, latents, side, -(-coder.reach // LATENT_PIXELS))
    assert found.shape == (1, 3, h, w) and found.dtype == latents.dtype
    torch.testing.assert_close(found, whole, rtol=0, atol=1e-9)


def test_tiles_that_overlap_too_little_show(coder: Autoencoder) -> None:
    x, latents = noise(1, 3, 192, 192), noise(1, CODER.latents, 12, 12)
    with torch.inference_mode():
        found = analysis(coder, x, 64, reach=16)
        assert (found - coder.analysis(x)).abs().max() > 1e-4
        shown = synthesis(coder, latents, 4, reach=1)
        assert (shown - coder.synthesis(latents)).abs().max() > 1e-4


def test_tiles_are_no_larger_than_they_need_be() -> None:
    seen: list[torch.Size] = []

    def network(x: Tensor) -> Tensor:
        seen.append(x.shape)
        assert x.is_contiguous(memory_format=torch.channels_last)
        return x[:, :1, ::4, ::4]

    x = noise(1, 2, 32, 80)
    found = by_tiles(network, x, reach=5, unit=4, side=32, scale=1 / 4)
    assert torch.equal(found, x[:, :1, ::4, ::4])
    assert [tuple(shape) for shape in seen] == [(1, 2, 32, 40), (1, 2, 32, 48), (1, 2, 32, 24)]


@pytest.mark.parametrize("condition", [0, 3])
@pytest.mark.parametrize("side", [16, 96, 1024])
def test_estimates_of_tiles_are_those_of_the_image(condition: int, side: int) -> None:
    network = UNet(UNetConfig(**{**vars(DENOISER), "condition": condition}))
    loud(network)
    z = noise(1, 3, 160, 208)
    other, at = noise(1, condition, 160, 208, seed=2), torch.tensor([4.0])
    known = Known(other, at) if condition else None
    level = torch.tensor([1.5])
    with torch.inference_mode():
        whole = network(z, level, known)
        found = estimate(network, z, 1.5, known, side=side)
        torch.testing.assert_close(found, whole, rtol=0, atol=1e-9)
        if known is not None:
            other = estimate(network, z, 1.5, Known(-known.image, at), side=side)
            assert (other - whole).abs().max() > 0.01
