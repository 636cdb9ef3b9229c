"""Whole runs: resuming, failures, dying processes."""

from __future__ import annotations

import importlib
import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from noisepress.benchmarks.bench import run
from noisepress.benchmarks.codecs import CODECS, Codec
from noisepress.benchmarks.errors import BenchError
from noisepress.benchmarks.results import Results, Setting

FAKE = '''
"""A codec for processes of their own: it notes every call, and obeys the first pixel."""
import os
from pathlib import Path

import numpy as np

LOG = Path(__file__).with_suffix(".log")


def encode(image, options):
    pixels = getattr(image, "samples", image)  # of a raster, for lossless codecs
    if pixels.shape != (64, 64, 3):  # else it is the warm-up
        with LOG.open("a") as log:
            log.write(f"{pixels[0, 0, 0]}\\n")
        if pixels[0, 0, 0] == 13:
            raise RuntimeError("unlucky")
        if pixels[0, 0, 0] == 66:
            os._exit(1)
    return bytes(pixels.shape[:2]) + pixels.tobytes()


def decode(data):
    return np.frombuffer(data[2:], np.uint8).reshape(data[0], data[1], 3)


def decode_lossy(data):
    return decode(data) // 16 * 16
'''


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file in which two further codecs, `fake` and `fake-lossy`, note their calls."""
    (tmp_path / "fake_codec.py").write_text(FAKE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "fake_codec", raising=False)
    fake = importlib.import_module("fake_codec")
    codec = Codec("fake", True, fake.encode, fake.decode, library="1")
    monkeypatch.setitem(CODECS, "fake", codec)
    lossy = replace(codec, name="fake-lossy", lossless=False, decode=fake.decode_lossy)
    monkeypatch.setitem(CODECS, "fake-lossy", lossy)
    return tmp_path / "fake_codec.log"


def images(folder: Path, *firsts: int) -> list[Path]:
    """Pictures of 70 x 66 with the given first pixels."""
    paths = []
    for first in firsts:
        pixels = np.random.default_rng(first).integers(0, 255, (66, 70, 3), np.uint8)
        pixels[0, 0] = first
        paths.append(folder / f"image{first}.png")
        Image.fromarray(pixels).save(paths[-1])
    return paths


def calls(log: Path) -> list[str]:
    """The images that were encoded since this was last called."""
    found = log.read_text().split() if log.exists() else []
    log.unlink(missing_ok=True)
    return sorted(found)


def test_a_run_resumes(tmp_path: Path, log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths, out = images(tmp_path, 1, 2), tmp_path / "out"
    settings = [Setting("fake"), Setting("png")]
    first = run(paths[:1], settings, out, 1)
    assert calls(log) == ["1"]
    both = run(paths, settings, out, 2)
    assert calls(log) == ["2"]
    assert both.measurements[0] == first.measurements[0]
    assert [(m.setting.label, m.image) for m in both.measurements] == [
        ("fake", "image1.png"),
        ("fake", "image2.png"),
        ("png", "image1.png"),
        ("png", "image2.png"),
    ]
    assert both.failed() == []
    assert run(paths, settings, out, 1).measurements == both.measurements
    assert calls(log) == []
    assert Results.read(out / "results.json").measurements == both.measurements

    images(tmp_path, 2)[0].write_bytes(paths[0].read_bytes())
    other = run(paths, settings, out, 1)
    assert calls(log) == ["1"]
    assert other.measurements[1].digest == other.measurements[0].digest

    monkeypatch.setitem(CODECS, "fake", replace(CODECS["fake"], library="2"))
    run(paths, settings, out, 1)
    assert calls(log) == ["1", "1"]


def test_lossy_runs(tmp_path: Path, log: Path) -> None:
    paths, out = images(tmp_path, 1, 2), tmp_path / "out"
    settings = [Setting("fake-lossy"), Setting("jpeg", {"quality": 50}), Setting("ardm")]
    results = run(paths, settings, out, 1)
    assert calls(log) == ["1", "2"]
    assert results.failed() == []
    assert list(results.frechet) == ["fake-lossy", "jpeg quality=50"]
    kept = sorted(path.name for path in (out / "pictures" / "image1.png").iterdir())
    assert kept == ["ardm.nzp", "fake-lossy.png", "jpeg-quality=50.png", "original.png"]
    again = run(paths, settings, out, 1)
    assert calls(log) == []
    assert (again.measurements, again.frechet) == (results.measurements, results.frechet)

    shutil.rmtree(out / "cache" / "images" / "image1.png")
    (out / "pictures" / "image2.png" / "fake-lossy.png").unlink()
    third = run(paths, settings, out, 1)
    assert calls(log) == ["1", "2"]
    for found, expected in zip(results.measurements, third.measurements, strict=True):
        assert (found.digest, found.quality) == (expected.digest, expected.quality)
    assert third.frechet == results.frechet


def test_failures_do_not_stop_a_run(tmp_path: Path, log: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    paths = [*images(tmp_path, 66, 1, 13, 2), broken, tmp_path / "none.png"]
    results = run(paths, [Setting("fake"), Setting("png")], tmp_path / "out", 2)
    errors = {(m.setting.codec, m.image): m.error for m in results.failed()}
    assert errors.pop(("fake", "image66.png")) == "the process died"
    assert errors.pop(("fake", "image13.png")) == "RuntimeError: unlucky"
    for codec in ("fake", "png"):
        assert "UnsupportedImageError" in errors.pop((codec, "broken.png"))
        assert "FileNotFoundError" in errors.pop((codec, "none.png"))
    assert errors == {}
    assert len(results.of(Setting("fake"))) == 2
    assert len(results.of(Setting("png"))) == 4
    assert Results.read(tmp_path / "out" / "results.json") == results


def test_a_run_that_was_cut_short(tmp_path: Path, log: Path) -> None:
    paths, out = images(tmp_path, 1), tmp_path / "out"
    run(paths, [Setting("fake")], out, 1)
    calls(log)
    (cached,) = (out / "cache").rglob("*.json")
    assert json.loads(cached.read_text())["key"]["version"] == "1"
    cached.write_text(cached.read_text()[:50])
    assert run(paths, [Setting("fake")], out, 1).failed() == []
    assert calls(log) == ["1"]


def test_runs_that_cannot_start(tmp_path: Path) -> None:
    png = [Setting("png")]
    with pytest.raises(BenchError, match="different names"):
        run([tmp_path / "a.png", tmp_path / "b" / "a.png"], png, tmp_path, 1)
    with pytest.raises(BenchError, match="no images"):
        run([], png, tmp_path, 1)
    (tmp_path / "file").touch()
    with pytest.raises(BenchError, match="file"):
        run([tmp_path / "a.png"], png, tmp_path / "file", 1)
