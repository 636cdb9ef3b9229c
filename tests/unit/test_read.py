"""Image files and Pillow images as rasters: exact, or refused in one line."""

from __future__ import annotations

import functools
import struct
import zlib
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from common import crop, noise, saved, to_pillow, with_chunk
from numpy.typing import NDArray
from PIL import Image
from PIL.TiffImagePlugin import AppendingTiffWriter

import noisepress
from noisepress.bitstream.errors import UnsupportedImageError
from noisepress.codec.image.png import chunk as png_chunk
from noisepress.codec.image.raster import Mode, Raster, from_array, to_array, to_whole_range
from noisepress.codec.image.read import from_pillow, open_image
from noisepress.codec.image.write import save_image

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
    refused(saved(Image.new("CMYK", (20, 20)), "JPEG"), "CMYK is not .*; convert it to RGB")
    refused(saved(Image.new("F", (20, 20)), "TIFF"), "Pillow mode F is not .*; scale it to 16 bits")
    refused(saved(Image.new("I", (20, 20)), "TIFF"), "32")
    other = Image.new("L", (20, 20), 9)
    refused(saved(grey, "GIF", save_all=True, append_images=[other]), "GIF with 2 frames")
    refused(saved(grey, "TIFF", save_all=True, append_images=[other]), "TIFF with 2 frames")
    refused(saved(grey, "PNG", save_all=True, append_images=[other]), "PNG with 2 frames")
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
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_avif_of_more_than_8_bits(channels: int, depth: int) -> None:
    samples = (crop(3, np.uint16) >> (16 - depth))[..., [0, 1, 2, 0][:channels]]
    pixels = samples[..., 0] if channels == 1 else samples
    data = bytes(imagecodecs.avif_encode(pixels, bitspersample=depth, level=100))
    found = open_image(data)
    decoded = imagecodecs.avif_decode(data).reshape(found.samples.shape)
    np.testing.assert_array_equal(found.samples, to_whole_range(decoded, (1 << depth) - 1))
    assert np.abs(decoded.astype(int) - samples).max() <= 1 << (depth - 8)


@pytest.mark.parametrize("depth", [9, 12, 16])
@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_2000_of_more_than_8_bits(channels: int, depth: int) -> None:
    samples = crop(channels, np.uint16) >> (16 - depth)
    pixels = samples[..., 0] if channels == 1 else samples
    data = bytes(imagecodecs.jpeg2k_encode(pixels, bitspersample=depth, level=0))
    np.testing.assert_array_equal(
        open_image(data).samples, to_whole_range(samples, (1 << depth) - 1)
    )
    refused(bytes(imagecodecs.jpeg2k_encode(crop(2, np.uint16))), "JPEG 2000 with 2 components")


JPEGXL = functools.partial(imagecodecs.jpegxl_encode, lossless=True, effort=3)


