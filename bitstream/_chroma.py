"""A kernel that finds the samples of reduced resolution which a plane was enlarged from.

A sample of the smaller plane has a part in two rows, two columns or both: it is three quarters of
each, and the next sample on that side is the last quarter. With weights of 3 and 1 the sums are
whole numbers, and a pixel tells that its sum is one of `unit` successive numbers.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ._binary import Int32s
from .compiled import kernel

REACH = 1
"""A pass changes samples by this much at most."""
CHANGES = (2 * REACH + 1) ** 2
"""Changes that two samples, one above the other, may have."""
_NONE = CHANGES // 2
_MISS = 8
"""Cost of a sum that is off by 1; a change of a sample costs 1."""
_NEVER = 1 << 30


@kernel
def _changed(plane: Int32s, row: int, column: int, first: int, change: int) -> int:
    """A sample, given the change of rows `first` and first + 1; edges are repeated."""
    row = min(max(row, 0), plane.shape[0] - 1)
    value = int(plane[row, column])
    if row == first:
        value += change // (2 * REACH + 1) - REACH
    elif row == first + 1:
        value += change % (2 * REACH + 1) - REACH
    return value


@kernel
def _sum(plane: Int32s, y: int, column: int, first: int, change: int, rows: bool) -> int:
    """What a row y of the image has of a column of samples."""
    if not rows:
        return _changed(plane, y, column, first, change)
    row = y >> 1
    beside = row + 1 if y & 1 else row - 1
    whole = 3 * _changed(plane, row, column, first, change)
    return whole + _changed(plane, beside, column, first, change)


@kernel
def _miss(found: int, low: int, unit: int) -> int:
    """How far a sum is from the `unit` numbers that start at `low`."""
    return max(low - found, found - low - unit + 1, 0)


@kernel
def _cost(
    plane: Int32s,
    lows: Int32s,
    known: NDArray[np.bool_],
    first: int,
    column: int,
    before: int,
    change: int,
    rows: bool,
    unit: int,
) -> int:
    """By how much the pixels between two columns of samples are missed, given their changes."""
    height, width = lows.shape
    x = 2 * column
    missed = 0
    for y in range(2 * first - 1 if rows else first, 2 * first + 5 if rows else first + 2):
        if y < 0 or y >= height:
            continue
        here = _sum(plane, y, column, first, change, rows)
        left = here
        if column:
            left = _sum(plane, y, column - 1, first, before, rows)
            if known[y, x - 1]:
                missed += _miss(3 * left + here, int(lows[y, x - 1]), unit)
        if known[y, x]:
            missed += _miss(3 * here + left, int(lows[y, x]), unit)
        if column == plane.shape[1] - 1 and x + 1 < width and known[y, x + 1]:
            missed += _miss(4 * here, int(lows[y, x + 1]), unit)
    return missed


@kernel
def improve(
    plane: Int32s,
    lows: Int32s,
    known: NDArray[np.bool_],
    start: int,
    rows: bool,
    unit: int,
    costs: Int32s,
    came: Int32s,
) -> int:
    """Change samples so that they miss fewer pixels: a Viterbi search along each pair of rows.

    Args:
        plane: (h', w'), the samples; their columns are half those of the image.
        lows: (h, w), the least sum of each pixel.
        known: (h, w), which pixels count.
        start: first row of the first pair, 0 or 1.
        rows: whether rows are halved, too.
        unit: sums that give the same pixel.
        costs, came: (2, CHANGES) and (w', CHANGES), working memory.

    Returns:
        By how much pixels were missed before.
    """
    height, width = plane.shape
    total = 0
    for first in range(start, height, 2):
        missed = 0
        for j in range(width):
            missed += _cost(plane, lows, known, first, j, _NONE, _NONE, rows, unit)
        total += missed
        if missed == 0:
            continue
        for j in range(width):
            new, old = costs[(j + 1) & 1], costs[j & 1]
            for change in range(CHANGES):
                new[change] = _NEVER
                up, down = change // (2 * REACH + 1) - REACH, change % (2 * REACH + 1) - REACH
                if down != 0 and first + 1 == height:
                    continue
                for before in range(CHANGES if j else 1):
                    cost = int(old[before]) if j else 0
                    if cost >= _NEVER:
                        continue
                    missed = _cost(plane, lows, known, first, j, before, change, rows, unit)
                    cost += _MISS * missed + abs(up) + abs(down)
                    if cost < new[change]:
                        new[change] = cost
                        came[j, change] = before
        best = _NONE
        for change in range(CHANGES):
            if costs[width & 1, change] < costs[width & 1, best]:
                best = change
        for j in range(width - 1, -1, -1):
            up, down = best // (2 * REACH + 1) - REACH, best % (2 * REACH + 1) - REACH
            best = int(came[j, best])
            plane[first, j] = min(max(plane[first, j] + up, 0), 255)
            if first + 1 < height:
                plane[first + 1, j] = min(max(plane[first + 1, j] + down, 0), 255)
    return total
