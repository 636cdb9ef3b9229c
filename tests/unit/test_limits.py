"""Cost is bounded by the header that was checked; each limit can be set."""

from __future__ import annotations

import struct
from dataclasses import replace
from io import BytesIO
from typing import Any

import imagecodecs
import numpy as np
import pytest
from common import one_line, picture, saved, smooth
from PIL import Image, ImageFile, PngImagePlugin

import noisepress
from noisepress import CorruptError, LimitError, Limits, Mode, OptionError, Raster
from noisepress.bitstream.container import Section, SectionKind, read, write
from noisepress.codec.ardm import coding
from noisepress.codec.diffc import rate_control
from noisepress.codec.diffc.rate_control import FREE_STEPS, most_steps
from noisepress.codec.image.png import chunk
from noisepress.codec.image.read import open_image

IMAGE = picture(20, 30)


def files() -> dict[str, Any]:
    """An image of 20 by 30 pixels in every way in which one is given."""
    image = Image.fromarray(IMAGE)
    pam = b"P7\nWIDTH 30\nHEIGHT 20\nDEPTH 3\nMAXVAL 255\nTUPLTYPE RGB\nENDHDR\n" + IMAGE.tobytes()
    deep = b"P5 30 20 1023\n" + bytes(2 * 600)
    return {
        "array": IMAGE,
        "Pillow": image,
        "Raster": Raster(IMAGE, Mode.RGB8),
        "PNG": saved(image, "PNG"),
        "JPEG": saved(image, "JPEG"),
        "WebP": saved(image, "WEBP", lossless=True),
        "TIFF": saved(image, "TIFF"),
        "JPEG XL": bytes(imagecodecs.jpegxl_encode(IMAGE, lossless=True, numthreads=1)),
        "PAM": pam,
        "PNM": deep,
        "unread JPEG": saved(image.convert("CMYK"), "JPEG"),
    }


@pytest.mark.parametrize("name", files())
def test_pixels_of_what_is_encoded(name: str) -> None:
    image = files()[name]
    with pytest.raises(LimitError, match="30 x 20 pixels; the limit is 599") as error:
        noisepress.encode(image, limits=Limits(pixels=599))
    one_line(error)
    with pytest.raises(LimitError, match=r"a.png: .*the limit is 599"):
        noisepress.archive([("a.png", image)], limits=Limits(pixels=599))
    codec = None if "JPEG" in name and name != "JPEG XL" else "png"
    noisepress.encode(image, codec, limits=Limits(pixels=600))


def test_pixels_header_and_metadata_of_what_is_decoded() -> None:
    data = noisepress.encode(Raster(IMAGE, Mode.RGB8, icc=b"i" * 900, xmp=b"<x/>"), "png")
    for limits, message in (
        (Limits(pixels=599), "limit is 599"),
        (Limits(header=10), "limit is 10 bytes"),
        (Limits(metadata=899), "icc section has more than 899"),
    ):
        with pytest.raises(LimitError, match=message) as error:
            noisepress.decode(data, limits=limits)
        one_line(error)
    header = len(data)
    noisepress.decode(data, limits=Limits(600, header, 900))


def test_members_of_an_archive() -> None:
    data = noisepress.archive([(str(index), IMAGE) for index in range(3)], "png")
    assert len(noisepress.Archive(data, limits=Limits(members=3)).members) == 3
    with pytest.raises(LimitError, match="has 3 images; the limit is 2"):
        noisepress.Archive(data, limits=Limits(members=2))
    with pytest.raises(LimitError, match="limit is 599"):
        noisepress.Archive(data, limits=Limits(pixels=599)).read("0")


# Files that claim more than they hold --------------------------------------------------------


@pytest.mark.parametrize("size", [0, 90])
def test_a_small_diffc_file_has_few_steps(size: int, unet_model: str) -> None:
    """A step takes as long as the image is large: without bytes for them there are no more."""
    small = read(noisepress.encode(smooth(16, 16), "diffc", effort=6, model=unet_model))
    header = replace(small.header, width=128, height=128)
    most = most_steps(size, 128**2)
    assert most == FREE_STEPS + size // 8
    forged = write(header, [Section(SectionKind.DATA, bytes(size))])  # steps of the least rise
    with pytest.raises(CorruptError, match=f"more than {most} steps, too many for {size} bytes"):
        noisepress.decode(forged, model=unet_model)


