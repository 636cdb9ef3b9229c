"""JPEG files come back byte for byte, and decode as their pixels do."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from common import crop, one_line, picture, saved
from PIL import Image, ImageCms

import noisepress
from noisepress.bitstream.container import Section, SectionKind, read, write
from noisepress.bitstream.errors import (
    CorruptError,
    NoisepressError,
    OptionError,
    TruncatedError,
    UnsupportedImageError,
)
from noisepress.codec.image.jpeg import frame_size
from noisepress.codec.jpegfile.codec import JpegFileParameters

EXIF = Image.Exif()
EXIF[0x0112] = 6
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"/>'
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
OVERHEAD = 40
"""Bytes that a kept file may be larger than the JPEG file, or than JPEG XL's transcoding."""


def jpeg(mode: str = "RGB", side: int = 96, **options: Any) -> bytes:
    image = Image.fromarray(picture(side, side + 9)).convert(mode)
    return saved(image, "JPEG", **{"quality": 85, **options})


def several() -> bytes:
    """Two pictures in one file."""
    first, second = (Image.fromarray(picture(40, 50, seed=seed)) for seed in (1, 2))
    return saved(first, "MPO", save_all=True, append_images=[second])


def commented() -> bytes:
    """With comments before and after other markers, and fill bytes."""
    data = jpeg()
    return data[:2] + b"\xff\xfe\0\7hello" + b"\xff\xff" + data[2:]


def junk() -> bytes:
    """With bytes between two segments that belong to neither."""
    data = jpeg()
    end = 4 + int.from_bytes(data[4:6])
    return data[:end] + b"\0\x12\xff\0" + data[end:]


def arithmetic() -> bytes:
    """The scan of a Huffman-coded file, said to be arithmetic-coded."""
    return jpeg().replace(b"\xff\xc0", b"\xff\xc9", 1)


def thumbnail(data: bytes) -> bytes:
    """EXIF data without tags, and a thumbnail."""
    return b"Exif\0\0II*\0\x08" + bytes(9) + data


READ: Mapping[str, Callable[[], bytes]] = {
    "baseline": jpeg,
    "progressive": lambda: jpeg(progressive=True),
    "4:4:4": lambda: jpeg(subsampling=0),
    "4:2:2": lambda: jpeg(subsampling=1),
    "RGB components": lambda: jpeg(keep_rgb=True),
    "grey": lambda: jpeg("L"),
    "optimised": lambda: jpeg(optimize=True),
    "one pixel": lambda: saved(Image.new("RGB", (1, 1)), "JPEG"),
    "restart markers": lambda: jpeg(restart_marker_blocks=3),
    "metadata": lambda: jpeg(exif=EXIF, icc_profile=SRGB, xmp=XMP),
    "strange profile": lambda: jpeg(icc_profile=np.random.default_rng(0).bytes(150_000)),
    "appended data": lambda: jpeg() + np.random.default_rng(1).bytes(5000),
    "appended JPEG file": lambda: jpeg() + jpeg("L"),
    "broken thumbnail": lambda: jpeg(exif=thumbnail(jpeg(side=16)[:-90])),
    "comments and fill bytes": commented,
    "junk between segments": junk,
    "several pictures": several,
    "lossless": lambda: bytes(imagecodecs.ljpeg_encode(crop(1)[..., 0])),
    "said to be arithmetic": arithmetic,
    "other encoder": lambda: bytes(imagecodecs.jpeg8_encode(picture(60, 70), level=93)),
}


UNREAD: Mapping[str, Callable[[], bytes]] = {
    "CMYK": lambda: jpeg("CMYK"),
    "cut": lambda: jpeg()[:-900],
    "cut behind the frame header": lambda: jpeg()[: jpeg().index(b"\xff\xda")],
    "12 bits": lambda: bytes(imagecodecs.jpeg_encode(crop(1, np.uint16) >> 4, bitspersample=12)),
}


REFUSED_BY_LIBJXL = ("lossless", "said to be arithmetic", "strange profile")


