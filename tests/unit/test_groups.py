"""Schedules: the dynamic program against brute force and against equal groups."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from noisepress.codec.ardm import groups
from noisepress.codec.ardm.groups import GRID, dynamic, equal


def falling_curves(stages: int, seed: int, points: int = GRID) -> list[list[int]]:
    """Costs that fall as more is known, at another rate in each stage."""
    rng = np.random.default_rng(seed)
    at = np.arange(points) / points
    rates, levels = rng.uniform(0.5, 30, stages), rng.uniform(2**13, 2**17, stages)
    return [
        [round(level * (0.3 + 0.7 * np.exp(-rate * x))) for x in at]
        for rate, level in zip(rates, levels, strict=True)
    ]


def cost(curves: list[list[int]], ends: list[list[int]]) -> int:
    """Expected cost of all samples when groups end where `ends` says."""
    total = 0
    for curve, stage in zip(curves, ends, strict=True):
        starts = [0, *stage[:-1]]
        total += sum(curve[a] * (b - a) for a, b in zip(starts, stage, strict=True))
    return total


def assert_valid(ends: list[list[int]], stages: int, calls: int, grid: int = GRID) -> None:
    assert len(ends) == stages
    assert sum(map(len, ends)) == calls
    for stage in ends:
        assert stage[-1] == grid
        assert all(a < b for a, b in itertools.pairwise([0, *stage]))


@pytest.mark.parametrize("calls", [4, 5, 6, 7, 63, 64, 257, 1021, 1024])
def test_equal_spends_all_calls_in_like_groups(calls: int) -> None:
    ends = equal(4, calls)
    assert_valid(ends, 4, calls)
    for stage in ends:
        sizes = np.diff([0, *stage])
        assert sizes.max() - sizes.min() <= 1
    assert max(map(len, ends)) - min(map(len, ends)) <= 1


@pytest.mark.parametrize("calls", [4, 5, 16, 64, 200])
@pytest.mark.parametrize("seed", range(3))
def test_dynamic_is_valid_and_never_worse_than_equal(calls: int, seed: int) -> None:
    curves = falling_curves(4, seed)
    best = dynamic(curves, calls)
    assert_valid(best, 4, calls)
    if calls == 4:
        assert best == equal(4, 4)
    else:
        assert cost(curves, best) < cost(curves, equal(4, calls))


def test_dynamic_uses_every_call_up_to_the_grid() -> None:
    curves = falling_curves(2, 0)
    assert dynamic(curves, 2 * GRID) == equal(2, 2 * GRID)


def test_more_calls_never_cost_more() -> None:
    curves = falling_curves(3, 7)
    costs = [cost(curves, dynamic(curves, calls)) for calls in (3, 4, 6, 12, 24, 48)]
    assert costs == sorted(costs, reverse=True)


def test_a_flat_curve_makes_all_schedules_equal() -> None:
    curves = [[5] * GRID] * 2
    assert cost(curves, dynamic(curves, 10)) == cost(curves, equal(2, 10)) == 2 * 5 * GRID


@pytest.mark.parametrize("seed", range(4))
def test_dynamic_equals_brute_force(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    grid, stages = 6, 2
    monkeypatch.setattr(groups, "GRID", grid)
    curves = falling_curves(stages, seed, grid)
    inner = [
        [*combination, grid]
        for count in range(grid)
        for combination in itertools.combinations(range(1, grid), count)
    ]
    for calls in range(stages, stages * grid + 1):
        ways = [
            [first, second]
            for first in inner
            for second in inner
            if len(first) + len(second) == calls
        ]
        found = dynamic(curves, calls)
        assert_valid(found, stages, calls, grid)
        assert cost(curves, found) == min(cost(curves, way) for way in ways)
