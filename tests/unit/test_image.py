"""Users' images to samples and back: exact, or refused in one line."""

import struct
import zlib
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image

from noisepress.bitstream.errors import UnsupportedImageError
from noisepress.codec.image.raster import Mode, Palette, Raster, from_array, from_tensor, to_array
from noisepress.codec.image.read import PixelLimit, as_raster, from_pillow, open_image
from noisepress.codec.image.write import png_chunk, save_image, to_pillow

ICC = bytes(range(256)) * 3
EXIF = b"II*\0\x08\0\0\0\0\0\0\0\0\0"
XMP = b"<x:xmpmeta>\xc3\xa9\xff\0</x:xmpmeta>"
PALETTE = Palette(np.arange(15, dtype=np.uint8).reshape(5, 3), b"\xff\x80\x00").pack()


def raster(mode: Mode, height: int = 5, width: int = 7, **metadata: bytes) -> Raster:
    top = {Mode.BILEVEL: 2, Mode.PALETTE8: 5}.get(mode, np.iinfo(mode.dtype).max + 1)
    rng = np.random.default_rng(mode)
    samples = rng.integers(0, top, (height, width, mode.channels)).astype(mode.dtype)
    return Raster(samples, mode, PALETTE if mode is Mode.PALETTE8 else b"", **metadata)


def test_rasters_are_equal_if_all_that_comes_back_is() -> None:
    grey = np.arange(6, dtype=np.uint8).reshape(2, 3, 1)
    image = Raster(grey, Mode.L8, icc=b"i", exif=b"e", xmp=b"x")
    assert image == replace(image, samples=grey.copy())
    assert image != replace(image, samples=grey + 1)
    assert image != Raster(grey.astype(np.uint16), Mode.L16, icc=b"i", exif=b"e", xmp=b"x")
    others = (replace(image, icc=b"o"), replace(image, exif=b"o"), replace(image, xmp=b"o"))
    for other in others:
        assert image != other
        assert image.shows(other)
    red, blue = (Palette(np.array([[*rgb]], np.uint8), b"") for rgb in ((255, 0, 0), (0, 0, 255)))
    one = np.zeros((2, 2, 1), np.uint8)
    painted = Raster(one, Mode.PALETTE8, palette=red.pack())
    assert not painted.shows(Raster(one, Mode.PALETTE8, palette=blue.pack()))
    assert image != "an image"


def file_of(image: Image.Image, kind: str, **options: Any) -> bytes:
    out = BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def after_header(png: bytes, chunk: bytes) -> bytes:
    return png[:33] + chunk + png[33:]


def refused(data: bytes | Path, match: str) -> None:
    with pytest.raises(UnsupportedImageError, match=match) as info:
        open_image(data)
    assert "\n" not in str(info.value)


def tiff16(samples: np.ndarray[Any, Any], orientation: int = 1, planar: int = 1) -> bytes:
    """Uncompressed little-endian TIFF of (h, w, 3) uint16, written by hand."""
    height, width, _ = samples.shape
    body = (np.moveaxis(samples, -1, 0) if planar == 2 else samples).astype("<u2").tobytes()
    strips = 3 if planar == 2 else 1
    plane = len(body) // strips
    starts = 8 + len(body)
    extra = struct.pack("<3H", 16, 16, 16)
    offsets = struct.pack(f"<{strips}I", *(8 + i * plane for i in range(strips)))
    counts = struct.pack(f"<{strips}I", *[plane] * strips)
    at = [starts, starts + 6, starts + 6 + len(offsets)]
    first_offset = at[1] if strips > 1 else 8
    first_count = at[2] if strips > 1 else plane
    tags = [
        (256, 3, 1, width),
        (257, 3, 1, height),
        (258, 3, 3, at[0]),
        (259, 3, 1, 1),
        (262, 3, 1, 2),
        (273, 4, strips, first_offset),
        (274, 3, 1, orientation),
        (277, 3, 1, 3),
        (278, 3, 1, height),
        (279, 4, strips, first_count),
        (284, 3, 1, planar),
    ]
    tail = extra + offsets + counts
    directory = struct.pack("<H", len(tags))
    directory += b"".join(struct.pack("<HHII", *tag) for tag in tags) + bytes(4)
    return struct.pack("<2sHI", b"II", 42, starts + len(tail)) + body + tail + directory


