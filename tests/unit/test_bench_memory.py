"""The large image of the memory measurement."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from noisepress.benchmarks.memory import mosaic, peak_of


def test_mosaic_mirrors_the_photograph(tmp_path: Path) -> None:
    photo = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    Image.fromarray(photo).save(tmp_path / "photo.png")
    whole = np.asarray(mosaic(tmp_path / "photo.png", 400e-6))
    assert whole.shape == (20, 20, 3)
    assert np.array_equal(whole[:5, :7], photo)
    assert np.array_equal(whole[5:10, 7:14], photo[::-1, ::-1])
    small = np.asarray(mosaic(tmp_path / "photo.png", 9e-6))
    assert np.array_equal(small, photo[:3, :3])


def test_peak_is_that_of_a_process_of_its_own() -> None:
    peak, seconds = peak_of("--version")
    assert 5 < peak < 500
    assert seconds > 0
    with pytest.raises(RuntimeError, match="failed"):
        peak_of("info", "/nowhere.nzp")
