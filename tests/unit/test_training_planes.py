"""Crops are turned into the planes that decoded JPEG, video and scans come from."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from noisepress.codec.ardm import conversions
from noisepress.codec.ardm.planes import join
from noisepress.models.lattice import LatticeConfig, LatticeNet
from noisepress.training.losses import lattice_bits, mixed_lattice_bits
from noisepress.training.planes import (
    CONVERSIONS,
    HALVED,
    PLANES,
    Conversion,
    converted,
    filtered,
    interleaved,
    replicated,
    with_planes,
)

NAMES = ("jpeg", "bt601-limited", "bt709-limited", "photoycc")
"""What the codec calls `CONVERSIONS`."""


def batch_of(count: int, side: int = 16) -> Tensor:
    """Noise (count, 3, side, side)."""
    generator = torch.Generator().manual_seed(count)
    return torch.randint(0, 256, (count, 3, side, side), generator=generator).float()


def with_seed(batch: Tensor, seed: int) -> Tensor:
    return with_planes(batch, torch.Generator().manual_seed(seed))


def turned(batch: Tensor, planes: Tensor) -> int:
    """How many crops of a batch are no longer what they were."""
    return int((batch != planes).flatten(1).any(1).sum())


def cells(planes: Tensor) -> int:
    """How many crops have chromas that are smoother than noise."""
    rough = planes[:, ::2].diff(dim=-1).abs().flatten(1).mean(1)
    return int((rough < 30).sum())


@pytest.mark.parametrize("index", range(len(CONVERSIONS)), ids=NAMES)
def test_the_codec_joins_the_planes_to_almost_the_same_colours(index: int) -> None:
    """Up to their rounding, so they are the planes that the codec finds, in its order."""
    rgb = batch_of(1, 64) * 0.5 + 64
    planes = converted(rgb.round(), CONVERSIONS[index])[0].permute(1, 2, 0).numpy()
    joined = join(planes.astype(np.uint8), conversions.named(NAMES[index]))
    assert np.abs(joined - rgb.round()[0].permute(1, 2, 0).numpy()).max() <= 3


@pytest.mark.parametrize("conversion", CONVERSIONS, ids=NAMES)
def test_grey_has_neutral_chromas_and_rising_luma(conversion: Conversion) -> None:
    grey = torch.arange(256).float().expand(1, 3, 1, 256)
    first, luma, second = converted(grey, conversion)[0, :, 0]
    neutral = (156, 137) if conversion is CONVERSIONS[-1] else (128, 128)
    assert (first == neutral[0]).all() and (second == neutral[1]).all()
    assert (luma.diff() >= 0).all() and luma[-1] - luma[0] > 180


@pytest.mark.parametrize("enlarge", [replicated, filtered, interleaved])
def test_chroma_of_one_level_stays_and_noise_becomes_smooth(
    enlarge: Callable[[Tensor], Tensor],
) -> None:
    level = torch.full((2, 1, 16, 16), 77.0)
    assert torch.equal(enlarge(level), level)
    noise = batch_of(2)
    smooth = enlarge(noise)
    assert smooth.shape == noise.shape and torch.equal(smooth, smooth.round())
    assert smooth.diff(dim=-1).abs().mean() < 0.6 * noise.diff(dim=-1).abs().mean()


def decoded_chroma(half: NDArray[np.uint8]) -> NDArray[np.float64]:
    """First chroma that libjpeg enlarges from half the resolution: (2 h, 2 w)."""
    chroma = np.full((2 * half.shape[0], 2 * half.shape[1], 3), 128, np.uint8)
    chroma[..., 1] = half.repeat(2, 0).repeat(2, 1)
    file = io.BytesIO()
    Image.fromarray(chroma, "YCbCr").save(file, "jpeg", quality=100, subsampling="4:2:0")
    with Image.open(file) as opened:
        opened.draft("YCbCr", opened.size)
        return np.asarray(opened)[..., 1].astype(float)


def test_the_triangle_filter_is_that_of_libjpeg() -> None:
    half = np.add.outer(9 * np.arange(8), 12 * np.arange(8)).astype(np.uint8) + np.uint8(50)
    whole = torch.from_numpy(half.repeat(2, 0).repeat(2, 1)).float()[None, None]
    # A level more or less from the DCT of the file.
    assert np.abs(filtered(whole)[0, 0].numpy() - decoded_chroma(half)).max() <= 1
    assert np.abs(replicated(whole)[0, 0].numpy() - decoded_chroma(half)).max() > 2


def test_interleaved_samples_lie_on_even_pixels_with_means_between() -> None:
    whole = interleaved(batch_of(1))[0, 0]
    mean = torch.floor((whole[::2, :-2:2] + whole[::2, 2::2] + 1) / 2)
    assert torch.equal(whole[::2, 1:-1:2], mean)


@pytest.mark.parametrize("count", [4, 8, 32])
def test_shares_of_a_batch_are_exact(count: int) -> None:
    batch = batch_of(count)
    planes = with_seed(batch, 3)
    assert planes.shape == batch.shape and torch.equal(planes, planes.round())
    assert planes.min() >= 0 and planes.max() <= 255
    assert turned(batch, planes) == count * PLANES
    assert cells(planes) == count * PLANES * HALVED


def test_shares_of_single_crops_are_right_on_average() -> None:
    batch = batch_of(1)
    share = np.mean([turned(batch, with_seed(batch, seed)) for seed in range(400)])
    assert abs(share - PLANES) < 0.1


def test_all_conversions_occur() -> None:
    batch = batch_of(1).expand(64, -1, -1, -1)
    luma = {crop[1].numpy().tobytes() for crop in with_seed(batch, 0)}
    wanted = {converted(batch[:1], each)[0, 1].numpy().tobytes() for each in CONVERSIONS}
    assert wanted < luma and len(luma) == len(CONVERSIONS) + 1, "and RGB"


def test_the_generator_determines_the_planes() -> None:
    batch = batch_of(8)
    assert torch.equal(with_seed(batch, 5), with_seed(batch, 5))
    assert not torch.equal(with_seed(batch, 5), with_seed(batch, 6))


def test_the_loss_is_that_of_the_crops_with_planes() -> None:
    torch.manual_seed(0)
    network = LatticeNet(LatticeConfig(width=8, blocks=1, components=2, levels=2))
    batch = batch_of(4)
    mixed = mixed_lattice_bits(network, batch, torch.Generator().manual_seed(1))
    plain = lattice_bits(network, with_seed(batch, 1), torch.Generator())
    assert torch.equal(mixed, plain)
    assert not torch.equal(mixed, lattice_bits(network, batch, torch.Generator()))
