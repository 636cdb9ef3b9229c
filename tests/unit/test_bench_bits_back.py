"""Measurements of vdm's bits-back coding."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from noisepress.benchmarks import bits_back
from noisepress.benchmarks.bits_back import Loan, Point, crops_of, loan, measure

CROPS = 14


def photo(height: int, width: int) -> NDArray[np.uint8]:
    """Soft shades with grain."""
    rng = np.random.default_rng(0)
    row, column = np.mgrid[:height, :width][..., None]
    shade = 120 + 50 * np.sin(row / 30 + np.arange(3) / 2) + 20 * np.cos(column / 17)
    noisy: NDArray[np.float64] = (shade + rng.normal(0, 5, shade.shape)).clip(0, 255)
    return noisy.astype(np.uint8)


def test_files_are_about_the_bound() -> None:
    crops = crops_of({"a": photo(130, 260), "b": photo(390, 64)}, CROPS)
    assert len(crops) == CROPS
    assert {name[0] for name, _ in crops} == {"a", "b"}
    assert all(image.shape == (64, 64, 3) for _, image in crops)
    point = measure("crops", crops, "vdm", 2)
    assert (point.what, point.codec, point.steps) == ("crops", "vdm", 2)
    assert point.samples == CROPS * 64 * 64 * 3
    assert 1 < point.bits / point.bound < 1.05  # headers of small files


@pytest.mark.parametrize("codec", ["ardm", "jpegxl-lossless"])
def test_peers_code_the_same_images(codec: str) -> None:
    crops = crops_of({"a": photo(64, 128)}, CROPS)
    point = measure("crops", crops, codec, 0)
    assert (point.steps, point.bound, point.samples) == (0, 0, 2 * 64 * 64 * 3)
    assert 2 < point.bits / point.samples < 8


def test_one_order_lends_two_values_the_other_all() -> None:
    few, many = (loan(photo(64, 64), steps) for steps in (2, 6))
    assert 5 < few.bit_swap < 13 and 5 < many.bit_swap < 13
    assert few.top_down == pytest.approx(3 * 4.7, rel=0.2)
    assert many.top_down == pytest.approx(7 * 4.7, rel=0.2)


def test_points_come_back_from_the_file(tmp_path: Path) -> None:
    points = [Point("crops", "vdm", 10, 100, 333, 320.5), Point("x", "ardm", 0, 7, 8, 0.0)]
    loans = [Loan(10, 9.5, 50.25)]
    bits_back.write(points, loans, tmp_path / "points.json")
    assert bits_back.read_points(tmp_path / "points.json") == (points, loans)
