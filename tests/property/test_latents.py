"""Latents: every place is coded once, from what is known, as the number that is worth most."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from noisepress.models.latents import FURTHEST, PASSES, WEIGHTS, Pass, chosen

QUICK = settings(max_examples=40, deadline=None)
SIDES = st.integers(1, 4).map(lambda count: 4 * count)


@given(height=SIDES, width=SIDES)
@QUICK
def test_every_place_is_in_one_pass(height: int, width: int) -> None:
    times = torch.zeros(height, width)
    for part in PASSES:
        part.of(times).add_(1)
    assert (times == 1).all()


def nearest(at: int, far: int, side: int) -> int:
    """The place at a distance, or at that distance on the other side where it is outside."""
    return at + far if 0 <= at + far < side else at - far


def around(part: Pass, known: NDArray[np.int64], row: int, column: int) -> list[NDArray[np.int64]]:
    """Known latents at the corners, or to the sides, above and below."""
    step = part.stride // 2
    corners = [(a, b) for a in (-step, step) for b in (-step, step)]
    sides = [(0, -step), (0, step), (-step, 0), (step, 0)]
    height, width = known.shape[1:]
    return [
        known[:, nearest(row, down, height), nearest(column, right, width)]
        for down, right in (corners if len(part.weights) == 1 else sides)
    ]


@given(height=SIDES, width=SIDES, seed=st.integers(0, 2**32 - 1))
@QUICK
def test_latents_are_expected_between_those_around(height: int, width: int, seed: int) -> None:
    """As defined, and from places that are known before them only."""
    rng = np.random.default_rng(seed)
    values = rng.integers(-(2**13), 2**13, (3, height, width))
    weights = rng.integers(-128, 129, (WEIGHTS, 3))
    known = np.zeros_like(values)
    for part in PASSES:
        found = part.expected(
            torch.from_numpy(known)[None].double(), torch.from_numpy(weights).double()
        )
        rows = range(part.row, height, part.stride)
        columns = range(part.column, width, part.stride)
        assert found.shape == (1, 3, len(rows), len(columns))
        for i, row in enumerate(rows):
            for j, column in enumerate(columns):
                expected = np.zeros(3)
                if part.weights:
                    each = [weights[row] for row in part.weights for _ in range(4)]
                    each = each[:4] if len(part.weights) == 1 else [*each[:2], *each[4:6]]
                    total = sum(
                        w * v for w, v in zip(each, around(part, known, row, column), strict=True)
                    )
                    expected = total / (4 if len(part.weights) == 1 else 2)
                np.testing.assert_array_equal(found[0, :, i, j].numpy(), expected)
        part.of(known)[...] = part.of(values)


def bits(value: float, deviation: float) -> float:
    """Bits of a whole number under a normal distribution, at most 40."""
    ends = [(edge - abs(value)) / deviation / math.sqrt(2) for edge in (-0.5, 0.5)]
    return -math.log2(max((math.erfc(-ends[1]) - math.erfc(-ends[0])) / 2, 2.0**-40))


@st.composite
def values(draw: st.DrawFn) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    count = draw(st.integers(0, 30))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    size = draw(st.sampled_from([0.0, 0.7, 3.0, 400.0, 1e9]))
    off = (size * rng.standard_normal(count)).astype(np.float32)
    return off, rng.integers(-256, 641, count)


@given(drawn=values(), worth=st.floats(0.01, 20), mean=st.sampled_from([0.0, 0.375, -2.5]))
@QUICK
def test_a_chosen_value_is_the_cheaper_one(drawn: Any, worth: float, mean: float) -> None:
    off, scales = drawn
    deviation = torch.from_numpy(np.exp2(scales / 64)).float()
    taken = chosen(torch.from_numpy(off), deviation, worth, mean).numpy()
    assert taken.shape == off.shape and np.abs(taken).max(initial=0) <= FURTHEST

    def cost(value: float, at: float, scale: float) -> float:
        return bits(value - mean, 2 ** (scale / 64)) + worth * (at - value) ** 2

    for found, at, scale in zip(taken.tolist(), off.tolist(), scales.tolist(), strict=True):
        nearest = max(-FURTHEST, min(FURTHEST, round(at)))
        lower = nearest - (nearest > mean) + (nearest < mean)
        assert found in (nearest, lower)
        other = lower if found == nearest else nearest
        least, dearer = cost(found, at, scale), cost(other, at, scale)
        assert least <= dearer + 1e-5 * abs(dearer)


def test_a_value_is_lowered_where_bits_are_dear() -> None:
    """At 0.6 from a narrow distribution's mean; not near a whole number, nor with a wide one."""
    off = torch.tensor([0.6, -0.6, 0.95, 0.6, 0.3, 7.55])
    deviation = torch.tensor([0.25, 0.25, 0.5, 32, 0.25, 1 / 16])
    assert chosen(off, deviation, 8.0).tolist() == [0, 0, 1, 1, 0, 8]
    assert chosen(off, deviation, 2.0).tolist() == [0, 0, 0, 1, 0, 8]
    assert chosen(off + 3, deviation, 2.0, 3.0).tolist() == [3, 3, 3, 4, 3, 11]