@pytest.mark.parametrize("bits", [1, 7, 8, 10, 12, 16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_jpeg_xl(channels: int, bits: int) -> None:
    samples = crop(channels, np.uint16) >> (16 - bits)
    samples = samples.astype(np.uint8 if bits <= 8 else np.uint16)
    pixels = samples[..., 0] if channels == 1 else samples
    found = open_image(bytes(JPEGXL(pixels, bitspersample=bits)))
    np.testing.assert_array_equal(found.samples, to_whole_range(samples, (1 << bits) - 1))
    boxed = bytes(JPEGXL(pixels, bitspersample=bits, usecontainer=True))
    boxed += b"\0\0\0\x10xml <x:xmp/>"
    boxed += (12 + 2 + len(EXIF)).to_bytes(4) + b"Exif" + b"\0\0\0\2ab" + EXIF
    again = open_image(boxed)
    assert again.shows(found)
    assert (again.exif, again.xmp) == (EXIF, b"<x:xmp/>")


def test_jpeg_xl_that_is_refused() -> None:
    photo = crop(3)
    frames = JPEGXL(np.stack([photo, photo]))
    floats = JPEGXL((photo / 255).astype(np.float32))
    planes = JPEGXL(np.stack([photo[..., 0]] * 3), planar=True, photometric=1)
    for data, match in ((frames, "frames"), (floats, "floats"), (planes, "2 extra channels")):
        refused(bytes(data), f"JPEG XL .*{match}")
    refused(bytes(JPEGXL(photo))[:-30], "cannot read")
    refused(bytes(JPEGXL(photo))[:2], ".")


def pages(kind: str, **options: Any) -> tuple[bytes, list[NDArray[Any]]]:
    images = [crop(3) // np.uint8(1 + index) for index in range(3)]
    first, *others = map(Image.fromarray, images)
    return saved(first, kind, save_all=True, append_images=others, **options), images


@pytest.mark.parametrize(
    ("kind", "options"), [("TIFF", {}), ("PNG", {}), ("WEBP", {"lossless": True})]
)
def test_pages(kind: str, options: dict[str, Any]) -> None:
    data, images = pages(kind, **options)
    for page, image in enumerate(images, 1):
        np.testing.assert_array_equal(open_image(data, page).samples[..., :3], image)
    for page in (0, 4):
        with pytest.raises(UnsupportedImageError, match=f"no page {page}, the file has 3"):
            open_image(data, page)
    refused(data, f"{kind} with 3 frames or pages.*--page")


def test_frames_of_16_bits_are_refused() -> None:
    deep = crop(3, np.uint16)
    data = bytes(imagecodecs.apng_encode(np.stack([deep, deep // 2])))
    np.testing.assert_array_equal(open_image(data, 1).samples, deep)
    with pytest.raises(UnsupportedImageError, match="several frames"):
        open_image(data, 2)


def test_pages_of_16_bits() -> None:
    images = [crop(3, np.uint16) // np.uint16(1 + index) for index in range(2)]
    out = BytesIO()
    with AppendingTiffWriter(out, True) as file:
        for image in images:
            file.write(bytes(imagecodecs.tiff_encode(image)))
            file.newFrame()
    for page, image in enumerate(images, 1):
        np.testing.assert_array_equal(open_image(out.getvalue(), page).samples, image)


def test_files_of_one_page() -> None:
    for data in (saved(Image.new("L", (4, 4)), "PNG"), saved(Image.new("L", (4, 4)), "JPEG")):
        assert open_image(data, 1) == open_image(data)
        with pytest.raises(UnsupportedImageError, match="no page 2, the file has 1"):
            open_image(data, 2)


def test_tiff_with_thumbnails() -> None:
    images = [Image.fromarray(crop(3)), Image.new("RGB", (5, 4)), Image.new("RGB", (3, 2))]
    out = BytesIO()
    with AppendingTiffWriter(out, True) as file:
        for index, image in enumerate(images):
            image.save(file, "TIFF", tiffinfo={254: int(index > 0)})
            file.newFrame()
    with pytest.warns(UserWarning, match="3 pages: page 1 is read, the others are thumbnails"):
        found = open_image(out.getvalue())
    np.testing.assert_array_equal(found.samples, crop(3))
    assert open_image(out.getvalue(), 2).samples.shape == (4, 5, 3)


def test_large_metadata() -> None:
    large = np.random.default_rng(0).bytes(3_000_000)
    xmp = b"<x>" + large.hex().encode() + b"</x>"
    image = Raster(crop(3), Mode.RGB8, icc=large, xmp=xmp, exif=EXIF)
    found = open_image(save_image(image, ".png"))
    assert found == image
    assert noisepress.decode_raster(noisepress.encode(found, "png")) == image
    text = png_chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(2_000_000).replace(b"\0", b"a")))
    commented = open_image(with_chunk(save_image(image, ".png"), text))
    assert commented == replace(image, chunks=text)


def test_exif_of_jpeg_and_of_png_text() -> None:
    jpeg = saved(Image.new("L", (4, 4)), "JPEG", exif=b"Exif\0\0" + EXIF)
    assert open_image(jpeg).exif == EXIF
    text = f"\nexif\n{len(EXIF):8}\n{EXIF.hex()}\n".encode()
    chunk = png_chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(text))
    assert open_image(with_chunk(saved(Image.new("L", (4, 4)), "PNG"), chunk)).exif == EXIF
    damaged = png_chunk(b"tEXt", b"Raw profile type exif\0\nexif\n 12\nno digits\n")
    with pytest.warns(noisepress.LossWarning, match="EXIF in a text, which is damaged"):
        found = open_image(with_chunk(saved(Image.new("L", (4, 4)), "PNG"), damaged))
    assert found.exif == b""