def transcoded(data: bytes) -> int:
    return len(imagecodecs.jpegxl_encode_jpeg(data, numthreads=1))


@pytest.mark.filterwarnings("ignore::noisepress.LossWarning")
@pytest.mark.parametrize("name", READ)
def test_the_file_and_its_pixels_come_back(name: str) -> None:
    data = READ[name]()
    kept = noisepress.encode(data)
    assert noisepress.original_file(kept) == data
    if name not in REFUSED_BY_LIBJXL:
        assert len(kept) <= transcoded(data) + OVERHEAD
    assert len(kept) <= len(data) + OVERHEAD
    expected, found = noisepress.open_image(data), noisepress.decode_raster(kept)
    assert found == expected
    assert found.jpeg == expected.jpeg == data
    pixels = noisepress.encode(noisepress.open_image(data), "png")
    np.testing.assert_array_equal(noisepress.decode(kept), noisepress.decode(pixels))
    assert read(kept).header.check == read(pixels).header.check
    noisepress.verify(kept, data)
    info = noisepress.inspect(kept)
    assert (info.codec, info.parameters["picture"]) == ("jpegfile", "yes")
    assert info.metadata == noisepress.inspect(pixels).metadata
    assert [kind for kind, *_ in info.sections] == ["data"]


@pytest.mark.parametrize("name", UNREAD)
def test_files_without_a_picture_come_back(name: str) -> None:
    data = UNREAD[name]()
    kept = noisepress.encode(data)
    assert noisepress.original_file(kept) == data
    assert len(kept) <= len(data) + OVERHEAD
    info = noisepress.inspect(kept)
    assert (info.codec, info.parameters["picture"]) == ("jpegfile", "no")
    assert (info.width, info.height) == frame_size(data)
    noisepress.verify(kept)
    noisepress.verify(kept, data)
    for other in (data + b"?", jpeg(), picture(4, 4)):
        with pytest.raises(CorruptError):
            noisepress.verify(kept, other)
    with pytest.raises(OptionError, match="original_file") as error:
        noisepress.decode(kept)
    one_line(error)
    for codec in ("ardm", "png", "diffc"):
        with pytest.raises(UnsupportedImageError):
            noisepress.encode(data, codec)
    with pytest.raises(UnsupportedImageError):
        noisepress.open_image(data)


def test_an_image_that_is_not_that_of_its_file_is_refused() -> None:
    raster = noisepress.open_image(jpeg())
    with pytest.raises(CorruptError, match="other samples than its JPEG file"):
        noisepress.encode(replace(raster, samples=raster.samples ^ np.uint8(1)))


def test_a_file_is_restored_once(monkeypatch: pytest.MonkeyPatch) -> None:
    restored: list[bytes] = []
    real = imagecodecs.jpegxl_decode_jpeg

    def spied(payload: bytes, **options: Any) -> Any:
        restored.append(payload)
        return real(payload, **options)

    monkeypatch.setattr(imagecodecs, "jpegxl_decode_jpeg", spied)
    data = noisepress.encode(jpeg())
    assert len(restored) == 1
    noisepress.decode(data)
    assert len(restored) == 2


def test_ordinary_files_get_smaller() -> None:
    files = [jpeg(side=300, **options) for options in ({}, {"progressive": True}, {"quality": 95})]
    assert sum(len(noisepress.encode(file)) for file in files) < 0.9 * sum(map(len, files))


@pytest.mark.parametrize("size", [0, 3, 20, 60, 150])
def test_beginnings_of_jpeg_files_without_a_size_are_refused(size: int) -> None:
    with pytest.raises(UnsupportedImageError):
        noisepress.encode(jpeg()[:size])


def test_what_is_no_jpeg_file_has_no_frame() -> None:
    data = jpeg()
    frame = data.index(b"\xff\xc0")
    assert frame_size(data) == (105, 96)
    for other in (b"", data[1:], data[: frame + 8], data[:2] + b"ab" + data[2:]):
        assert frame_size(other) is None
    assert frame_size(data[: frame + 5] + bytes(4) + data[frame + 9 :]) is None
    assert frame_size(b"\xff\xd8\xff\xd9" + data) is None


