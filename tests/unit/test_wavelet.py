"""The wavelet transform and the colours, in integers and as networks are trained on them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from common import crop, photograph, smooth
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from noisepress.bitstream import wavelet
from noisepress.bitstream.wavelet import DEPTH, ONE_LEVEL, Place
from noisepress.codec.hfd.first_stage import Source
from noisepress.models.wavelet import MULTIPLE, coded, known_level


def split(x: NDArray[np.float64], axis: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The 9/7 transform of rows or columns by its filters (ITU-T T.800, table F.4), unit norm."""
    low = np.array([0.6029490182363579, 0.2668641184428723, -0.07822326652898785])
    low = np.concatenate([low, [-0.01686411844287495, 0.02674875741080976]])
    high = np.array([1.115087052456994, -0.5912717631142470, -0.05754352622849957])
    high = np.concatenate([high, [0.09127176311424948]])
    x = np.moveaxis(x, axis, 0)
    place = np.arange(len(x))

    def filtered(taps: NDArray[np.float64]) -> NDArray[np.float64]:
        total: NDArray[np.float64] = taps[0] * x
        period = 2 * (len(x) - 1)
        for offset in range(1, len(taps)):
            for index in ((place + offset) % period, (place - offset) % period):
                total += taps[offset] * x[np.minimum(index, period - index)]
        return total

    even, odd = filtered(low)[::2] * np.sqrt(2), filtered(high)[1::2] / np.sqrt(2)
    return np.moveaxis(even, 0, axis), np.moveaxis(odd, 0, axis)


@pytest.mark.parametrize("shape", [(64, 64), (45, 70), (2, 9), (130, 3)])
def test_coefficients_are_those_of_the_filters(shape: tuple[int, int]) -> None:
    image = smooth(*shape, 1, noise=20)
    plane = wavelet.analysed(image, wavelet.colours_of(1, 0))[0]
    smooth_band = (image[..., 0] - 128.0) * np.sqrt(3)
    for level in range(DEPTH):
        along = smooth_band.shape[1] > 1
        low, high = split(smooth_band, 1) if along else (smooth_band, smooth_band[:, :0])
        down = smooth_band.shape[0] > 1
        (smooth_band, rows), (columns, both) = (
            split(part, 0) if down else (part, part[:0]) for part in (low, high)
        )
        for orientation, expected in enumerate((columns, rows, both)):
            found = Place(level, orientation, 0).of(plane) / ONE_LEVEL
            np.testing.assert_allclose(found, expected, atol=0.2)
    found = Place(DEPTH - 1, 3, 0).of(plane) / ONE_LEVEL
    np.testing.assert_allclose(found, smooth_band, atol=0.5)


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 70), st.integers(1, 70), st.sampled_from([1, 3]), st.integers(0, 2**30 - 1))
def test_pictures_come_back(height: int, width: int, colours: int, angles: int) -> None:
    rng = np.random.default_rng(height)
    image = rng.integers(0, 256, (height, width, colours), np.uint8)
    planes = wavelet.analysed(image, wavelet.colours_of(colours, angles))
    step = 16
    bands = {
        place: np.rint(place.of(planes[place.colour]) / (step * ONE_LEVEL / 256)).astype(np.int32)
        for place in wavelet.places(colours)
    }
    back = wavelet.synthesised(bands, height, width, step, wavelet.colours_of(colours, angles))
    assert np.abs(back.transpose(1, 2, 0) - image).max() < 0.5
    assert sum(band.size for band in bands.values()) == image.size


def test_errors_of_coefficients_are_those_of_pixels() -> None:
    """Basis functions have about unit norm: an error costs the same in every band."""
    colours = wavelet.colours_of(1, 0)
    for place in wavelet.places(1):
        band = np.zeros((768 >> (place.level + 1),) * 2, np.int32)
        band[len(band) // 2, len(band) // 2] = 100
        back = wavelet.synthesised({place: band}, 768, 768, 256, colours)
        assert 95 < np.sqrt(3 * ((back - 128) ** 2).sum()) < 110


@pytest.mark.parametrize("angles", [0, 123456789, 2**30 - 1])
def test_colours_are_orthonormal(angles: int) -> None:
    colours = wavelet.colours_of(3, angles)
    rows = colours.forward / 2**20
    np.testing.assert_allclose(rows @ rows.T, np.eye(3), atol=1e-5)
    np.testing.assert_array_equal(colours.inverse, colours.forward.T)


def test_colours_have_uncorrelated_differences() -> None:
    image = photograph("coffee")
    rows = wavelet.colours_of(3, wavelet.angles_for(image)).forward / 2**20
    planes = image.astype(float) @ rows.T
    off = np.diff(planes, axis=1).reshape(-1, 3)
    correlation = np.corrcoef(off.T)
    assert np.abs(correlation - np.eye(3)).max() < 0.1
    energy = (off**2).mean(0)
    assert energy[0] > energy[1] > energy[2] and (rows[0] > 0).all()


def test_colours_of_flat_images_are_luma_and_differences() -> None:
    rows = wavelet.colours_of(3, wavelet.angles_for(np.zeros((9, 9, 3), np.uint8))).forward / 2**20
    usual = np.array([[1, 1, 1], [1, 0, -1], [1, -2, 1]]) / np.sqrt([[3], [2], [6]])
    np.testing.assert_allclose(np.abs(rows @ usual.T), np.eye(3), atol=0.01)
    assert wavelet.angles_for(crop(1)) == 0


@pytest.mark.parametrize("step", [6.0, 30.0, 150.0])
def test_networks_see_about_what_the_codec_makes(step: float) -> None:
    image = np.ascontiguousarray(photograph("astronaut")[:256, :320])
    source = Source(image)
    _, known = source.coded(round(256 * step))
    found = coded(torch.from_numpy(image).permute(2, 0, 1)[None].float(), torch.tensor([step]))
    picture = wavelet.synthesised(
        known, 256, 320, round(256 * step), wavelet.colours_of(3, source.angles)
    )
    error, approximate = (
        float(((part - image.transpose(2, 0, 1)) ** 2).mean())
        for part in (picture, found[0].numpy())
    )
    assert 0.85 * error < approximate < 1.1 * error
    assert float(((picture - found[0].numpy()) ** 2).mean()) < 0.4 * error


def test_networks_see_every_image_at_its_own_step() -> None:
    batch = torch.rand((3, 3, MULTIPLE, 2 * MULTIPLE), generator=torch.Generator().manual_seed(0))
    steps = torch.tensor([4.0, 40.0, 400.0])
    together = coded(255 * batch, steps)
    for image, step, found in zip(batch, steps, together, strict=True):
        torch.testing.assert_close(coded(255 * image[None], step[None])[0], found)
    errors = (together - 255 * batch).square().mean((1, 2, 3))
    assert errors[0] < 2 < 20 < errors[1] < errors[2]
    assert together.min() >= 0 and together.max() <= 255


def test_levels_fall_with_the_step() -> None:
    levels = known_level(torch.tensor([1.0, 4.0, 20.0, 100.0, 400.0, 1000.0]))
    assert levels[0] == levels[1] and levels[4] == levels[5]
    assert (levels[1:5].diff() < -1).all()
