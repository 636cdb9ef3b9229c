"""Measuring one image with one codec."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

import noisepress
from noisepress import Raster
from noisepress.benchmarks import measure as module
from noisepress.benchmarks.codecs import CODECS, Codec
from noisepress.benchmarks.images import Original, Pixels
from noisepress.benchmarks.measure import measure, peak_in
from noisepress.benchmarks.results import Setting, Value


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "images" / "scene.png"
    path.parent.mkdir()
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 60, (20, 24, 3), np.uint8)).save(path)
    return path


def encode_raw(raster: Raster, options: Mapping[str, Value]) -> bytes:
    return encode_pixels(raster.samples, options)


def encode_pixels(pixels: Pixels, options: Mapping[str, Value]) -> bytes:
    return bytes(pixels.shape[:2]) + pixels.tobytes()


def decode_raw(data: bytes) -> Pixels:
    return np.frombuffer(data[2:], np.uint8).reshape(data[0], data[1], 3)


def decode_wrongly(data: bytes) -> Pixels:
    return decode_raw(data) ^ np.uint8(1)


def decode_turned(data: bytes) -> Pixels:
    return decode_raw(data).transpose(1, 0, 2)


def encode_not(raster: Raster, options: Mapping[str, Value]) -> bytes:
    raise KeyError("two\nlines")


def add(monkeypatch: pytest.MonkeyPatch, codec: Codec) -> Setting:
    monkeypatch.setitem(CODECS, codec.name, codec)
    return Setting(codec.name)


def test_images_are_measured_without_metadata(tmp_path: Path) -> None:
    """Also without a warning about chunks that are not kept anyway."""
    info = PngInfo()
    info.add_text("Comment", "what peers do not keep")
    info.add(b"bKGD", bytes(6))
    picture = Image.fromarray(np.zeros((5, 6, 3), np.uint8))
    picture.save(tmp_path / "a.png", pnginfo=info, icc_profile=b"profile", exif=b"Exif")
    raster = Original.open(tmp_path / "a.png").raster
    assert raster == Raster(np.zeros((5, 6, 3), np.uint8), noisepress.Mode.RGB8)


def test_lossless(image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    setting = add(monkeypatch, Codec("raw", True, encode_raw, decode_raw, library="1"))
    pictures = tmp_path / "pictures"
    found = measure(image, setting, pictures)
    assert found.error == ""
    data = bytes([20, 24]) + np.asarray(Image.open(image)).tobytes()
    assert (found.image, found.setting) == ("scene.png", setting)
    assert (found.width, found.height, found.size) == (24, 20, len(data))
    assert found.bits_per_pixel == 8 * len(data) / 480
    assert found.bits_per_subpixel == 8 * len(data) / 480 / 3
    assert found.digest == hashlib.sha256(data).hexdigest()
    assert found.lossless
    assert found.quality == {}
    assert min(found.encode_s, found.decode_s) > 0
    assert (found.kind, found.channels, found.coder) == ("8-bit colour", 3, "")
    names = [path.name for path in (pictures / "scene.png").iterdir()]
    assert names == ["original.png"]


def test_ours_are_kept(image: Path, tmp_path: Path) -> None:
    found = measure(image, Setting("ardm"), tmp_path)
    assert found.error == ""
    file = (tmp_path / "scene.png" / "ardm.nzp").read_bytes()
    assert found.size == len(file)
    assert found.coder == noisepress.inspect(file).codec != ""


def test_lossy(image: Path, tmp_path: Path) -> None:
    setting = Setting("jpeg", {"quality": 30})
    found = measure(image, setting, tmp_path)
    assert not found.lossless
    assert set(found.quality) == {"psnr", "ssimulacra2"}
    folder = tmp_path / "scene.png"
    assert sorted(path.name for path in folder.iterdir()) == ["jpeg-quality=30.png", "original.png"]
    original, decoded = (np.asarray(Image.open(p)) for p in sorted(folder.iterdir(), reverse=True))
    assert np.array_equal(original, np.asarray(Image.open(image)))
    assert not np.array_equal(decoded, original)
    assert measure(image, setting, tmp_path).digest == found.digest


def test_a_changed_original_is_written_again(image: Path, tmp_path: Path) -> None:
    measure(image, Setting("png"), tmp_path)
    changed = np.full((5, 6, 3), 9, np.uint8)
    Image.fromarray(changed).save(image)
    measure(image, Setting("png"), tmp_path)
    assert np.array_equal(np.asarray(Image.open(tmp_path / "scene.png" / "original.png")), changed)


def test_other_modes_become_rgb(tmp_path: Path) -> None:
    path = tmp_path / "grey.tif"
    Image.new("LA", (9, 8), (50, 0)).save(path)
    found = measure(path, Setting("png"), tmp_path / "out")
    assert found.error == ""
    assert np.asarray(Image.open(tmp_path / "out" / "grey.tif" / "original.png")).shape == (8, 9, 3)


def kinds() -> dict[str, Image.Image]:
    """A picture of every kind but JPEG files."""
    steps = np.arange(40 * 30).reshape(30, 40)
    grey = Image.fromarray((steps // 5).astype(np.uint8))
    return {
        "8-bit colour": grey.convert("RGB"),
        "8-bit grey": grey,
        "opacity": grey.convert("LA"),
        "palette": grey.quantize(20),
        "two-level": grey.convert("1"),
        "16 bits": Image.fromarray((steps * 40).astype(np.uint16)),
    }


@pytest.mark.parametrize("setting", ["png", "jpegxl-lossless", "webp-lossless", "ardm"])
@pytest.mark.parametrize("kind", kinds())
def test_every_kind_of_image(kind: str, setting: str, tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    kinds()[kind].save(path)
    found = measure(path, Setting(setting), tmp_path / "out")
    if (setting, kind) == ("webp-lossless", "16 bits"):
        assert found.error == "UnsupportedImageError: L16 is not supported, 8-bit layouts are"
        return
    assert found.error == ""
    assert (found.kind, found.lossless) == (kind, True)
    assert (found.width, found.height) == (40, 30)
    with Image.open(tmp_path / "out" / "image.png" / "original.png") as original:
        assert original.mode == "RGB"


def test_jpeg_files_are_kept_by_those_who_can(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    scene = Image.effect_mandelbrot((128, 96), (-2, -1.5, 1, 1.5), 50)
    scene.convert("RGB").save(path, quality=80)
    size = path.stat().st_size
    ours, peer, pixels = (
        measure(path, Setting(name), tmp_path / "out")
        for name in ("ardm", "jpegxl-lossless", "png")
    )
    assert {one.kind for one in (ours, peer, pixels)} == {"JPEG files"}
    assert ours.coder == "jpegfile"
    assert max(ours.size, peer.size) < size < pixels.size


def test_a_jpeg_file_whose_picture_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "cmyk.jpg"
    Image.new("CMYK", (20, 10)).save(path)
    found = measure(path, Setting("ardm"), tmp_path / "out")
    assert (found.error, found.coder) == ("", "jpegfile")
    assert (found.width, found.height) == (20, 10)
    assert "is not read" in measure(path, Setting("png"), tmp_path / "out").error


@pytest.mark.parametrize(
    ("codec", "text"),
    [
        (
            Codec("a", True, encode_raw, decode_wrongly),
            "ValueError: the decoded image differs",
        ),
        (Codec("b", False, encode_pixels, decode_turned), "(24, 20, 3), not uint8 (20, 24, 3)"),
        (Codec("c", True, encode_not, decode_raw), r"KeyError: 'two\nlines'"),
    ],
)
def test_failures_are_results(
    codec: Codec, text: str, image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = measure(image, add(monkeypatch, codec), tmp_path)
    assert text in found.error
    assert "\n" not in found.error
    assert (found.size, found.digest) == (0, "")


def test_failing_inputs_are_results(tmp_path: Path) -> None:
    assert "FileNotFoundError" in measure(tmp_path / "none.png", Setting("png"), tmp_path).error
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    assert "UnsupportedImageError" in measure(broken, Setting("png"), tmp_path).error
    assert "unknown codec 'gif'" in measure(broken, Setting("gif"), tmp_path).error


def encode_large(raster: Raster, options: Mapping[str, Value]) -> bytes:
    return encode_raw(raster, options) if np.ones(2**23).all() else b""  # 64 MiB and more


def peaks(image: Path, pictures: Path) -> list[float | None]:
    """Peak memory of a small, a large and a small coding, one after the other."""
    for name, encode in (("small", encode_raw), ("large", encode_large)):
        CODECS[name] = Codec(name, True, encode, decode_raw, library="1")
    names = ("small", "large", "small")
    return [measure(image, Setting(name), pictures).peak_mib for name in names]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can reset the peak")
def test_peak_memory_is_of_this_coding(image: Path, tmp_path: Path) -> None:
    """In a process of its own, as benchmarks measure: this one may hold memory to use again."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        found = pool.submit(peaks, image, tmp_path).result()
    if None in found:
        pytest.skip("the system does not let processes reset their peak")
    before, peak, after = (float(p or 0) for p in found)
    assert peak > before + 60
    assert after < peak - 50


def test_peak_in_a_status() -> None:
    assert peak_in("VmPeak:\t  9 kB\nVmHWM:\t  2048 kB\nVmRSS:\t 1 kB\n") == 2.0
    assert peak_in("VmPeak:\t  9 kB\n") is None


def test_no_peak_where_it_cannot_be_reset(
    image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_CLEAR", tmp_path / "none" / "clear_refs")
    found = measure(image, Setting("png"), tmp_path)
    assert found.error == ""
    assert found.peak_mib is None