def test_paths_and_files_are_kept_and_pixels_are_not(tmp_path: Path) -> None:
    data = jpeg()
    path = tmp_path / "a.jpg"
    path.write_bytes(data)
    kept = noisepress.encode(data)
    with path.open("rb") as file:
        assert noisepress.encode(path) == noisepress.encode(file) == kept
    with Image.open(path) as image:
        for source in (image, np.asarray(image)):
            coded = noisepress.encode(source, effort=0)
            assert noisepress.inspect(coded).codec != "jpegfile"


def test_named_codecs_code_pixels(lattice_model: str) -> None:
    data = jpeg()
    for coded in (
        noisepress.encode(data, "ardm", model=lattice_model),
        noisepress.encode(data, noisepress.Ardm(model=lattice_model)),
        noisepress.encode(data, "png"),
    ):
        assert noisepress.inspect(coded).codec != "jpegfile"
        with pytest.raises(OptionError, match="keeps no JPEG file") as error:
            noisepress.original_file(coded)
        one_line(error)
    assert noisepress.inspect(noisepress.encode(data, "jpegfile")).codec == "jpegfile"
    with pytest.raises(UnsupportedImageError, match="jpegfile does not code RGB8"):
        noisepress.encode(picture(4, 4), noisepress.JpegFile(), fallback=False)


def test_pixels_win_only_if_asked_for(lattice_model: str) -> None:
    flat = saved(Image.new("RGB", (64, 64)), "JPEG", quality=100, icc_profile=b"")
    assert noisepress.inspect(noisepress.encode(flat)).codec == "jpegfile"
    smaller = noisepress.encode(flat, pixels=True, model=lattice_model)
    assert noisepress.inspect(smaller).codec != "jpegfile"
    assert len(smaller) < len(noisepress.encode(flat))
    data = jpeg()
    assert noisepress.encode(data, pixels=True, model=lattice_model) == noisepress.encode(data)


def test_a_file_that_libjxl_does_not_give_back_is_kept_as_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = jpeg()
    real = imagecodecs.jpegxl_decode_jpeg
    monkeypatch.setattr(
        imagecodecs, "jpegxl_decode_jpeg", lambda *args, **kw: bytes(real(*args, **kw)) + b"?"
    )
    kept = noisepress.encode(data)
    assert noisepress.inspect(kept).parameters["jpeg"] in ("kept as it is", "kept deflated")
    assert noisepress.original_file(kept) == data


# Damage --------------------------------------------------------------------------------------


