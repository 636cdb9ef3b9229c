"""Samples through WebP and PNG payloads."""

from functools import partial
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from common import crop, noise, small_arrays, with_chunk
from hypothesis import given, settings
from PIL import Image

from noisepress.bitstream.errors import CorruptError
from noisepress.codec.fallback import webp_png
from noisepress.codec.fallback.webp_png import (
    WEBP_EFFORTS,
    decode_png,
    decode_webp,
    encode_png,
    encode_webp,
)
from noisepress.codec.image.png import chunk as png_chunk
from noisepress.codec.image.raster import Mode, Palette, Raster, from_array

raster = partial(noise, height=9, width=13, colours=200)


def assert_carried(image: Raster, effort: int = 0) -> None:
    place = (image.mode, image.width, image.height)
    png = decode_png(encode_png(image), *place)
    assert png.dtype == image.samples.dtype
    assert np.array_equal(png, image.samples)
    webp = encode_webp(image, effort)
    assert (webp is None) == (image.mode.dtype != np.uint8)
    if webp is not None:
        assert np.array_equal(decode_webp(webp, *place, image.palette), image.samples)


@pytest.mark.parametrize("effort", range(len(WEBP_EFFORTS)))
@pytest.mark.parametrize("mode", Mode)
def test_every_mode(mode: Mode, effort: int) -> None:
    assert_carried(raster(mode), effort)


@given(small_arrays())
@settings(max_examples=20, deadline=None)
def test_small_arrays(array: np.ndarray[Any, Any]) -> None:
    assert_carried(from_array(array))


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_photographs(channels: int) -> None:
    assert_carried(from_array(crop(channels)))
    assert_carried(from_array(crop(channels, np.uint16)))


def test_opaque_and_invisible_pixels() -> None:
    samples = raster(Mode.RGBA8).samples.copy()
    for alpha in (0, 255):
        samples[:, :, 3] = alpha
        assert_carried(Raster(samples, Mode.RGBA8))
        assert_carried(Raster(np.ascontiguousarray(samples[:, :, 2:]), Mode.LA8))


@pytest.mark.parametrize(("colours", "depth"), [(2, 1), (3, 2), (16, 4), (17, 8)])
def test_indices_are_packed(colours: int, depth: int) -> None:
    image = noise(Mode.PALETTE8, 40, 40, colours)
    png = encode_png(image)
    assert png[24] == depth
    assert b"PLTE" not in png
    assert_carried(image)


def test_indices_go_as_colours_where_that_is_smaller() -> None:
    y, x = np.mgrid[:64, :64]
    smooth = (y + x).astype(np.uint8)
    shuffled = np.random.default_rng(0).permutation(256).astype(np.uint8)
    table = np.repeat(np.argsort(shuffled).astype(np.uint8)[:, np.newaxis], 3, 1)
    image = Raster(shuffled[smooth][:, :, np.newaxis], Mode.PALETTE8, Palette(table, b"").pack())
    payload = encode_webp(image)
    assert payload is not None
    assert payload[0] == 1
    assert_carried(image)
    out = BytesIO()
    Image.fromarray(table[image.samples[:, :, 0]]).save(out, "WEBP", lossless=True, exact=True)
    assert len(payload) <= len(out.getvalue()) + 1
    other = Palette(np.zeros_like(table), b"").pack()
    with pytest.raises(CorruptError, match="not in the palette"):
        decode_webp(payload, image.mode, 64, 64, other)


def test_equal_colours_keep_their_indices() -> None:
    image = raster(Mode.PALETTE8, colours=8)
    assert_carried(
        Raster(image.samples, image.mode, Palette(np.zeros((8, 3), np.uint8), b"").pack())
    )


def test_sides_that_webp_does_not_hold() -> None:
    image = from_array(np.zeros((1, 16384), np.uint8))
    assert encode_webp(image) is None
    assert np.array_equal(decode_png(encode_png(image), Mode.L8, 16384, 1), image.samples)


def test_images_of_too_many_pixels_for_webp(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webp_png, "WEBP_MAX_PIXELS", 9 * 13 - 1)
    assert encode_webp(raster(Mode.RGB8)) is None
    assert encode_webp(noise(Mode.RGB8, 9, 12)) is not None


@pytest.mark.parametrize("mode", Mode)
def test_damaged_payloads(mode: Mode) -> None:
    image = raster(mode)
    other = Mode.RGB8 if mode is not Mode.RGB8 else Mode.L8
    size = (image.width, image.height)
    png, webp = encode_png(image), encode_webp(image)
    for payload, wrong, shape in [
        (png, mode, (13, 10)),
        (png, other, size),
        (png[: len(png) // 2], mode, size),
        (png[:20], mode, size),
        (b"", mode, size),
    ]:
        with pytest.raises(CorruptError) as info:
            decode_png(payload, wrong, *shape)
        assert "\n" not in str(info.value)
    for payload, shape in [
        (webp or b"", (13, 10)),
        ((webp or b"")[:-20], size),
        (b"", size),
        (b"\2" + (webp or b""), size),
    ]:
        with pytest.raises(CorruptError) as info:
            decode_webp(payload, mode, *shape, image.palette)
        assert "\n" not in str(info.value)


def test_payloads_of_another_mode() -> None:
    colour = encode_webp(raster(Mode.RGB8))
    assert colour is not None
    with pytest.raises(CorruptError, match="grey expected"):
        decode_webp(colour, Mode.L8, 13, 9)
    grey = encode_webp(raster(Mode.L8))
    assert grey is not None
    with pytest.raises(CorruptError, match="BILEVEL"):
        decode_webp(grey, Mode.BILEVEL, 13, 9)
    translucent = encode_webp(raster(Mode.RGBA8))
    assert translucent is not None
    with pytest.raises(CorruptError, match="4 channels, 3 expected"):
        decode_webp(translucent, Mode.RGB8, 13, 9)
    keyed = with_chunk(encode_png(raster(Mode.RGB16)), png_chunk(b"tRNS", bytes(6)))
    with pytest.raises(CorruptError, match=r"decodes to \(9, 13, 4\) uint16 samples"):
        decode_png(keyed, Mode.RGB16, 13, 9)
