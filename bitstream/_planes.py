"""Kernels of source planes: planes to RGB and back, and the pixels that no planes give."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ._binary import Int32s, UInt32s, UInt64s, code_learned
from .compiled import compiled

Int64s = NDArray[np.int64]
UInt8s = NDArray[Any]

LUMA, RED, GREEN_FIRST, GREEN_SECOND, BLUE = 0, 1, 2, 3, 4
"""Rows of a conversion's table."""
FIRST, SECOND = 0, 2
"""Places of the two chromas beside luma, which is between them as green is in RGB."""
LUMA_PLACE = 1
_WINDOW = 2
"""Luma of a pixel is at most this far from the linear estimate if no channel is clipped."""
_CHROMA_WEIGHT = 2
"""Cost of a step of a chroma, in steps of luma."""
FLAGS = 16
"""Contexts of whether a pixel is an exception."""
CHANNEL_NODES = 3 * 256
"""Nodes of the difference of one channel: a tree for each of three contexts."""


class Learned(NamedTuple):
    """Chances of the bits of exceptions, in 2^-24 that a bit is 0, and how often each was seen.

    Attributes:
        flags, flags_seen: (FLAGS,).
        nodes, nodes_seen: (3, CHANNEL_NODES).
    """

    flags: Int32s
    flags_seen: Int32s
    nodes: Int32s
    nodes_seen: Int32s