@pytest.mark.parametrize("mode", Mode)
def test_png_keeps_samples_and_metadata(mode: Mode) -> None:
    image = raster(mode, icc=ICC, exif=EXIF, xmp=XMP)
    assert open_image(save_image(image, ".png")) == image
    assert open_image(save_image(raster(mode), ".PNG")) == raster(mode)


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
    assert open_image(save_image(raster(mode), suffix)) == raster(mode)


@pytest.mark.parametrize("suffix", [".tif", ".bmp"])
def test_opaque_palette_in_other_formats(suffix: str) -> None:
    source = raster(Mode.PALETTE8)
    opaque = Raster(
        source.samples, source.mode, Palette(Palette.unpack(PALETTE).colours, b"").pack()
    )
    assert np.array_equal(to_array(open_image(save_image(opaque, suffix))), to_array(opaque))
    with pytest.raises(UnsupportedImageError, match="translucent palette"):
        save_image(source, suffix)


@pytest.mark.parametrize(
    ("suffix", "mode"), [(".webp", Mode.L8), (".bmp", Mode.RGBA8), (".tif", Mode.RGB16)]
)
def test_formats_that_would_change_samples(suffix: str, mode: Mode) -> None:
    with pytest.raises(UnsupportedImageError, match=r"use \.png"):
        save_image(raster(mode), suffix)


def test_unknown_suffix_names_the_known() -> None:
    with pytest.raises(UnsupportedImageError, match=r"cannot write \.jpg: \.png, "):
        save_image(raster(Mode.L8), ".jpg")


def test_webp_keeps_metadata() -> None:
    image = raster(Mode.RGBA8, icc=ICC, exif=EXIF, xmp=XMP)
    assert open_image(save_image(image, ".webp")) == image


@pytest.mark.parametrize("mode", [mode for mode in Mode if mode.pillow])
def test_pillow_round_trip(mode: Mode) -> None:
    image = raster(mode, icc=ICC, exif=EXIF, xmp=XMP)
    back = to_pillow(image)
    assert back.mode == mode.pillow
    assert from_pillow(back) == image


@pytest.mark.parametrize("mode", [mode for mode in Mode if not mode.pillow])
def test_pillow_has_no_16_bit_colour(mode: Mode) -> None:
    with pytest.raises(UnsupportedImageError, match=r"write \.png"):
        to_pillow(raster(mode))


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


def test_arrays_of_every_channel_count() -> None:
    for dtype in (np.uint8, np.uint16):
        for channels in (2, 3, 4):
            array = np.arange(24 * channels, dtype=dtype).reshape(4, 6, channels)
            assert np.array_equal(to_array(from_array(array[::-1, ::2])), array[::-1, ::2])
    assert from_array(np.array([[258]], ">u2")).samples.tolist() == [[[258]]]


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((2, 2), np.float32),
        np.zeros((2, 2), np.int16),
        np.zeros((2, 2), np.uint32),
        np.zeros((0, 2), np.uint8),
        np.zeros(4, np.uint8),
        np.zeros((2, 2, 5), np.uint8),
        np.zeros((2, 2, 3), np.bool_),
        np.zeros((1, 2, 2, 3), np.uint8),
    ],
)
def test_unsupported_arrays(array: np.ndarray[Any, Any]) -> None:
    with pytest.raises(UnsupportedImageError, match="supported"):
        from_array(array)


def test_tensors_are_channels_first() -> None:
    torch = pytest.importorskip("torch")
    array = np.arange(24, dtype=np.uint8).reshape(3, 2, 4)
    assert np.array_equal(from_tensor(torch.tensor(array)).samples, array.transpose(1, 2, 0))
    assert as_raster(torch.zeros(2, 4, dtype=torch.bool)).mode is Mode.BILEVEL
    for bad in (torch.zeros(3, 2, 4), torch.zeros(5, 2, 4, dtype=torch.uint8)):
        with pytest.raises(UnsupportedImageError, match="supported"):
            from_tensor(bad)


