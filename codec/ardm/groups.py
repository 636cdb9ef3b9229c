"""Groups of order-agnostic coding: how many samples are coded at each network call.

The dynamic program of autoregressive diffusion (arXiv 2110.02037, section 3.1, after Watson
et al., arXiv 2106.03802): of all ways to divide the samples among a number of calls, the one with
the fewest expected bits, by the model's measured loss at each stage and fraction of known samples.
All arithmetic is in integers, so that encoder and decoder find the same groups.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

GRID = 256
"""Groups start and end at multiples of 1/GRID of the samples."""

Curve = Sequence[int]
"""(GRID,) expected cost of one sample when i/GRID of the samples are known, in any unit."""

_INFINITE = np.int64(2**60)


def _best_groups(curve: Curve, most: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Least cost of reaching each boundary in a number of calls, and the boundary before it.

    Returns:
        Cost and boundary, both (most + 1, GRID + 1), by calls and boundary.
    """
    cost = np.full((most + 1, GRID + 1), _INFINITE)
    origin = np.zeros((most + 1, GRID + 1), np.int64)
    cost[0, 0] = 0
    start, end = np.arange(GRID), np.arange(GRID + 1)[:, None]
    group = np.where(start < end, np.asarray(curve, np.int64) * (end - start), _INFINITE)
    for calls in range(1, most + 1):
        totals = np.minimum(cost[calls - 1, :GRID] + group, _INFINITE)
        origin[calls] = totals.argmin(1)
        cost[calls] = totals.min(1)
    return cost, origin


def _boundaries(origin: NDArray[np.int64], calls: int) -> list[int]:
    """Ends of groups in 1/GRID, following `origin` back from the end."""
    ends = [GRID]
    for left in range(calls, 1, -1):
        ends.append(int(origin[left, ends[-1]]))
    return ends[::-1]


def dynamic(curves: Sequence[Curve], calls: int) -> list[list[int]]:
    """Ends of the groups of each stage, in 1/GRID, that minimise the expected bits.

    Args:
        curves: one for each stage.
        calls: network calls of all stages together, from len(curves) to GRID * len(curves).
    """
    most = min(GRID, calls - len(curves) + 1)
    solved = [_best_groups(curve, most) for curve in curves]
    total = np.full((len(curves) + 1, calls + 1), _INFINITE)
    share = np.zeros((len(curves) + 1, calls + 1), np.int64)
    total[0, 0] = 0
    for stage, (cost, _) in enumerate(solved):
        for spent in range(1, calls + 1):
            options = range(1, min(most, spent) + 1)
            sums = [total[stage, spent - own] + cost[own, GRID] for own in options]
            best = int(np.argmin(sums))
            total[stage + 1, spent], share[stage + 1, spent] = sums[best], best + 1
    parts: list[list[int]] = []
    left = calls
    for stage in range(len(curves), 0, -1):
        own = int(share[stage, left])
        parts.append(_boundaries(solved[stage - 1][1], own))
        left -= own
    return parts[::-1]


def equal(stages: int, calls: int) -> list[list[int]]:
    """Ends of the groups of each stage, in 1/GRID, of equal sizes as far as the grid allows.

    Args:
        stages: number of stages.
        calls: network calls of all stages together, `stages` or more; the first stages get those
            that are left over after an equal division.
    """
    ends = []
    for stage in range(stages):
        groups = min(GRID, calls // stages + (stage < calls % stages))
        ends.append([GRID * (group + 1) // groups for group in range(groups)])
    return ends
