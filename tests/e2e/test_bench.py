"""`noisepress bench`, run as a user runs it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from noisepress.benchmarks.results import Results


def run(*args: object) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "noisepress", "bench", *map(str, args)]
    return subprocess.run(command, capture_output=True, timeout=300)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = tmp_path / "images"
    found.mkdir()
    y, x = np.mgrid[:70, :80]
    for index in (1, 2):
        pixels = np.stack([x * index, y * 3, x + y], 2).astype(np.uint8)
        Image.fromarray(pixels).save(found / f"{index}.png")
    return found


def test_bench(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    codecs = ("--codec", "jpeg:quality=20/80", "--codec", "png")
    done = run(folder, "-o", out, *codecs)
    assert done.returncode == 0, done.stderr.decode()
    text = done.stdout.decode()
    for label in ("png", "jpeg quality=20", "jpeg quality=80"):
        assert f"| {label} | 2 | " in text
    results = Results.read(out / "results.json")
    assert len(results.measurements) == 6
    assert set(results.frechet) == {"jpeg quality=20", "jpeg quality=80"}
    assert text.splitlines()[-1] == str(out / "report.html")
    assert (out / "report.html").exists()

    (folder / "3.png").write_bytes(b"no picture")
    done = run(folder, "-o", out, *codecs)
    assert done.returncode == 1
    errors = done.stderr.decode().splitlines()
    assert len(errors) == 3
    assert errors[0].startswith("noisepress: 3.png, jpeg quality=20: UnsupportedImageError")
    assert Results.read(out / "results.json").measurements[0] == results.measurements[0]


@pytest.mark.parametrize(
    ("args", "status", "message"),
    [
        (("--codec", "gif"), 1, "unknown codec 'gif'; supported are"),
        (("--codec", "jpeg:quality=x"), 1, "quality is 'x', supported are"),
        (("--lossless", "--lossy"), 2, "not allowed with"),
        (("--jobs", "0"), 2, "not at least 1"),
    ],
)
def test_wrong_usage(
    args: tuple[str, ...], status: int, message: str, folder: Path, tmp_path: Path
) -> None:
    done = run(folder, "-o", tmp_path / "out", *args)
    assert done.returncode == status
    assert message in done.stderr.decode()
    assert not (tmp_path / "out").exists()


def test_missing_images(tmp_path: Path) -> None:
    done = run(tmp_path, "-o", tmp_path / "out")
    assert done.returncode == 2
    assert "no files of" in done.stderr.decode()
