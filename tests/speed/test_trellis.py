"""The trellis of diffc in branches per second, against codewords that are independent.

The peer is the search as it is without codewords that are sums of parts: the product of every
branch with the codeword of every state, then the choice of the better of two ways into a state.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest

from noisepress.bitstream.coders import Tally
from noisepress.bitstream.information import BIT
from noisepress.bitstream.noise import normals
from noisepress.bitstream.reverse_channel import Float32s, Plan, Target, Trellis

pytestmark = pytest.mark.slow
Benchmark = Any
BRANCHES, SAMPLES = 2048, 24
"""Branches of a run, and about the samples of each."""
SLICE = 128


def plan_of(trellis: Trellis) -> Plan:
    count = BRANCHES * SAMPLES
    return Plan(np.array([BIT // SAMPLES], np.int64), count, 7, 3, trellis.branch)


def independent(rows: Float32s, book: Float32s, states: int) -> Float32s:
    """The likelihoods of the best paths with independent codewords."""
    best = np.zeros(states, np.float32)
    energies = (book**2).sum(1)
    for first in range(0, len(rows), SLICE):
        for gains in rows[first : first + SLICE] @ book.T - 0.01 * energies:
            # State s comes from s // 2 and s // 2 + states / 2.
            best = np.maximum(best[: states // 2], best[states // 2 :]).repeat(2) + gains
    return best


@pytest.mark.parametrize("state_bits", [12, 14, 16])
@pytest.mark.parametrize("codewords", ["sums", "independent"])
def test_search(benchmark: Benchmark, state_bits: int, codewords: str) -> None:
    trellis = Trellis(state_bits)
    plan = plan_of(trellis)
    branches = len(plan.starts) - 1
    rng = np.random.default_rng(0)
    benchmark.group = f"search of {branches} branches, {state_bits} bits of state"
    if codewords == "sums":
        mean = rng.normal(0, 0.2, len(plan.branches)).astype(np.float32)
        target = Target(mean, np.full(len(mean), 0.97, np.float32))
        run = partial(trellis.code, target, plan, Tally())
    else:
        book = normals(7, 0, 0, n=SAMPLES << state_bits).reshape(-1, SAMPLES)
        rows = rng.normal(0, 0.2, (branches, SAMPLES)).astype(np.float32)
        run = partial(independent, rows, book, 1 << state_bits)
    benchmark.pedantic(run, rounds=2, warmup_rounds=1)
    benchmark.extra_info["branches per second"] = round(branches / benchmark.stats["median"])
