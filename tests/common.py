"""What tests of many modules share: images, how far two of them are apart, and one-line errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from skimage import data, metrics

from noisepress.codec.image.raster import Mode, Palette, Raster

Pixels = NDArray[np.uint8]


def picture(height: int, width: int, channels: int = 3, seed: int = 0) -> Pixels:
    """Waves of shade with a little noise, shape (height, width, channels)."""
    rng = np.random.default_rng(seed)
    row, column = np.mgrid[:height, :width][..., None]
    shade = 100 + 60 * np.sin(row / 9 + seed + np.arange(channels)) + 30 * np.cos(column / 5)
    image: Pixels = (shade + rng.normal(0, 4, shade.shape)).clip(0, 255).astype(np.uint8)
    return image


def smooth(height: int, width: int, channels: int = 3, seed: int = 0, noise: float = 1.5) -> Pixels:
    """Slopes of shade with noise of a standard deviation, shape (height, width, channels)."""
    rng = np.random.default_rng(seed)
    row, column = np.mgrid[:height, :width][..., None] / 32
    (down, along), base = rng.normal(0, 40, (2, channels)), rng.uniform(80, 180, channels)
    shade = base + down * np.sin(row) + along * np.cos(column)
    image: Pixels = (shade + rng.normal(0, noise, shade.shape)).clip(0, 255).astype(np.uint8)
    return image


def photograph(name: str, height: int, width: int) -> Pixels:
    """The top left of a photograph of scikit-image's that is stored as PNG, such as `astronaut`."""
    image: Pixels = getattr(data, name)()
    return np.ascontiguousarray(image[:height, :width])


def raster(mode: Mode, height: int, width: int, seed: int = 0, **metadata: bytes) -> Raster:
    """A smooth image of any sample layout; opacity is noise."""
    rng = np.random.default_rng(seed)
    shape = (height, width, mode.channels)
    samples = smooth(*shape, seed=seed).astype(mode.dtype)
    palette = b""
    if mode.dtype == np.uint16:
        samples = samples * 257 ^ rng.integers(0, 256, shape, np.uint16)
    if mode is Mode.BILEVEL:
        samples //= 128
    if mode is Mode.PALETTE8:
        samples //= 32
        palette = Palette(rng.integers(0, 256, (8, 3), np.uint8), b"\x80").pack()
    if mode.has_alpha:
        samples[..., -1] = rng.integers(0, 256, shape[:2])
    return Raster(samples, mode, palette, **metadata)


def psnr(found: NDArray[Any], image: NDArray[Any]) -> float:
    """Peak signal-to-noise ratio in dB of 8-bit images; infinite if they are equal."""
    with np.errstate(divide="ignore"):
        return float(metrics.peak_signal_noise_ratio(image, found, data_range=255))


def one_line(error: pytest.ExceptionInfo[BaseException] | BaseException) -> str:
    """The text of an error, which has one line."""
    text = str(error.value if isinstance(error, pytest.ExceptionInfo) else error)
    assert text and "\n" not in text
    return text
