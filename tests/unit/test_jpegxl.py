"""JPEG XL: headers of codestreams, and samples through payloads."""

from __future__ import annotations

from functools import partial
from typing import Any

import imagecodecs
import numpy as np
import pytest
from common import crop, noise, one_line, small_arrays
from hypothesis import given, settings

from noisepress.bitstream.errors import CorruptError, UnsupportedImageError
from noisepress.codec.fallback import jpegxl as payloads
from noisepress.codec.fallback.jpegxl import decode_jpegxl, encode_jpegxl
from noisepress.codec.image.jpegxl import Codestream, boxes, codestream, parse
from noisepress.codec.image.raster import Mode, Palette, Raster, from_array
from noisepress.codec.image.read import open_image

raster = partial(noise, height=9, width=13, colours=200)


def assert_carried(image: Raster, effort: int = 3) -> bytes:
    payload = encode_jpegxl(image, effort)
    assert payload is not None
    found = decode_jpegxl(payload, image.mode, image.width, image.height, image.palette)
    assert found.dtype == image.samples.dtype
    np.testing.assert_array_equal(found, image.samples)
    return payload


@pytest.mark.parametrize("effort", [1, 7, 9])
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
    deep = crop(channels, np.uint16)
    for shift in range(16):
        assert_carried(from_array(deep >> shift))


def test_opaque_and_invisible_pixels() -> None:
    for mode in (Mode.RGBA8, Mode.RGBA16, Mode.LA8, Mode.LA16):
        samples = raster(mode).samples.copy()
        for alpha in (0, 255):
            samples[:, :, -1] = alpha
            assert_carried(Raster(samples, mode))


def test_deep_samples_have_no_boxes() -> None:
    deep = raster(Mode.RGB16)
    file = imagecodecs.jpegxl_encode(deep.samples, lossless=True, effort=3)
    assert len(assert_carried(deep)) < len(file) - 40


def test_indices_or_colours() -> None:
    y, x = np.mgrid[:64, :64]
    shuffled = np.random.default_rng(0).permutation(256).astype(np.uint8)
    indices = shuffled[(y + x).astype(np.uint8)][:, :, np.newaxis]
    table = np.repeat(np.argsort(shuffled).astype(np.uint8)[:, np.newaxis], 3, 1)
    assert assert_carried(Raster(indices, Mode.PALETTE8, Palette(table, b"").pack()))[0] == 1
    flat = Palette(np.zeros((8, 3), np.uint8), b"").pack()
    image = raster(Mode.PALETTE8, colours=8)
    assert assert_carried(Raster(image.samples, image.mode, flat))[0] == 0


def test_images_of_too_many_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(payloads, "MAX_PIXELS", 9 * 13 - 1)
    assert encode_jpegxl(raster(Mode.RGB8), 3) is None
    assert encode_jpegxl(noise(Mode.RGB8, 9, 12), 3) is not None


@pytest.mark.parametrize("mode", Mode)
def test_damaged_payloads(mode: Mode) -> None:
    image = raster(mode)
    payload = encode_jpegxl(image, 3) or b""
    other = Mode.RGB8 if mode.channels != 3 else Mode.L8
    for bad, wrong, shape in [
        (payload, mode, (13, 10)),
        (payload, mode, (14, 9)),
        (payload, other, (13, 9)),
        (payload[:-20], mode, (13, 9)),
        (payload[:4], mode, (13, 9)),
        (b"", mode, (13, 9)),
        (b"\2" + payload, mode, (13, 9)),
    ]:
        with pytest.raises(CorruptError) as error:
            decode_jpegxl(bad, wrong, *shape, image.palette)
        one_line(error)