@compiled()
def to_rgb(planes: UInt8s, table: Int64s, divisor: int, out: UInt8s) -> None:
    """Convert planes to RGB.

    Args:
        planes: (h, w, 3), first chroma, luma and second chroma.
        table: (5, 256), see `codec.ardm.conversions.Conversion`.
        divisor: of sums of its entries.
        out: (h, w, 3), receives RGB.
    """
    for i in range(planes.shape[0]):
        for j in range(planes.shape[1]):
            first, second = planes[i, j, FIRST], planes[i, j, SECOND]
            luma = table[LUMA, planes[i, j, LUMA_PLACE]]
            green = luma - table[GREEN_FIRST, first] - table[GREEN_SECOND, second]
            out[i, j, 0] = min(max((luma + table[RED, second]) // divisor, 0), 255)
            out[i, j, 1] = min(max(green // divisor, 0), 255)
            out[i, j, 2] = min(max((luma + table[BLUE, first]) // divisor, 0), 255)


@compiled()
def _first_from(row: Int64s, least: Any) -> Any:
    """Index of the first entry of a rising row (256,) that is at least a number, up to 256."""
    # The rows are almost straight lines.
    guess = (least - row[0]) * 255.0 / (row[255] - row[0])
    at = np.int64(min(max(guess, 0.0), 255.0))
    while at < 256 and row[at] < least:
        at += 1
    while at > 0 and row[at - 1] >= least:
        at -= 1
    return at


@compiled()
def to_planes(
    rgb: UInt8s,
    table: Int64s,
    divisor: int,
    estimate: NDArray[np.float64],
    planes: UInt8s,
    missed: NDArray[np.bool_],
) -> None:
    """Find planes that are converted to RGB, or close ones where there are none.

    Of several that give a colour with clipped channels, those nearest to the planes of the pixels
    to the left and above are taken.

    Args:
        rgb: (h, w, 3).
        table, divisor: see `to_rgb`.
        estimate: (4,), a constant and factors of R, G and B whose sum is about luma.
        planes: (h, w, 3), receives first chroma, luma and second chroma.
        missed: (h, w), receives where there are none.
    """
    wanted_first: Any
    wanted_luma: Any
    wanted_second: Any
    near: Any
    lowest: Any
    highest: Any
    y: Any
    second: Any
    first: Any
    beyond = np.int64(1) << np.int64(40)
    for i in range(rgb.shape[0]):
        for j in range(rgb.shape[1]):
            if j and (rgb[i, j] == rgb[i, j - 1]).all():
                planes[i, j], missed[i, j] = planes[i, j - 1], missed[i, j - 1]
                continue
            wanted_first, wanted_luma, wanted_second = 128, 128, 128
            if i and j:
                wanted_first = (np.int64(planes[i, j - 1, 0]) + np.int64(planes[i - 1, j, 0])) >> 1
                wanted_luma = (np.int64(planes[i, j - 1, 1]) + np.int64(planes[i - 1, j, 1])) >> 1
                wanted_second = (np.int64(planes[i, j - 1, 2]) + np.int64(planes[i - 1, j, 2])) >> 1
            elif i or j:
                beside = planes[i - 1, j] if i else planes[i, j - 1]
                wanted_first, wanted_luma = np.int64(beside[0]), np.int64(beside[1])
                wanted_second = np.int64(beside[2])
            red, green, blue = (
                np.int64(rgb[i, j, 0]),
                np.int64(rgb[i, j, 1]),
                np.int64(rgb[i, j, 2]),
            )
            red_low = divisor * red if red > 0 else -beyond
            red_high = divisor * (red + 1) if red < 255 else beyond
            green_low = divisor * green if green > 0 else -beyond
            green_high = divisor * (green + 1) if green < 255 else beyond
            blue_low = divisor * blue if blue > 0 else -beyond
            blue_high = divisor * (blue + 1) if blue < 255 else beyond
            linear = estimate[0] + estimate[1] * red + estimate[2] * green + estimate[3] * blue
            near = min(max(np.int64(math.floor(linear + 0.5)), 0), 255)
            clipped = min(red, green, blue) == 0 or max(red, green, blue) == 255
            lowest = 0 if clipped else max(near - _WINDOW, 0)
            highest = 255 if clipped else min(near + _WINDOW, 255)
            start = wanted_luma if clipped else near
            best = beyond
            for step in range(2 * (highest - lowest) + 1):
                # From start outwards, so that the cost of luma rises.
                y = start + ((step + 1) >> 1) if step & 1 else start - (step >> 1)
                if y < lowest or y > highest:
                    continue
                luma_cost = abs(y - wanted_luma)
                if best < beyond and (luma_cost >= best or not clipped):
                    break
                luma = table[LUMA, y]
                second_from = _first_from(table[RED], red_low - luma)
                second_to = _first_from(table[RED], red_high - luma)
                if second_from >= second_to:
                    continue
                first_from = _first_from(table[BLUE], blue_low - luma)
                first_to = _first_from(table[BLUE], blue_high - luma)
                if first_from >= first_to:
                    continue
                # The nearest chromas, then as much of the second one as green needs, which depends
                # on it most, and at last of the first one.
                second = min(max(wanted_second, second_from), second_to - 1)
                first = min(max(wanted_first, first_from), first_to - 1)
                least, most = luma - green_high + 1, luma - green_low
                rise = table[GREEN_FIRST, first]
                if rise + table[GREEN_SECOND, second] < least:
                    second = min(_first_from(table[GREEN_SECOND], least - rise), second_to - 1)
                    rest = least - table[GREEN_SECOND, second]
                    if rise < rest:
                        first = min(_first_from(table[GREEN_FIRST], rest), first_to - 1)
                elif rise + table[GREEN_SECOND, second] > most:
                    second = _first_from(table[GREEN_SECOND], most + 1 - rise) - 1
                    second = max(second, second_from)
                    rest = most - table[GREEN_SECOND, second]
                    if rise > rest:
                        first = max(_first_from(table[GREEN_FIRST], rest + 1) - 1, first_from)
                fall = table[GREEN_FIRST, first] + table[GREEN_SECOND, second]
                cost = luma_cost + _CHROMA_WEIGHT * (
                    abs(second - wanted_second) + abs(first - wanted_first)
                )
                if least <= fall <= most and cost < best:
                    best = cost
                    planes[i, j, FIRST], planes[i, j, SECOND] = first, second
                    planes[i, j, LUMA_PLACE] = y
            missed[i, j] = best == beyond
            if missed[i, j]:
                luma = table[LUMA, near]
                planes[i, j, FIRST] = min(_first_from(table[BLUE], divisor * blue - luma), 255)
                planes[i, j, LUMA_PLACE] = near
                planes[i, j, SECOND] = min(_first_from(table[RED], divisor * red - luma), 255)


@compiled()
def code_row(
    mode: int,
    symbols: Int32s,
    above: Int32s,
    learned: Learned,
    state: UInt64s,
    words: UInt32s,
) -> float:
    """Code a row of exceptions, see `exceptions.Row`.

    Args:
        mode: ENCODE, DECODE or TALLY.
        symbols: (w,) to code; receives them in a decoder.
        above: (w,), the row above, zeros above the first.
    """
    total, width = 0.0, symbols.size
    for j in range(width):
        context = 1 if j > 0 and symbols[j - 1] else 0
        context += 2 if above[j] else 0
        context += 4 if j > 0 and above[j - 1] else 0
        context += 8 if j + 1 < width and above[j + 1] else 0
        known = symbols[j]
        flag, bits = code_learned(
            mode, int(known != 0), learned.flags, learned.flags_seen, context, state, words
        )
        total += bits
        symbol, before = 0, 0
        for channel in range(3 if flag else 0):
            number = (known >> (16 - 8 * channel)) & 255
            node = 1
            for place in range(7, -1, -1):
                bit, bits = code_learned(
                    mode,
                    (number >> place) & 1,
                    learned.nodes[channel],
                    learned.nodes_seen[channel],
                    256 * before + node,
                    state,
                    words,
                )
                node, total = 2 * node + bit, total + bits
            number = node - 256
            symbol = 256 * symbol + number
            before = min(number, 2)
        symbols[j] = symbol
    return total
