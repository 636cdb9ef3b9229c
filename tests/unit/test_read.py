"""Image files and Pillow images as rasters: exact, or refused in one line."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from common import noise, saved, to_pillow, with_chunk
from PIL import Image

from noisepress.bitstream.errors import UnsupportedImageError
from noisepress.codec.image.raster import Mode, from_array, to_array
from noisepress.codec.image.read import PixelLimit, from_pillow, open_image
from noisepress.codec.image.write import png_chunk, save_image

EXIF = b"II*\0\x08\0\0\0\0\0\0\0\0\0"


def refused(data: bytes | Path, match: str) -> None:
    with pytest.raises(UnsupportedImageError, match=match) as info:
        open_image(data)
    assert "\n" not in str(info.value)


def test_palette_forms_of_pillow() -> None:
    rgba = Image.new("P", (2, 1))
    rgba.putpalette(bytes([1, 2, 3, 255, 4, 5, 6, 70]), "RGBA")
    rgba.putdata([0, 1])
    assert to_array(from_pillow(rgba)).tolist() == [[[1, 2, 3, 255], [4, 5, 6, 70]]]
    short = Image.new("P", (2, 1))
    short.putpalette(bytes([1, 2, 3]))
    short.putdata([0, 9])  # after the end: black
    assert np.array_equal(to_array(from_pillow(short)), np.asarray(short.convert("RGB")))


def test_colour_keys_become_alpha() -> None:
    grey = Image.fromarray(np.array([[3, 4]], np.uint8))
    grey.info["transparency"] = 4
    assert from_pillow(grey).samples.tolist() == [[[3, 255], [4, 0]]]
    bilevel = to_pillow(from_array(np.array([[False, True]])))
    bilevel.info["transparency"] = 255
    assert from_pillow(bilevel).samples.tolist() == [[[0, 255], [255, 0]]]
    rgb = Image.fromarray(np.array([[[1, 2, 3], [1, 2, 4]]], np.uint8))
    data = saved(rgb, "PNG", transparency=(1, 2, 3))
    assert open_image(data).samples.tolist() == [[[1, 2, 3, 0], [1, 2, 4, 255]]]
    two_bits = saved(Image.fromarray(np.array([[0, 85]], np.uint8)), "PNG", bits=2)
    keyed = with_chunk(two_bits, png_chunk(b"tRNS", struct.pack(">H", 1)))
    assert open_image(keyed).samples.tolist() == [[[0, 255], [85, 0]]]


@pytest.mark.parametrize("channels", [1, 3])
def test_colour_keys_of_16_bit_png(channels: int) -> None:
    samples = np.array([[[258] * channels, [259] * channels]], np.uint16)
    png = bytes(imagecodecs.png_encode(samples if channels > 1 else samples[:, :, 0]))
    keyed = with_chunk(png, png_chunk(b"tRNS", struct.pack(f">{channels}H", *[258] * channels)))
    image = open_image(keyed)
    assert image.samples[0, :, -1].tolist() == [0, 65535]
    assert np.array_equal(image.samples[:, :, :-1], samples)


def test_interlaced_16_bit_png() -> None:
    samples = np.random.default_rng(0).integers(0, 65536, (9, 11, 3)).astype(np.uint16)
    passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2)]
    rows = b""
    for y, x, dy, dx in [*passes, (1, 0, 2, 1)]:
        rows += b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples[y::dy, x::dx])
    header = struct.pack(">IIBBBBB", 11, 9, 16, 2, 0, 0, 1)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    png = b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(*chunk) for chunk in chunks)
    assert np.array_equal(open_image(png).samples, samples)


def test_pillow_objects_that_lose_bits_are_refused() -> None:
    image = Image.open(BytesIO(save_image(noise(Mode.RGB16), ".png")))
    with pytest.raises(UnsupportedImageError, match="reduces 16-bit RGB to 8 bits"):
        from_pillow(image)


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr", "LAB", "HSV", "F", "RGBa", "La", "RGBX", "PA"])
def test_unsupported_pillow_modes(mode: str) -> None:
    with pytest.raises(UnsupportedImageError, match=f"Pillow mode {mode} is not supported"):
        from_pillow(Image.new(mode, (2, 2)))
    with pytest.raises(UnsupportedImageError, match="32-bit"):
        from_pillow(Image.new("I", (2, 2)))


def test_pillow_images_of_strange_content_are_refused() -> None:
    deep = Image.open(BytesIO(b"P5 2 1 65535\n\0\1\0\2"))
    deep.load()
    deep.putpixel((0, 0), -1)
    keyed = Image.new("L", (2, 1))
    keyed.info["transparency"] = b"\1"
    printed, named = Image.new("P", (2, 1)), Image.new("P", (2, 1))
    printed.putpalette(bytes(8), "CMYK")
    named.info["transparency"] = "black"
    for image, match in (
        (deep, r"samples outside 0\.\.65535"),
        (keyed, "one integer a channel is supported"),
        (printed, "palette is not of mode RGB or RGBA"),
        (named, "palette transparency of type str"),
    ):
        with pytest.raises(UnsupportedImageError, match=match) as error:
            from_pillow(image)
        assert "\n" not in str(error.value)


def test_files_that_could_be_of_more_bits_are_read_where_they_are_not() -> None:
    assert open_image(b"P2 2 1 255\n3 4").samples.tolist() == [[[3], [4]]]
    flat = Image.new("RGB", (16, 16), (70, 80, 90))
    for data in (saved(flat, "JPEG2000"), saved(flat, "AVIF", quality=100)):
        image = open_image(data)
        assert image.mode is Mode.RGB8
        assert np.abs(image.samples.astype(int) - (70, 80, 90)).max() <= 4


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data:UserWarning")  # of cut files, from Pillow
def test_unsupported_files(tmp_path: Path) -> None:
    grey, rgb = Image.new("L", (20, 20)), Image.new("RGB", (20, 20))
    refused(saved(Image.new("CMYK", (20, 20)), "JPEG"), "CMYK")
    refused(saved(Image.new("F", (20, 20)), "TIFF"), "Pillow mode F is not")
    refused(saved(Image.new("I", (20, 20)), "TIFF"), "32")
    other = Image.new("L", (20, 20), 9)
    refused(saved(grey, "GIF", save_all=True, append_images=[other]), "GIF with 2 frames")
    refused(saved(grey, "TIFF", save_all=True, append_images=[other]), "TIFF with 2 frames")
    refused(saved(grey, "PNG", save_all=True, append_images=[other]), "PNG with 2 frames")
    refused(b"P5 1 1 1000\n\0\1", "maximum 1000")
    refused(b"P6 1 1 31\n\0\1\2", "maximum 31")
    refused(b"", "not a supported image file")
    refused(b"no image", "not a supported image file")
    for kind in ("PNG", "JPEG", "TIFF", "BMP", "WEBP", "PPM"):
        noise = Image.fromarray(np.random.default_rng(1).integers(0, 256, (20, 20, 3), np.uint8))
        data = saved(noise, kind)
        refused(data[: len(data) // 2], ".")
        refused(data[:9], ".")
    bomb = saved(rgb, "BMP")
    refused(bomb[:18] + struct.pack("<ii", 1 << 17, 1 << 17) + bomb[26:], "pixels")


@pytest.mark.parametrize("depth", [10, 12])
def test_high_bit_depths_are_refused(depth: int) -> None:
    samples = np.full((16, 16, 3), 700, np.uint16)
    refused(
        bytes(imagecodecs.avif_encode(samples, bitspersample=depth, level=50)), "AVIF of 10 or 12"
    )
    refused(
        bytes(imagecodecs.jpeg2k_encode(samples, bitspersample=depth)),
        "JPEG 2000 with 3 components",
    )


def test_pixel_limit_is_put_back() -> None:
    before = Image.MAX_IMAGE_PIXELS
    with PixelLimit(), PixelLimit():
        assert Image.MAX_IMAGE_PIXELS == 1 << 30
    assert before == Image.MAX_IMAGE_PIXELS


def test_exif_of_jpeg_and_of_png_text() -> None:
    jpeg = saved(Image.new("L", (4, 4)), "JPEG", exif=b"Exif\0\0" + EXIF)
    assert open_image(jpeg).exif == EXIF
    text = f"\nexif\n{len(EXIF):8}\n{EXIF.hex()}\n".encode()
    chunk = png_chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(text))
    assert open_image(with_chunk(saved(Image.new("L", (4, 4)), "PNG"), chunk)).exif == EXIF
    damaged = png_chunk(b"tEXt", b"Raw profile type exif\0\nexif\n 12\nno digits\n")
    assert open_image(with_chunk(saved(Image.new("L", (4, 4)), "PNG"), damaged)).exif == b""