def test_as_raster_takes_each_kind(tmp_path: Path) -> None:
    image = raster(Mode.RGB8)
    data = save_image(image, ".png")
    path = tmp_path / "image.png"
    path.write_bytes(data)
    for source in (image, path, str(path), data, bytearray(data), image.samples, to_pillow(image)):
        assert as_raster(source) == image
    with pytest.raises(UnsupportedImageError, match="float is not an image"):
        as_raster(1.0)
    with pytest.raises(FileNotFoundError):
        as_raster(tmp_path / "none.png")


def test_check_is_the_crc_of_little_endian_samples() -> None:
    assert from_array(np.array([[1, 258]], np.uint16)).check == zlib.crc32(b"\1\0\2\1")


def test_raster_refuses_what_does_not_agree() -> None:
    one = np.ones((1, 1, 1), np.uint8)
    for samples, mode, palette in [
        (one, Mode.RGB8, b""),
        (one, Mode.L16, b""),
        (one, Mode.PALETTE8, b""),
        (one, Mode.L8, PALETTE),
        (one, Mode.PALETTE8, PALETTE[:-4]),
        (one * 5, Mode.PALETTE8, PALETTE),
        (one * 2, Mode.BILEVEL, b""),
    ]:
        with pytest.raises(UnsupportedImageError):
            Raster(samples, mode, palette)


def test_palettes_of_every_length_survive_png() -> None:
    for n in (1, 2, 3, 4, 5, 16, 17, 255, 256):
        colours = np.random.default_rng(n).integers(0, 256, (n, 3)).astype(np.uint8)
        for alpha in (b"", b"\0", b"\x07" * n, b"\xff" * (n - 1) + b"\0"):
            palette = Palette(colours, alpha).pack()
            samples = np.arange(n, dtype=np.uint8).reshape(1, n, 1)
            image = Raster(samples, Mode.PALETTE8, palette)
            assert open_image(save_image(image, ".png")) == image
            assert Palette.unpack(palette).pack() == palette


def test_palette_forms_of_pillow() -> None:
    rgba = Image.new("P", (2, 1))
    rgba.putpalette(bytes([1, 2, 3, 255, 4, 5, 6, 70]), "RGBA")
    rgba.putdata([0, 1])
    assert to_array(from_pillow(rgba)).tolist() == [[[1, 2, 3, 255], [4, 5, 6, 70]]]
    short = Image.new("P", (2, 1))
    short.putpalette(bytes([1, 2, 3]))
    short.putdata([0, 9])  # behind the end: black
    assert np.array_equal(to_array(from_pillow(short)), np.asarray(short.convert("RGB")))


def test_colour_keys_become_alpha() -> None:
    grey = Image.fromarray(np.array([[3, 4]], np.uint8))
    grey.info["transparency"] = 4
    assert from_pillow(grey).samples.tolist() == [[[3, 255], [4, 0]]]
    bilevel = to_pillow(from_array(np.array([[False, True]])))
    bilevel.info["transparency"] = 255
    assert from_pillow(bilevel).samples.tolist() == [[[0, 255], [255, 0]]]
    rgb = Image.fromarray(np.array([[[1, 2, 3], [1, 2, 4]]], np.uint8))
    data = file_of(rgb, "PNG", transparency=(1, 2, 3))
    assert open_image(data).samples.tolist() == [[[1, 2, 3, 0], [1, 2, 4, 255]]]
    two_bits = file_of(Image.fromarray(np.array([[0, 85]], np.uint8)), "PNG", bits=2)
    keyed = after_header(two_bits, png_chunk(b"tRNS", struct.pack(">H", 1)))
    assert open_image(keyed).samples.tolist() == [[[0, 255], [85, 0]]]


