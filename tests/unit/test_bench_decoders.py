"""Measurements of hfd's score decoders."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from noisepress.benchmarks import decoders
from noisepress.benchmarks.decoders import BUNDLED, CALLS, Point, measure, ways
from noisepress.bitstream.errors import ModelError
from noisepress.models.registry import find, load
from noisepress.models.storage import write_network

ROW, COLUMN = np.mgrid[:128, :128][..., None]
SHADES = (120 + 60 * np.sin(ROW / 9 + COLUMN / 7 + np.arange(3))).astype(np.uint8)
IMAGES = {"a": SHADES, "b": SHADES[::-1].copy()}


def test_the_first_stage_is_measured_once_and_every_decoder_at_all_calls() -> None:
    assert ways([BUNDLED]) == [("", 0), *((BUNDLED, calls) for calls in CALLS)]


def test_a_decoder_made_for_few_calls_is_measured_at_its_own(tmp_path: Path) -> None:
    path = str(tmp_path / "few.safetensors")
    network = load(find(BUNDLED))
    tables = {"levels": [-46, 58, 162]}
    write_network(network, Path(path), name="few", number=1100, tables=tables, facts={})
    assert ways([path])[1:] == [(path, 3)]
    point = measure(IMAGES, path, 3)
    assert (point.decoder, point.calls) == ("few", 3) and point.frechet > 0


def test_pictures_cost_the_same_however_they_are_drawn() -> None:
    first, few, more = (measure(IMAGES, *way) for way in (("", 0), (BUNDLED, 1), (BUNDLED, 3)))
    assert (first.decoder, first.calls, few.decoder, few.calls) == ("", 0, BUNDLED, 1)
    assert first.images == 2
    assert first.bpp == few.bpp == more.bpp > 0
    assert len({first.psnr, few.psnr, more.psnr}) == 3
    assert all(point.frechet > 0 for point in (first, few, more))


def test_decoders_of_files_are_named_by_the_file(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot read"):
        measure(IMAGES, str(tmp_path / "mine.safetensors"), 1)


def test_points_come_back_from_the_file(tmp_path: Path) -> None:
    points = [Point(3, "", 0, 0.25, 30.5, 400.0), Point(3, "x", 4, 0.25, 29.5, 300.0)]
    decoders.write(points, tmp_path / "points.json")
    assert decoders.read(tmp_path / "points.json") == points