def test_payloads_of_another_kind() -> None:
    deep, shades = raster(Mode.RGB16).samples, raster(Mode.L8).samples[:, :, 0]
    encode = partial(imagecodecs.jpegxl_encode, lossless=True, effort=1)
    for file, mode in [
        (encode(deep), Mode.RGB8),
        (encode((deep / 2**16).astype(np.float32)), Mode.RGB16),
        (encode(np.stack([raster(Mode.RGB8).samples] * 2)), Mode.RGB8),
        (encode(raster(Mode.RGBA8).samples), Mode.RGB8),
        (encode(shades), Mode.BILEVEL),
        (encode(np.stack([shades] * 3), planar=True, photometric=1), Mode.L8),
    ]:
        bad = codestream(bytes(file))
        with pytest.raises(CorruptError) as error:
            decode_jpegxl(bad, mode, 13, 9)
        one_line(error)


# Headers -------------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [1, 8, 10, 12, 13, 16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize(
    ("width", "height"), [(1, 1), (64, 64), (24, 16), (640, 480), (513, 512), (1, 9000), (70000, 1)]
)
def test_headers(width: int, height: int, channels: int, bits: int) -> None:
    shape = (height, width, channels)[: 2 if channels == 1 else 3]
    pixels = np.zeros(shape, np.uint16 if bits > 8 else np.uint8)
    data = imagecodecs.jpegxl_encode(pixels, lossless=True, effort=1, bitspersample=bits)
    alpha = channels in (2, 4)
    assert parse(codestream(bytes(data))) == Codestream(
        width, height, bits=bits, colours=channels - alpha, alpha=alpha, extra=int(alpha)
    )


def test_other_headers() -> None:
    photo = crop(3)
    side = photo.shape[1], photo.shape[0]
    lossy = imagecodecs.jpegxl_encode(photo, distance=1)
    assert parse(bytes(lossy)) == Codestream(*side)
    floats = imagecodecs.jpegxl_encode(photo.astype(np.float32) / 255)
    assert parse(codestream(bytes(floats))) == Codestream(*side, bits=32, is_float=True)
    frames = parse(bytes(imagecodecs.jpegxl_encode(np.stack([photo, photo]))))
    assert frames == Codestream(*side, animated=True)
    for data in (b"", b"\xff", bytes(99), bytes(floats)):
        assert parse(data) is None
    for size in range(2, 20):
        assert parse(bytes(lossy)[:size])


def test_boxes() -> None:
    data = bytes(imagecodecs.jpegxl_encode(crop(3, np.uint16), lossless=True, usecontainer=True))
    kinds = [kind for kind, _ in boxes(data)]
    assert kinds[:2] == [b"JXL ", b"ftyp"] and kinds[-1] == b"jxlc"
    stream = codestream(data)
    assert stream == data[-len(stream) :]
    head = data[: data.index(b"jxlc") - 4]
    size = len(stream) + 16
    long = head + b"\0\0\0\1jxlc" + size.to_bytes(8) + stream
    half = len(stream) // 2
    parts = [b"\0\0\0\0" + stream[:half], b"\x80\0\0\1" + stream[half:]]
    split = head + b"".join((len(part) + 8).to_bytes(4) + b"jxlp" + part for part in parts)
    to_the_end = head + b"\0\0\0\0jxlc" + stream
    assert codestream(long) == codestream(split) == codestream(to_the_end) == stream
    assert codestream(head) == codestream(b"") == codestream(b"GIF89a") == b""
    assert codestream(head + b"\0\0\0\1jxlc" + bytes(8)) == b""


def test_frames_are_chosen() -> None:
    for mode in (Mode.L8, Mode.RGB8, Mode.RGBA8, Mode.RGB16):
        first = noise(mode, 20, 30).samples
        frames = np.stack([first, first[::-1], first[:, ::-1]])
        data = bytes(imagecodecs.jpegxl_encode(np.squeeze(frames), lossless=True))
        for page in (1, 3):
            assert np.array_equal(open_image(data, page).samples, frames[page - 1])
        with pytest.raises(UnsupportedImageError, match="JPEG XL with 3 frames or pages") as error:
            open_image(data)
        one_line(error)
        for page in (0, 4):
            with pytest.raises(UnsupportedImageError, match=f"no page {page}, the file has 3"):
                open_image(data, page)