@pytest.mark.parametrize("channels", [1, 3])
def test_colour_keys_of_16_bit_png(channels: int) -> None:
    samples = np.array([[[258] * channels, [259] * channels]], np.uint16)
    png = bytes(imagecodecs.png_encode(samples if channels > 1 else samples[:, :, 0]))
    keyed = after_header(png, png_chunk(b"tRNS", struct.pack(f">{channels}H", *[258] * channels)))
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


@pytest.mark.parametrize("planar", [1, 2])
def test_16_bit_colour_tiff_is_not_reduced(planar: int) -> None:
    samples = raster(Mode.RGB16).samples
    assert np.array_equal(open_image(tiff16(samples, planar=planar)).samples, samples)


def test_tiff_rows_come_out_upright() -> None:
    samples = raster(Mode.RGB16).samples
    for orientation in range(1, 9):
        deep = open_image(tiff16(samples, orientation)).samples
        assert np.array_equal(
            deep >> 8, np.asarray(Image.open(BytesIO(tiff16(samples, orientation))))
        )


def test_pillow_objects_that_lose_bits_are_refused() -> None:
    image = raster(Mode.RGB16)
    for data in (save_image(image, ".png"), tiff16(image.samples)):
        with pytest.raises(UnsupportedImageError, match="reduces 16-bit RGB to 8 bits"):
            from_pillow(Image.open(BytesIO(data)))


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr", "LAB", "HSV", "F", "RGBa", "La", "RGBX", "PA"])
def test_unsupported_pillow_modes(mode: str) -> None:
    with pytest.raises(UnsupportedImageError, match=f"Pillow mode {mode} is not supported"):
        from_pillow(Image.new(mode, (2, 2)))
    with pytest.raises(UnsupportedImageError, match="32-bit"):
        from_pillow(Image.new("I", (2, 2)))


def test_unsupported_files(tmp_path: Path) -> None:
    grey, rgb = Image.new("L", (20, 20)), Image.new("RGB", (20, 20))
    refused(file_of(Image.new("CMYK", (20, 20)), "JPEG"), "CMYK")
    refused(file_of(Image.new("F", (20, 20)), "TIFF"), "Pillow mode F is not")
    refused(file_of(Image.new("I", (20, 20)), "TIFF"), "32")
    other = Image.new("L", (20, 20), 9)
    refused(file_of(grey, "GIF", save_all=True, append_images=[other]), "GIF with 2 frames")
    refused(file_of(grey, "TIFF", save_all=True, append_images=[other]), "TIFF with 2 frames")
    refused(file_of(grey, "PNG", save_all=True, append_images=[other]), "PNG with 2 frames")
    refused(b"P5 1 1 1000\n\0\1", "maximum 1000")
    refused(b"P6 1 1 31\n\0\1\2", "maximum 31")
    refused(b"", "not a supported image file")
    refused(b"no image", "not a supported image file")
    for kind in ("PNG", "JPEG", "TIFF", "BMP", "WEBP", "PPM"):
        noise = Image.fromarray(np.random.default_rng(1).integers(0, 256, (20, 20, 3), np.uint8))
        data = file_of(noise, kind)
        refused(data[: len(data) // 2], ".")
        refused(data[:9], ".")
    bomb = file_of(rgb, "BMP")
    refused(bomb[:18] + struct.pack("<ii", 1 << 17, 1 << 17) + bomb[26:], "pixels")


def test_premultiplied_alpha_is_refused() -> None:
    data = file_of(Image.new("RGBA", (3, 3), (9, 9, 9, 9)), "TIFF")
    straight, premultiplied = (struct.pack("<HHIHH", 338, 3, 1, kind, 0) for kind in (2, 1))
    assert data.count(straight) == 1
    refused(data.replace(straight, premultiplied), "premultiplied")


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
    jpeg = file_of(Image.new("L", (4, 4)), "JPEG", exif=b"Exif\0\0" + EXIF)
    assert open_image(jpeg).exif == EXIF
    text = f"\nexif\n{len(EXIF):8}\n{EXIF.hex()}\n".encode()
    chunk = png_chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(text))
    assert open_image(after_header(file_of(Image.new("L", (4, 4)), "PNG"), chunk)).exif == EXIF
