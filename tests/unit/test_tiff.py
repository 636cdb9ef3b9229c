"""TIFF files: 16-bit colour in whole, rows upright, and what Pillow would alter is refused."""

from __future__ import annotations

import struct
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from common import crop, noise, tiff
from PIL import Image

from noisepress.bitstream.errors import UnsupportedImageError
from noisepress.codec.image.raster import Mode
from noisepress.codec.image.read import from_pillow, open_image

RGB16 = noise(Mode.RGB16).samples
BITS_PER_SAMPLE, ORIENTATION = 258, 274


def turned(orientation: int) -> bytes:
    return tiff(RGB16, extratags=[(ORIENTATION, "H", 1, orientation, True)])


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_16_bit_colour_is_not_reduced(compression: str | None) -> None:
    for samples in (RGB16, crop(3, np.uint16)):
        assert np.array_equal(open_image(tiff(samples, compression=compression)).samples, samples)
        planes = np.moveaxis(samples, -1, 0)
        separate = tiff(planes, planarconfig="separate", compression=compression)
        assert np.array_equal(open_image(separate).samples, samples)


def test_16_bit_opacity_is_kept() -> None:
    samples = crop(4, np.uint16)
    image = open_image(tiff(samples, extrasamples=["unassalpha"]))
    assert image.mode is Mode.RGBA16
    assert np.array_equal(image.samples, samples)


def test_grey_with_16_bit_opacity_is_kept() -> None:
    samples = crop(2, np.uint16)
    grey: dict[str, Any] = {"photometric": "minisblack", "extrasamples": ["unassalpha"]}
    for compression in (None, "zlib"):
        planes = tiff(np.moveaxis(samples, -1, 0), planarconfig="separate", **grey)
        together = tiff(samples, planarconfig="contig", compression=compression, **grey)
        for data in (planes, together):
            image = open_image(data)
            assert image.mode is Mode.LA16
            assert np.array_equal(image.samples, samples)
    upside_down = tiff(
        samples, planarconfig="contig", extratags=[(ORIENTATION, "H", 1, 4, True)], **grey
    )
    assert np.array_equal(open_image(upside_down).samples, samples[::-1])
    open_image(upside_down, 1)
    with pytest.raises(UnsupportedImageError, match="no page 2"):
        open_image(upside_down, 2)


BANDS: dict[str, tuple[int, dict[str, Any]]] = {
    "four of grey": (4, {"photometric": "minisblack", "extrasamples": ["unspecified"] * 3}),
    "two of RGB": (5, {"extrasamples": ["unassalpha", "unspecified"]}),
    "premultiplied grey": (2, {"photometric": "minisblack", "extrasamples": ["assocalpha"]}),
}


@pytest.mark.parametrize("name", BANDS)
def test_further_bands_are_refused(name: str) -> None:
    channels, options = BANDS[name]
    samples = np.zeros((9, 11, channels), np.uint16)
    with pytest.raises(UnsupportedImageError, match=r"bands? beside .* save the bands") as error:
        open_image(tiff(samples, planarconfig="contig", **options))
    assert "\n" not in str(error.value)


def test_rows_come_out_upright() -> None:
    assert np.array_equal(open_image(turned(6)).samples, np.rot90(RGB16, -1))
    for orientation in range(1, 9):
        reduced = np.asarray(Image.open(BytesIO(turned(orientation))))
        assert np.array_equal(open_image(turned(orientation)).samples >> 8, reduced)


def test_turned_single_rows_have_positive_strides() -> None:
    row = tiff(RGB16[:1], extratags=[(ORIENTATION, "H", 1, 3, True)])
    assert min(open_image(row).samples.strides) > 0
    assert np.array_equal(open_image(row).samples, RGB16[:1, ::-1])


def test_pillow_objects_that_lose_bits_are_refused() -> None:
    image = Image.open(BytesIO(tiff(RGB16)))
    for _ in ("as opened", "as loaded"):
        with pytest.raises(UnsupportedImageError, match="reduces 16-bit RGB to 8 bits"):
            from_pillow(image)
        image.load()


COLOURS = np.linspace(0, 65535, 256).astype(np.uint16) ^ 1
REFUSED: dict[str, tuple[np.ndarray[Any, Any], dict[str, Any], str]] = {
    "float": (np.zeros((9, 9), np.float32), {}, "Pillow mode F|float"),
    "signed": (np.zeros((9, 9), np.int16), {}, "signed"),
    "32 bits": (np.zeros((9, 9), np.uint32), {}, "32"),
    "premultiplied": (crop(4), {"extrasamples": ["assocalpha"]}, "premultiplied"),
    "premultiplied 16": (crop(4, np.uint16), {"extrasamples": ["assocalpha"]}, "premultiplied"),
    "unknown fourth": (crop(4, np.uint16), {"extrasamples": ["unspecified"]}, "TIFF|RGBX"),
    "white is zero": (RGB16[:, :, 0], {"photometric": "miniswhite"}, "white as 0"),
    "deep palette": (
        crop(1)[:, :, 0],
        {"photometric": "palette", "colormap": np.stack([COLOURS] * 3)},
        "palette of 16-bit colours",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_in_one_line(name: str) -> None:
    array, options, match = REFUSED[name]
    with pytest.raises(UnsupportedImageError, match=match) as info:
        open_image(tiff(array, **options))
    assert "\n" not in str(info.value)


def test_12_bits_are_refused() -> None:
    file = tiff(RGB16[:, :, 0])
    sixteen, twelve = (struct.pack("<HHIHH", BITS_PER_SAMPLE, 3, 1, bits, 0) for bits in (16, 12))
    assert file.count(sixteen) == 1
    with pytest.raises(UnsupportedImageError, match="TIFF with 12 bits a sample"):
        open_image(file.replace(sixteen, twelve))


def test_palette_of_8_bit_colours() -> None:
    colours = np.arange(256, dtype=np.uint16)[::-1] * 257
    indices = crop(1)[:, :, 0]
    file = tiff(indices, photometric="palette", colormap=np.stack([colours] * 3))
    image = open_image(file)
    assert image.mode is Mode.PALETTE8
    assert np.array_equal(image.samples[:, :, 0], indices)
