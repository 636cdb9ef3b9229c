"""Measurements of diffc's parts."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from noisepress.benchmarks import chains
from noisepress.benchmarks.chains import Point, Variant, flat, measure, middle, summaries
from noisepress.codec.diffc.chain import Errors
from noisepress.codec.diffc.coding import denoiser
from noisepress.models.registry import find

PICTURE = np.random.default_rng(0).integers(100, 140, (24, 40, 3)).astype(np.uint8)


def points(variant: Variant, factor: float, divergence: float) -> list[Point]:
    """Two images whose rate is factor 2^(dB / 6) / 64."""
    return [
        Point(name, variant, quality, 1000, bits, divergence * bits, psnr)
        for quality, psnr in ((20.0, 26.0), (40.0, 32.0), (60.0, 37.0))
        for name in ("a", "b")
        for bits in [1000 * factor * 2 ** (psnr / 6) / 64]
    ]


def test_summaries_interpolate_rates_and_add_up_bits() -> None:
    variants = Variant("trellis12"), Variant("ideal", 12, False)
    first, second = summaries([*points(variants[0], 1, 0.8), *points(variants[1], 0.5, 1)])
    assert (first.variant, second.variant) == variants
    assert first.overhead == pytest.approx(0.25)
    assert second.overhead == pytest.approx(0)
    expected = [2 ** (level / 6) / 64 for level in chains.LEVELS]
    assert first.rates == pytest.approx(expected)
    assert second.rates == pytest.approx([rate / 2 for rate in expected])


@pytest.mark.parametrize("coder", ["ideal", "trellis8"])
def test_measured_files(coder: str) -> None:
    small, large = (measure(PICTURE, "x", Variant(coder, 10), quality) for quality in (40, 60))
    assert (small.image, small.variant, small.pixels) == ("x", Variant(coder, 10), 24 * 40)
    assert small.psnr < large.psnr
    for point in (small, large):
        assert point.bits == point.divergence if coder == "ideal" else point.bits % 8 == 0
    growth = (large.bits - small.bits) / (large.divergence - small.divergence)
    assert growth == 1 if coder == "ideal" else 0.9 < growth < 1.6


def test_flat_errors_have_the_same_mean() -> None:
    _, errors = denoiser(find("diffc-photo"), "cpu")
    even = flat(errors)
    assert isinstance(even, Errors) and even.first == errors.first
    for level in (None, -100, 0, 77):
        values = even.at(level)
        assert len(set(values.tolist())) == 1
        mean = math.log2(np.exp2(errors.at(level) / 32).mean()) * 32
        assert abs(values[0] - mean) <= 4


def test_points_come_back_from_the_file(tmp_path: Path) -> None:
    measured = points(Variant("pfr", 36), 2, 0.9)
    chains.write(measured, tmp_path / "points.json")
    assert chains.read(tmp_path / "points.json") == measured


@pytest.mark.parametrize(("shape", "kept"), [((300, 400), (256, 256)), ((300, 100), (256, 100))])
def test_middle(shape: tuple[int, int], kept: tuple[int, int]) -> None:
    image = np.indices((*shape, 3)).sum(0).astype(np.uint8)
    found = middle(image, 256)
    assert found.shape == (*kept, 3)
    top, left = ((whole - part) // 2 for whole, part in zip(shape, kept, strict=True))
    np.testing.assert_array_equal(found, image[top : top + kept[0], left : left + kept[1]])
