"""Networks on large images: tiles give what the whole image would."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from noisepress.models.tiling import by_tiles, estimate
from noisepress.models.unet import Known, UNet, UNetConfig

DENOISER = UNetConfig(width0=4, width1=5, width2=6, width3=7, down=1, up=1)


def loud(network: nn.Module) -> None:
    """Give a network float64 weights so large that everything that is connected matters."""
    torch.manual_seed(0)
    network.double().eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn_like(parameter) / math.sqrt(parameter[0].numel()))


def noise(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_tiles_that_overlap_too_little_show() -> None:
    network = nn.Conv2d(3, 2, 9, padding=4)
    loud(network)
    x = noise(1, 3, 96, 80)
    with torch.inference_mode():
        for reach, least, most in ((4, 0.0, 1e-9), (3, 1e-4, 100.0)):
            found = by_tiles(network, x, reach=reach, unit=1, side=32)
            assert least <= float((found - network(x)).abs().max()) <= most


def test_tiles_are_no_larger_than_they_need_be() -> None:
    seen: list[torch.Size] = []

    def network(x: Tensor) -> Tensor:
        seen.append(x.shape)
        assert x.is_contiguous(memory_format=torch.channels_last)
        return x[:, :1]

    x = noise(1, 2, 32, 80)
    found = by_tiles(network, x, reach=5, unit=4, side=32)
    assert torch.equal(found, x[:, :1])
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
