"""Measuring one image with one codec."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from noisepress.benchmarks import measure as module
from noisepress.benchmarks.codecs import CODECS, Codec, Pixels
from noisepress.benchmarks.measure import measure, peak_in
from noisepress.benchmarks.results import Setting, Value


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "scene.png"
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 60, (20, 24, 3), np.uint8)).save(path)
    return path


def encode_raw(pixels: Pixels, options: Mapping[str, Value]) -> bytes:
    return bytes(pixels.shape[:2]) + pixels.tobytes()


def decode_raw(data: bytes) -> Pixels:
    return np.frombuffer(data[2:], np.uint8).reshape(data[0], data[1], 3)


def decode_wrongly(data: bytes) -> Pixels:
    return decode_raw(data) ^ np.uint8(1)


def decode_turned(data: bytes) -> Pixels:
    return decode_raw(data).transpose(1, 0, 2)


def encode_not(pixels: Pixels, options: Mapping[str, Value]) -> bytes:
    raise KeyError("two\nlines")


def add(monkeypatch: pytest.MonkeyPatch, codec: Codec) -> Setting:
    monkeypatch.setitem(CODECS, codec.name, codec)
    return Setting(codec.name)


def test_lossless(image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    setting = add(monkeypatch, Codec("raw", True, encode_raw, decode_raw))
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
    names = sorted(path.name for path in (pictures / "scene").iterdir())
    assert names == ["original.png", "raw.nzp"]
    assert (pictures / "scene" / "raw.nzp").read_bytes() == data


def test_lossy(image: Path, tmp_path: Path) -> None:
    setting = Setting("jpeg", {"quality": 30})
    found = measure(image, setting, tmp_path)
    assert not found.lossless
    assert set(found.quality) == {"psnr", "ssimulacra2"}
    folder = tmp_path / "scene"
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
    assert np.array_equal(np.asarray(Image.open(tmp_path / "scene" / "original.png")), changed)


def test_other_modes_become_rgb(tmp_path: Path) -> None:
    path = tmp_path / "grey.tif"
    Image.new("LA", (9, 8), (50, 0)).save(path)
    found = measure(path, Setting("png"), tmp_path)
    assert found.error == ""
    assert np.asarray(Image.open(tmp_path / "grey" / "original.png")).shape == (8, 9, 3)


@pytest.mark.parametrize(
    ("codec", "text"),
    [
        (
            Codec("a", True, encode_raw, decode_wrongly),
            "ValueError: the decoded pixels differ",
        ),
        (Codec("b", True, encode_raw, decode_turned), "(24, 20, 3), not uint8 (20, 24, 3)"),
        (Codec("c", False, encode_not, decode_raw), r"KeyError: 'two\nlines'"),
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
    assert "UnidentifiedImageError" in measure(broken, Setting("png"), tmp_path).error
    assert "unknown codec 'gif'" in measure(broken, Setting("gif"), tmp_path).error


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can reset the peak")
def test_peak_memory_is_of_this_coding(
    image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def encode_large(pixels: Pixels, options: Mapping[str, Value]) -> bytes:
        return encode_raw(pixels, options) if np.ones(2**23).all() else b""  # 64 MiB and more

    small = add(monkeypatch, Codec("small", True, encode_raw, decode_raw))
    large = add(monkeypatch, Codec("large", True, encode_large, decode_raw))
    peaks = [measure(image, setting, tmp_path).peak_mib for setting in (small, large, small)]
    if None in peaks:
        pytest.skip("the system does not let processes reset their peak")
    before, peak, after = (float(p or 0) for p in peaks)
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