@pytest.mark.parametrize("options", [{"quality": 70}, {"bytes": 4000}, {"psnr": 30.0}])
@pytest.mark.parametrize("steps", [10, 60, 1000])
def test_what_is_encoded_stays_below_the_limit(
    steps: int, options: dict[str, Any], unet_model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also with a limit that is far lower than the real one, in every beginning of the file."""
    monkeypatch.setattr(rate_control, "_WORK", 2**4)
    image = smooth(31, 48)
    data = noisepress.encode(image, "diffc", model=unet_model, effort=6, steps=steps, **options)
    assert noisepress.decode(data, model=unet_model).shape == image.shape
    for end in read(data).ends()[1:-1]:
        with pytest.warns(noisepress.TruncatedWarning):
            noisepress.decode(data[:end], model=unet_model)


def test_network_calls_in_random_order(masked_model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    options: dict[str, Any] = {"order": "random", "model": masked_model, "fallback": False}
    image = picture(9, 9)
    data = noisepress.encode(image, calls=80, **options)
    monkeypatch.setattr(coding, "_FREE_WORK", 0)
    monkeypatch.setattr(coding, "_WORK", 0)
    with pytest.raises(CorruptError, match="80 network calls, 64 are supported"):
        noisepress.decode(data, model=masked_model)
    with pytest.raises(OptionError, match="calls is 80, supported are 64"):
        noisepress.encode(image, calls=80, **options)
    noisepress.encode(image, calls=64, **options)


def test_an_index_that_claims_a_billion_images() -> None:
    whole = read(noisepress.archive([("a", IMAGE)], "png"))
    index = b"\2\xff\xff\xff\xff\2" + whole.sections[0].payload[2:]
    forged = write(whole.header, [Section(whole.sections[0].kind, index), *whole.sections[1:]])
    with pytest.raises((LimitError, CorruptError)):
        noisepress.Archive(forged)
    with pytest.raises(CorruptError, match="groups do not fit"):
        noisepress.Archive(forged, limits=Limits(members=2**30))


# Limits of the program that the library is used in --------------------------------------------


def test_pillows_limits_are_neither_changed_nor_obeyed(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    before = Image.Image.load

    def load(self: Image.Image) -> Any:
        seen.append((Image.MAX_IMAGE_PIXELS, PngImagePlugin.MAX_TEXT_CHUNK))
        return before(self)

    monkeypatch.setattr(Image.Image, "load", load)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    monkeypatch.setattr(PngImagePlugin, "MAX_TEXT_CHUNK", 10)
    png = saved(Image.fromarray(IMAGE), "PNG")
    text = chunk(b"tEXt", b"Comment\0" + b"a" * 999)
    for data in (png[:33] + text + png[33:], saved(Image.fromarray(IMAGE), "JPEG")):
        open_image(data)
    for codec in ("png", "webp"):
        noisepress.decode(noisepress.encode(IMAGE, codec, fallback=False))
    assert set(seen) == {(100, 10)}


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "GIF", "TIFF", "PPM", "JPEG2000"])
def test_cut_images_are_refused_whatever_pillow_is_told(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    image = Image.fromarray(IMAGE).quantize(200) if kind == "GIF" else Image.fromarray(IMAGE)
    data = saved(image, kind)
    assert open_image(data).samples.shape[:2] == (20, 30)
    with pytest.raises(noisepress.UnsupportedImageError):
        open_image(data[: len(data) * 2 // 3])
    assert ImageFile.LOAD_TRUNCATED_IMAGES is True


def test_a_damaged_png_is_refused_whatever_pillow_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    data = bytearray(saved(Image.fromarray(IMAGE), "PNG"))
    at = data.index(b"IDAT") + 60
    data[at : at + 4] = struct.pack(">I", ~int.from_bytes(data[at : at + 4]) & 0xFFFFFFFF)
    with pytest.raises(noisepress.UnsupportedImageError):
        open_image(bytes(data))
    with Image.open(BytesIO(bytes(data))) as opened:
        assert np.asarray(opened).shape == IMAGE.shape
