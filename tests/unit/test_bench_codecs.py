"""The codecs that benchmarks measure, and the texts that name their settings."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

import noisepress
from noisepress import Mode, Raster
from noisepress.benchmarks.codecs import (
    CODECS,
    LOSSLESS,
    LOSSY,
    SettingError,
    parse,
    parse_all,
)
from noisepress.benchmarks.images import Pixels, rgba
from noisepress.benchmarks.results import Setting

PEERS = [name for name, codec in CODECS.items() if not codec.ours]


def picture(height: int = 48, width: int = 70) -> Pixels:
    y, x = np.mgrid[:height, :width]
    noise = np.random.default_rng(0).integers(0, 9, (height, width, 3))
    pixels: Pixels = (np.stack([y * 3, x * 3, y + x], 2) + noise).astype(np.uint8)
    return pixels


def encoded(text: str, pixels: Pixels) -> bytes:
    (setting,) = parse(text)
    codec = CODECS[setting.codec]
    given = Raster(pixels, Mode.RGB8) if codec.lossless else pixels
    return codec.encode(given, codec.complete(setting.options))


@pytest.mark.parametrize("name", PEERS)
@pytest.mark.parametrize("shape", [(48, 70), (1, 1), (5, 3)])
def test_peers(name: str, shape: tuple[int, int]) -> None:
    if name in ("oxipng", "heic"):
        pytest.importorskip("oxipng" if name == "oxipng" else "pillow_heif")
    pixels, codec = picture(*shape), CODECS[name]
    data = encoded(name, pixels)
    decoded = codec.decode(data)
    assert not isinstance(decoded, bytes)
    assert decoded.dtype == np.uint8
    if codec.lossless:
        assert np.array_equal(rgba(decoded), rgba(pixels))
    else:
        assert decoded.shape == pixels.shape
    assert encoded(name, pixels) == data


def test_ours() -> None:
    pixels = picture(16, 20)
    for text in ("ardm", "ardm-alone", "ardm-alone:order=random,calls=4"):
        data = encoded(text, pixels)
        assert np.array_equal(CODECS["ardm"].decode(data), pixels)
    assert noisepress.inspect(data).parameters["order"] == "random"
    text = "diffc:quality={},steps=10,effort=6"
    lossy = [encoded(text.format(quality), pixels) for quality in (20, 60)]
    assert len(lossy[0]) < len(lossy[1])
    mmse, flow = (CODECS[name].decode(lossy[0]) for name in ("diffc", "diffc-flow"))
    assert mmse.shape == pixels.shape and not np.array_equal(mmse, flow)
    tiled = np.tile(picture(8, 8), (6, 6, 1))
    assert len(encoded("ardm", tiled)) < len(encoded("ardm-alone", tiled))


@pytest.mark.parametrize("text", ["jpeg", "webp", "avif", "jpeg2000", "jpegxl"])
def test_lossy_options_change_the_size(text: str) -> None:
    option, low, high = {
        "jpeg2000": ("ratio", 60, 8),
        "jpegxl": ("distance", 9, 1),
    }.get(text, ("quality", 10, 90))
    sizes = [len(encoded(f"{text}:{option}={v}", picture(128, 128))) for v in (low, high)]
    assert sizes[0] < sizes[1]


def test_jpeg_is_baseline_with_halved_chroma() -> None:
    with Image.open(BytesIO(encoded("jpeg", picture()))) as opened:
        assert "progressive" not in opened.info
        assert [part[1:3] for part in opened.layer] == [(2, 2), (1, 1), (1, 1)]  # type: ignore[attr-defined]


def test_jpeg2000_has_a_colour_transform() -> None:
    grey = np.repeat(picture(128, 128)[:, :, :1], 3, 2)
    data = encoded("jpeg2000:ratio=20", grey)
    error = CODECS["jpeg2000"].decode(data).astype(float) - grey
    assert np.sqrt((error**2).mean()) < 3


def test_parse() -> None:
    assert parse("jpeg") == [Setting("jpeg")]
    assert [s.label for s in parse("jpeg:quality=10/30/50")] == [
        "jpeg quality=10",
        "jpeg quality=30",
        "jpeg quality=50",
    ]
    assert [s.options for s in parse("avif:quality=20/40,speed=6/8")] == [
        {"quality": 20, "speed": 6},
        {"quality": 20, "speed": 8},
        {"quality": 40, "speed": 6},
        {"quality": 40, "speed": 8},
    ]
    (setting,) = parse("jpegxl:distance=2")
    assert (setting.label, setting.slug) == ("jpegxl distance=2.0", "jpegxl-distance=2.0")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gif", "unknown codec 'gif'; supported are ardm, ardm-alone, vdm, png"),
        ("", "unknown codec ''"),
        ("jpeg:q=3", "unknown option 'q' of jpeg; supported are quality"),
        ("png:level=3", "supported are none"),
        ("ardm:model=a", "unknown option 'model' of ardm; supported are order, block, effort"),
        ("jpeg:quality=101", "quality is 101, supported are whole numbers from 0 to 100"),
        ("jpeg:quality=1.5", "quality is '1.5', supported are whole"),
        ("jpeg:quality=", "quality is '', supported are"),
        ("jpeg:quality", "quality is '', supported are"),
        ("jpeg:quality=3/", "quality is '', supported are"),
        ("jpegxl:distance=nan", "distance is nan, supported are numbers from 0.01 to 25"),
        ("ardm:order=up", "order is 'up', supported are lattice, random"),
        ("diffc:bpp=1,psnr=30", "diffc:bpp=1,psnr=30: bpp, bytes and psnr exclude each other"),
        ("jpeg:quality=1,quality=2", "quality is given twice"),
        ("jpeg:quality=1,", "unknown option ''"),
    ],
)
def test_wrong_texts(text: str, message: str) -> None:
    with pytest.raises(SettingError) as info:
        parse(text)
    assert message in str(info.value)
    assert "\n" not in str(info.value)


def test_default_settings() -> None:
    lossless, lossy = parse_all(LOSSLESS), parse_all(LOSSY)
    assert all(CODECS[s.codec].lossless for s in lossless)
    assert not any(CODECS[s.codec].lossless for s in lossy)
    assert {s.codec for s in lossless + lossy} == set(CODECS) - {"diffc-ancestral", "vdm"}
    assert len({s.slug for s in lossless + lossy}) == len(lossless + lossy)
    assert parse_all(["jpeg", "png", "jpeg"]) == [Setting("jpeg"), Setting("png")]