def test_cut_files_are_refused() -> None:
    kept = noisepress.encode(jpeg())
    for size in (0, 5, 20, read(kept).start, len(kept) // 2, len(kept) - 1):
        for call in (noisepress.decode, noisepress.original_file, noisepress.verify):
            with pytest.raises(TruncatedError) as error:
                call(kept[:size])
            one_line(error)
    info = noisepress.inspect(kept[:-1])
    assert info.truncated and info.metadata == ()


def test_every_damaged_byte_is_noticed() -> None:
    kept = noisepress.encode(jpeg(side=16))
    for at in range(len(kept)):
        bad = kept[:at] + bytes([kept[at] ^ 1 << at % 8]) + kept[at + 1 :]
        for call in (noisepress.decode, noisepress.original_file):
            with pytest.raises(NoisepressError) as error:
                call(bad)
            one_line(error)


def forged(kept: bytes, payload: bytes | None = None, **fields: Any) -> bytes:
    """A file with right checksums and other contents."""
    contents = read(kept)
    parameters = JpegFileParameters.parse(contents.header.parameters)
    header = replace(contents.header, parameters=replace(parameters, **fields).pack())
    if payload is None:
        payload = contents.sections[0].payload
    return write(header, [Section(SectionKind.DATA, payload)])


def test_forged_payloads_are_refused() -> None:
    data, other = jpeg(), jpeg(side=64)
    kept = noisepress.encode(data)
    assert noisepress.original_file(forged(kept)) == data
    payload = read(kept).sections[0].payload
    for bad in (
        forged(kept, b""),
        forged(kept, bytes(99)),
        forged(kept, payload[:-9]),
        forged(kept, payload[:300] + b"?" + payload[301:]),
        forged(kept, read(noisepress.encode(other)).sections[0].payload),
        forged(kept, bytes(imagecodecs.jpegxl_encode(picture(9, 9)))),
        forged(kept, data, jpeg="kept deflated"),
        forged(kept, other, jpeg="kept as it is"),
        forged(kept, crc=0),
    ):
        for call in (noisepress.decode, noisepress.original_file):
            with pytest.raises(CorruptError) as error:
                call(bad)
            one_line(error)


@pytest.mark.parametrize("kind", ["larger", "text", "CMYK"])
def test_other_pictures_than_the_header_has_are_refused(kind: str) -> None:
    file = {"larger": jpeg(side=120), "text": b"no picture", "CMYK": jpeg("CMYK")}[kind]
    bad = forged(noisepress.encode(jpeg()), file, jpeg="kept as it is", crc=zlib.crc32(file))
    assert noisepress.original_file(bad) == file
    with pytest.raises(CorruptError, match=r"kept JPEG file (is damaged|has another)") as error:
        noisepress.decode(bad)
    one_line(error)
    if kind == "text":
        with pytest.raises(CorruptError, match="kept JPEG file is damaged"):
            noisepress.inspect(bad)


# Archives ------------------------------------------------------------------------------------


def test_archives_keep_jpeg_files(lattice_model: str) -> None:
    data = jpeg(exif=EXIF)
    images: list[tuple[str, object]] = [("a.jpg", data), ("b.png", picture(9, 9))]
    stored = noisepress.Archive(noisepress.archive(images, model=lattice_model))
    assert stored.original_file("a.jpg") == data
    np.testing.assert_array_equal(stored.read("a.jpg"), np.asarray(Image.open(BytesIO(data))))
    first, second = stored.read_group(0, model=lattice_model)
    assert (first.jpeg, second.jpeg) == (data, b"")
    for name, text in (("b.png", "group 1 .* keeps no JPEG file"), ("c", "no image 'c'")):
        with pytest.raises(OptionError, match=text) as error:
            stored.original_file(name)
        one_line(error)
    coded = noisepress.Archive(noisepress.archive(images, "png"))
    with pytest.raises(OptionError):
        coded.original_file("a.jpg")


@pytest.mark.parametrize("codec", [None, "png", "vdm"])
@pytest.mark.parametrize("name", UNREAD)
def test_archives_keep_files_without_a_picture(name: str, codec: str | None) -> None:
    data, image = UNREAD[name](), picture(9, 9)
    images: list[tuple[str, object]] = [("a.png", image), ("b.jpg", data), ("c.png", image)]
    stored = noisepress.Archive(noisepress.archive(images, codec))
    assert stored.original_file("b.jpg") == data
    first, second, third = stored.read_group(0)
    assert isinstance(second, noisepress.UnreadJpeg) and second.jpeg == data
    assert (second.width, second.height) == frame_size(data)
    for found in (first, third):
        assert found == noisepress.Raster(image, noisepress.Mode.RGB8)
    with pytest.raises(OptionError, match="original_file") as error:
        stored.read("b.jpg")
    one_line(error)
    again = noisepress.archive([("b.jpg", second)])
    assert noisepress.Archive(again).original_file("b.jpg") == data
    with pytest.raises(UnsupportedImageError, match=r"b\.jpg"):
        noisepress.archive(images, "diffc")


def test_archives_without_any_picture() -> None:
    stored = noisepress.Archive(noisepress.archive([("a.jpg", jpeg("CMYK"))], "vdm"))
    assert stored.original_file("a.jpg") == jpeg("CMYK")
    assert [type(image) for image in stored.read_group(0)] == [noisepress.UnreadJpeg]
