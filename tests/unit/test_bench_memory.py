"""The large image of the memory measurement."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from noisepress.benchmarks.studies.memory import mosaic, peak_of


def test_mosaic_mirrors_the_photograph(tmp_path: Path) -> None:
    photo = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    Image.fromarray(photo).save(tmp_path / "photo.png")
    whole = np.asarray(mosaic(tmp_path / "photo.png", 400e-6))
    assert whole.shape == (20, 20, 3)
    assert np.array_equal(whole[:5, :7], photo)
    assert np.array_equal(whole[5:10, 7:14], photo[::-1, ::-1])
    small = np.asarray(mosaic(tmp_path / "photo.png", 9e-6))
    assert np.array_equal(small, photo[:3, :3])


def test_peak_is_that_of_a_process_of_its_own(tmp_path: Path) -> None:
    """Encoding loads torch, which alone takes more than 100 MiB; the tests' process has it too."""
    source = tmp_path / "photo.png"
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(source)
    light, short = peak_of("--version")
    heavy, long = peak_of("encode", str(source), str(tmp_path / "photo.nzp"))
    assert 5 < light < heavy - 100
    assert 0 < short < long
    with pytest.raises(RuntimeError, match="failed"):
        peak_of("info", "/nowhere.nzp")
