"""Rasters as files and Pillow images: samples and metadata come back, or it is refused."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from common import noise, photograph, to_pillow
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image, ImageOps

from noisepress.bitstream.errors import UnsupportedImageError
from noisepress.codec.image.raster import Mode, Palette, Raster, from_array, to_array
from noisepress.codec.image.read import from_pillow, open_image
from noisepress.codec.image.write import save_image

ICC = bytes(range(256)) * 3
EXIF = b"II*\0\x08\0\0\0\0\0\0\0\0\0"
XMP = b"<x:xmpmeta>\xc3\xa9\xff\0</x:xmpmeta>"


@pytest.mark.parametrize("mode", Mode)
def test_png_keeps_samples_and_metadata(mode: Mode) -> None:
    image = noise(mode, icc=ICC, exif=EXIF, xmp=XMP)
    assert open_image(save_image(image, ".png")) == image
    assert open_image(save_image(noise(mode), ".PNG")) == noise(mode)


@pytest.mark.parametrize(
    ("suffix", "mode"),
    [
        *((".tif", m) for m in (Mode.BILEVEL, Mode.L8, Mode.LA8, Mode.RGB8, Mode.RGBA8, Mode.L16)),
        *((".bmp", m) for m in (Mode.BILEVEL, Mode.L8, Mode.RGB8)),
        *((".pnm", m) for m in (Mode.BILEVEL, Mode.L8, Mode.L16, Mode.RGB8, Mode.RGB16)),
        *((".webp", m) for m in (Mode.RGB8, Mode.RGBA8)),
    ],
)
def test_other_formats_keep_samples(suffix: str, mode: Mode) -> None:
    assert open_image(save_image(noise(mode), suffix)) == noise(mode)


@pytest.mark.parametrize(
    ("suffix", "name"),
    [
        *((suffix, "astronaut") for suffix in (".png", ".tif", ".webp", ".bmp", ".ppm")),
        *((suffix, "page") for suffix in (".png", ".tif", ".bmp", ".pgm")),
    ],
)
def test_photographs(suffix: str, name: str) -> None:
    image = from_array(photograph(name))
    assert open_image(save_image(image, suffix)) == image


@pytest.mark.parametrize("suffix", [".tif", ".bmp"])
def test_opaque_palette_in_other_formats(suffix: str) -> None:
    source = noise(Mode.PALETTE8)
    opaque = Raster(
        source.samples, source.mode, Palette(Palette.unpack(source.palette).colours, b"").pack()
    )
    assert np.array_equal(to_array(open_image(save_image(opaque, suffix))), to_array(opaque))
    with pytest.raises(UnsupportedImageError, match="translucent palette"):
        save_image(source, suffix)


@pytest.mark.parametrize(
    ("suffix", "mode"), [(".webp", Mode.L8), (".bmp", Mode.RGBA8), (".tif", Mode.RGB16)]
)
def test_formats_that_would_change_samples(suffix: str, mode: Mode) -> None:
    with pytest.raises(UnsupportedImageError, match=r"use \.png"):
        save_image(noise(mode), suffix)


def test_unknown_suffix_names_the_known() -> None:
    with pytest.raises(UnsupportedImageError, match=r"cannot write \.jpg: \.png, "):
        save_image(noise(Mode.L8), ".jpg")


def test_webp_keeps_metadata() -> None:
    image = noise(Mode.RGBA8, icc=ICC, exif=EXIF, xmp=XMP)
    assert open_image(save_image(image, ".webp")) == image


@pytest.mark.parametrize("mode", [mode for mode in Mode if mode.pillow])
def test_pillow_round_trip(mode: Mode) -> None:
    image = noise(mode, icc=ICC, exif=EXIF, xmp=XMP)
    back = to_pillow(image)
    assert back.mode == mode.pillow
    assert from_pillow(back) == image


@given(
    arrays(
        st.sampled_from([np.uint8, np.uint16, np.bool_]),
        array_shapes(min_dims=2, max_dims=2, max_side=6),
    )
)
@settings(max_examples=20, deadline=None)
def test_array_round_trip(array: np.ndarray[Any, Any]) -> None:
    back = to_array(open_image(save_image(from_array(array), ".png")))
    assert back.dtype == array.dtype
    assert np.array_equal(back, array)


def test_palettes_of_every_length_survive_png() -> None:
    for n in (1, 2, 3, 4, 5, 16, 17, 255, 256):
        colours = np.random.default_rng(n).integers(0, 256, (n, 3)).astype(np.uint8)
        for alpha in (b"", b"\0", b"\x07" * n, b"\xff" * (n - 1) + b"\0"):
            palette = Palette(colours, alpha).pack()
            samples = np.arange(n, dtype=np.uint8).reshape(1, n, 1)
            image = Raster(samples, Mode.PALETTE8, palette)
            assert open_image(save_image(image, ".png")) == image
            assert Palette.unpack(palette).pack() == palette


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".png", ".webp", ".tif", ".bmp", ".ppm"])
def test_pictures_are_shown_as_they_were(suffix: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x112] = orientation
    image = replace(noise(Mode.RGB8), exif=exif.tobytes().removeprefix(b"Exif\0\0"))
    assert image.height != image.width
    turned = ImageOps.exif_transpose(to_pillow(image))
    with Image.open(BytesIO(save_image(image, suffix))) as opened:
        shown = ImageOps.exif_transpose(opened)
    assert np.array_equal(np.asarray(shown), np.asarray(turned))


@pytest.mark.filterwarnings("ignore::noisepress.LossWarning")
@pytest.mark.parametrize("exif", [b"", EXIF, b"II*\0", b"nonsense", EXIF[:-3]])
def test_damaged_exif_turns_nothing(exif: bytes) -> None:
    image = noise(Mode.RGB8, exif=exif)
    for suffix in (".bmp", ".ppm", ".tif"):
        assert np.array_equal(open_image(save_image(image, suffix)).samples, image.samples)
