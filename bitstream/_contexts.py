"""Kernels of context mixing in raster order, for pages, drawings and screenshots.

As in _mixing.py, only integers, and float64 with + - * / in a fixed order, decide a bit.
docs/format.md (codec 8) describes the same steps in the same order.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ._binary import CHANCE_BITS, DECODE, TALLY, Int32s, UInt32s, UInt64s, code_bit
from ._mixing import Floats, Int64s, UInt8s, as_int, clip, logistic, solve
from .compiled import kernel

UInt16s = NDArray[np.uint16]

PAD = 16
"""Columns behind each row, which hold 0; a row's left neighbours are those of the row before."""
PAGE_ROWS, PIXEL_ROWS = 7, 3
"""Rows above a pixel that its contexts reach."""
RIGHT = 10
"""Columns to the right that a page's contexts reach."""

SETS, MAPS, POINTS = 3, 2, 33
"""Sets of weights; adaptive probability maps, and the points at which each is adapted."""
COUNT_LIMIT = 1023
"""A count that is higher no longer slows its slot down."""
MOST_ODDS, MAP_ODDS, LEAST_CHANCE = 15.0, 10.6, 1e-6
FIRST_RATE, SLOWING, FINAL_RATE = 0.04, 0.02, 0.002
"""Learning rates: of the weights at first, how it falls, and of the final weights."""
HISTORY_RATE, MAP_RATE, MATCH_RATE = 0.02, 0.02, 0.01

MATCHES, MATCH_BITS, LENGTHS = 2, 18, 64
"""Searches for an earlier place with the same neighbours; log2 of slots; classes of lengths."""
CANDIDATES, SOURCES = 4, 7
"""Colours that a pixel is compared with, at most, and where they come from."""
RECENT_BITS = 16
"""log2 of the slots with the last colour in a context."""

PREDICTIONS = 5
OWN, EARLIER = 6, 4
"""Regressors of the least squares: in a sample's own channel, and in each one before it."""
KEEP, RIDGE, FIT_EVERY = 0.998, 1.0, 8
ERROR_RATE, SPREAD, LEAST_SPREAD = 0.03, 0.6, 0.12
ROUGH = 64
"""Classes of how much the samples around a sample differ."""
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


class Functions(NamedTuple):
    """Functions in steps (contexts.py, mixing.py).

    Attributes:
        stretch, logistic: of `_mixing.Tables`.
        rates: (COUNT_LIMIT + 1,), 2^16 / (n + 1.6).
        following: (256, 2), the history after a history and a bit.
    """

    stretch: Floats
    logistic: Floats
    rates: Int64s
    following: UInt8s


class Learned(NamedTuple):
    """What is learned of decisions of a few kinds, and what is known of the one at hand.

    Attributes:
        last_rate: learning rate of the weights in the end.
        slots: (contexts, slots), 22-bit chance of 1, 10-bit count.
        histories: (contexts, slots), 8-bit check, 8-bit history of the bits in the context.
        chances: (kinds, contexts, 256), chance of 1 after a history.
        weights: (SETS, rows, inputs + 1), of the mixer; the last is a count.
        final: (kinds, SETS), weights of the final mixer.
        maps: (MAPS, rows, POINTS), adaptive probability maps.
        hashes: (contexts,), of the contexts.
        rows, map_rows: (SETS,) and (MAPS,), the rows of the decision.
        further: inputs that no context gives.
        at, inputs, outputs, mixed: (contexts,), (inputs,), (SETS,) and (SETS,), working memory.
    """

    last_rate: float
    slots: UInt32s
    histories: UInt16s
    chances: Floats
    weights: Floats
    final: Floats
    maps: Floats
    hashes: UInt64s
    rows: Int64s
    map_rows: Int64s
    further: Floats
    at: Int64s
    inputs: Floats
    outputs: Floats
    mixed: Floats


class Match(NamedTuple):
    """Earlier places with the same neighbours.

    Attributes:
        places: (MATCHES, 2^MATCH_BITS), the last place with a hash, 0 for none.
        at, lengths: (MATCHES,), the place that is followed, 0 for none, and for how long already.
        right: (kinds, MATCHES, LENGTHS), chance that what it predicts is right.
        classes: (MATCHES,), classes of the lengths.
        hashes: (MATCHES,), of the neighbours.
    """

    places: Int32s
    at: Int64s
    lengths: Int64s
    right: Floats
    classes: Int64s
    hashes: UInt64s


class Fit(NamedTuple):
    """Least squares and the other predictions of samples.

    Attributes:
        products, targets, fits: (channels, k, k), (channels, k) and (channels, k) of k regressors.
        counts: (channels,), samples so far.
        errors: (channels, PREDICTIONS, ROUGH), mean magnitudes of errors.
        predicted: (PREDICTIONS,).
        regressors, system, lower, half: working memory.
    """

    products: Floats
    targets: Floats
    fits: Floats
    counts: Int64s
    errors: Floats
    predicted: Floats
    regressors: Floats
    system: Floats
    lower: Floats
    half: Floats


class Colours(NamedTuple):
    """An image, and the colours that a pixel is compared with.

    Attributes:
        pixels: (PAD + (rows + PIXEL_ROWS) * (width + PAD),), samples of 8 bits, the first lowest.
        found: the same shape, where a pixel's colour was found, 0 to 6.
        recent, checks: (2^RECENT_BITS,), the last colour in a context, and the context's check.
        candidates, sources: (CANDIDATES,), colours, and a bit for each source of the colour.
    """

    pixels: UInt32s
    found: UInt8s
    recent: UInt32s
    checks: UInt32s
    candidates: Int64s
    sources: Int64s


@kernel
def _mix(hashed: np.uint64, value: int | np.uint64) -> np.uint64:
    product = (np.uint64(hashed) ^ np.uint64(value)) * _MULTIPLIER
    return product ^ (product >> np.uint64(32))


@kernel
def _stretch(chance: float, functions: Functions) -> float:
    return float(functions.stretch[min(int(chance * 4096.0), 4095)])


@kernel
def _decide(
    mode: int,
    bit: int,
    kind: int,
    node: int,
    learned: Learned,
    functions: Functions,
    state: UInt64s,
    words: UInt32s,
) -> tuple[int, float]:
    """Code a bit with the mixture of what is known in its contexts, and learn from it.

    Args:
        kind: of the decision.
        node: which decision of its kind it is; contexts of others have other slots.

    Returns:
        The bit, and for TALLY its information content.
    """
    contexts = learned.hashes.size
    size = learned.inputs.size
    inputs = learned.inputs
    slot_bits = 0
    while learned.slots.shape[1] >> slot_bits > 1:
        slot_bits += 1
    known = 0
    for i in range(contexts):
        hashed = (learned.hashes[i] ^ np.uint64(node)) * _MULTIPLIER
        at = as_int(hashed >> np.uint64(64 - slot_bits))
        check = as_int((hashed >> np.uint64(20)) & np.uint64(255))
        entry = as_int(learned.histories[i, at])
        if entry >> 8 != check or entry & 255 == 0:
            entry = check << 8
            learned.histories[i, at] = np.uint16(entry)
            learned.slots[i, at] = np.uint32(1 << 31)
        history = entry & 255
        if history:
            known += 1
        learned.at[i] = at
        inputs[2 * i] = functions.stretch[as_int(learned.slots[i, at]) >> 20]
        inputs[2 * i + 1] = _stretch(learned.chances[kind, i, history], functions)
    for i in range(learned.further.size):
        inputs[2 * contexts + i] = learned.further[i]
    inputs[size - 1] = 0.3
    learned.rows[0] = learned.rows[0] * (contexts + 1) + known
    odds = 0.0
    for s in range(SETS):
        weights = learned.weights[s, learned.rows[s]]
        even = 0.0
        odd = 0.0
        for k in range(size // 2):
            even += weights[2 * k] * inputs[2 * k]
            odd += weights[2 * k + 1] * inputs[2 * k + 1]
        if size % 2:
            even += weights[size - 1] * inputs[size - 1]
        output = clip(even + odd, -MOST_ODDS, MOST_ODDS)
        learned.outputs[s] = output
        learned.mixed[s] = logistic(output, functions.logistic)
        odds += learned.final[kind, s] * output
    odds = clip(odds, -MOST_ODDS, MOST_ODDS)
    mixed = logistic(odds, functions.logistic)
    point = clip(odds, -MAP_ODDS, MAP_ODDS) * 1.5 + POINTS // 2
    low = int(point)
    share = point - low
    chance = 0.5 * mixed
    for a in range(MAPS):
        row = learned.maps[a, learned.map_rows[a]]
        chance += (0.5 / MAPS) * (row[low] + (row[low + 1] - row[low]) * share)
    chance = clip(chance, LEAST_CHANCE, 1.0 - LEAST_CHANCE)
    zero = int((1.0 - chance) * (1 << CHANCE_BITS))
    spent = 0.0
    if mode == TALLY:
        spent = CHANCE_BITS - math.log2((1 << CHANCE_BITS) - zero if bit else zero)
    else:
        bit = code_bit(mode, bit, zero, state, words)

    target = 1.0 if bit else 0.0
    for i in range(contexts):
        at = learned.at[i]
        slot = as_int(learned.slots[i, at])
        count = slot & 1023
        known_chance = slot >> 10
        whole = ((1 << 22) - 1) * bit
        known_chance += ((whole - known_chance) * as_int(functions.rates[count])) >> 16
        count = min(count + 1, COUNT_LIMIT)
        learned.slots[i, at] = np.uint32(known_chance << 10 | count)
        entry = as_int(learned.histories[i, at])
        history = entry & 255
        before = learned.chances[kind, i, history]
        learned.chances[kind, i, history] = before + (target - before) * HISTORY_RATE
        after = as_int(functions.following[history, bit])
        learned.histories[i, at] = np.uint16(entry & 0xFF00 | after)
    for s in range(SETS):
        weights = learned.weights[s, learned.rows[s]]
        count_of_row = weights[size]
        rate = max(FIRST_RATE / (1.0 + count_of_row * SLOWING), learned.last_rate)
        weights[size] = count_of_row + 1.0
        step = (target - learned.mixed[s]) * rate
        for k in range(size):
            weights[k] += step * inputs[k]
        learned.final[kind, s] += (target - mixed) * FINAL_RATE * learned.outputs[s]
    for a in range(MAPS):
        row = learned.maps[a, learned.map_rows[a]]
        row[low] += (target - row[low]) * MAP_RATE * (1.0 - share)
        row[low + 1] += (target - row[low + 1]) * MAP_RATE * share
    return bit, spent


@kernel
def _seek(match: Match) -> None:
    """Where no place is followed, look for one; then classify the lengths."""
    for j in range(MATCHES):
        if match.at[j] == 0:
            place = match.hashes[j] * _MULTIPLIER >> np.uint64(64 - MATCH_BITS)
            match.at[j] = match.places[j, as_int(place)]
            match.lengths[j] = 0
        length = match.lengths[j]
        match.classes[j] = length if length < 16 else min(14 + length // 8, LENGTHS - 1)


@kernel
def _follow(at: int, matches: bool, j: int, match: Match) -> None:
    """Follow a place, or give it up; and note where the neighbours at hand were seen."""
    if match.at[j] and matches:
        match.at[j] += 1
        match.lengths[j] += 1
    else:
        match.at[j] = 0
    place = match.hashes[j] * _MULTIPLIER >> np.uint64(64 - MATCH_BITS)
    match.places[j, as_int(place)] = at


@kernel
def _expect(expected: int, kind: int, j: int, match: Match, learned: Learned, f: Functions) -> None:
    """The inputs of a match: it expects a bit, or nothing (-1)."""
    odds = 0.0
    excess = 0.0
    if expected >= 0:
        right = match.right[kind, j, match.classes[j]]
        odds = _stretch(right, f)
        excess = 4.0 * (right - 0.5)
    if expected == 0:
        odds = -odds
        excess = -excess
    learned.further[2 * j] = odds
    learned.further[2 * j + 1] = excess


@kernel
def _judge(was_right: bool, kind: int, j: int, match: Match) -> None:
    right = match.right[kind, j, match.classes[j]]
    target = 1.0 if was_right else 0.0
    match.right[kind, j, match.classes[j]] = right + (target - right) * MATCH_RATE


@kernel
def code_page(
    mode: int,
    first: int,
    bits: Int32s,
    pixels: UInt8s,
    masks: UInt64s,
    match_masks: UInt64s,
    registers: UInt64s,
    learned: Learned,
    match: Match,
    functions: Functions,
    state: UInt64s,
    words: UInt32s,
) -> float:
    """Write, read or count rows of an image with two colours.

    Args:
        mode: ENCODE, DECODE or TALLY.
        first: row of the image.
        bits: (rows, width), receives them in a decoder.
        pixels: ((rows + PAGE_ROWS) * (width + PAD),), the image so far.
        masks: (contexts, PAGE_ROWS + 1), pixels of the row at hand and of those above it that a
            context has, as bits of `registers`.
        match_masks: (MATCHES, PAGE_ROWS + 1), the same of what a match has in common.
        registers: (PAGE_ROWS + 1,), the pixels of a row, the furthest to the right lowest.

    Returns:
        For TALLY, the information content in bits.
    """
    height, width = bits.shape
    stride = width + PAD
    contexts = masks.shape[0]
    one = np.uint64(1)
    spent = 0.0
    for i in range(height):
        start = (first + i + PAGE_ROWS) * stride
        registers[0] = np.uint64(0)
        for r in range(1, PAGE_ROWS + 1):
            registers[r] = np.uint64(0)
            for x in range(RIGHT):
                registers[r] = registers[r] << one | np.uint64(pixels[start - r * stride + x])
        for j in range(MATCHES):
            match.at[j] = 0
        for x in range(width):
            at = start + x
            for r in range(1, PAGE_ROWS + 1):
                pixel = np.uint64(pixels[at - r * stride + RIGHT])
                registers[r] = registers[r] << one | pixel
            for k in range(contexts + MATCHES):
                hashed = np.uint64(k + 1)
                for r in range(PAGE_ROWS + 1):
                    mask = masks[k, r] if k < contexts else match_masks[k - contexts, r]
                    if mask:
                        hashed = _mix(hashed, registers[r] & mask)
                if k < contexts:
                    learned.hashes[k] = hashed
                else:
                    match.hashes[k - contexts] = hashed
            _seek(match)
            for j in range(MATCHES):
                expected = as_int(pixels[match.at[j]]) if match.at[j] else -1
                _expect(expected, 0, j, match, learned, functions)
            near = as_int(registers[0] & np.uint64(3))
            near |= as_int(registers[1] >> np.uint64(RIGHT - 1) & np.uint64(7)) << 2
            near |= as_int(registers[2] >> np.uint64(RIGHT) & one) << 5
            length = 0
            if match.at[0]:
                length = 1 + min(match.lengths[0], 15) // 4 + 4 * as_int(pixels[match.at[0]])
            learned.rows[0] = 0
            learned.rows[1] = near
            learned.rows[2] = length
            learned.map_rows[0] = as_int(learned.hashes[0] >> np.uint64(52))
            learned.map_rows[1] = near * 9 + length
            bit, cost = _decide(mode, as_int(bits[i, x]), 0, 0, learned, functions, state, words)
            spent += cost
            bits[i, x] = bit
            pixels[at] = bit
            for j in range(MATCHES):
                right = match.at[j] > 0 and as_int(pixels[match.at[j]]) == bit
                if match.at[j]:
                    _judge(right, 0, j, match)
                _follow(at, right, j, match)
            registers[0] = registers[0] << one | np.uint64(bit)
    return spent


@kernel
def _byte(pixel: int, channel: int) -> int:
    return (pixel >> (8 * channel)) & 255


@kernel
def _rise(value: int, step: int) -> int:
    """How often a value can be shifted by `step` bits until it is 0."""
    count = 0
    while value > 0:
        value >>= step
        count += 1
    return count


@kernel
def _level(x: int) -> int:
    return min(max(x, 0), 255)


@kernel
def _between(value: int, channel: int, around: tuple[int, int, int, int, int, int]) -> int:
    """The sample of a mixture of the darkest and the brightest neighbour.

    Its shares are those that give the known sample of the first channel (Porter and Duff,
    "Compositing digital images", 1984, turned around).
    """
    dark = around[0]
    bright = around[0]
    for k in range(1, 6):
        if around[k] & 255 < dark & 255:
            dark = around[k]
        if around[k] & 255 > bright & 255:
            bright = around[k]
    known = (value & 255) - (dark & 255)
    low = _byte(dark, channel)
    whole = (bright & 255) - (dark & 255)
    if whole == 0:
        return _level(low + known)
    rise = _byte(bright, channel) - low
    return _level(low + (2 * rise * known + whole) // (2 * whole))


@kernel
def _predict(
    value: int, channel: int, around: tuple[int, int, int, int, int, int], fit: Fit
) -> tuple[int, float]:
    """Fill in the predictions of a sample, and the regressors.

    Args:
        value: samples of the pixel that are known, those of the channels before.
        around: the pixels W, N, NW, NE, WW and NN.

    Returns:
        The class of how much the samples around differ, and the mean of W and N.
    """
    w = _byte(around[0], channel)
    n = _byte(around[1], channel)
    nw = _byte(around[2], channel)
    ne = _byte(around[3], channel)
    above_w = 0
    above_n = 0
    above_nw = 0
    rough = _rise(abs(w - nw) + abs(n - nw) + abs(n - ne), 1)
    if channel:
        before = _byte(value, channel - 1)
        above_w = before - _byte(around[0], channel - 1)
        above_n = before - _byte(around[1], channel - 1)
        above_nw = before - _byte(around[2], channel - 1)
        rough += 10 * min(_rise(abs(above_w), 2), 4)
        fit.predicted[2] = _between(value, channel, around)
    else:
        fit.predicted[2] = _level(w + ((ne - nw) >> 1))
    middle = max(min(w, n), min(max(w, n), w + n - nw))
    fit.predicted[0] = _level(w + n - nw + above_w + above_n - above_nw)
    fit.predicted[1] = (w + n + above_w + above_n + 1) >> 1
    fit.predicted[3] = middle + above_n

    base = 0.5 * (w + n)
    for k in range(OWN):
        fit.regressors[k] = _byte(around[k], channel) - base
    size = OWN
    for earlier in range(channel):
        level = 0.5 * (_byte(around[0], earlier) + _byte(around[1], earlier))
        fit.regressors[size] = _byte(value, earlier) - level
        fit.regressors[size + 1] = _byte(around[0], earlier) - level
        fit.regressors[size + 2] = _byte(around[2], earlier) - level
        fit.regressors[size + 3] = _byte(around[3], earlier) - level
        size += EARLIER
    count = fit.counts[channel]
    if count > 0 and count % FIT_EVERY == 0:
        for k in range(size):
            for m in range(k, size):
                fit.system[k, m] = fit.products[channel, k, m]
            fit.system[k, k] += RIDGE
        solve(
            fit.system[:size, :size],
            fit.targets[channel, :size],
            fit.lower[:size, :size],
            fit.half[:size],
            fit.fits[channel, :size],
        )
    fit.counts[channel] = count + 1
    best = base
    for k in range(size):
        best += fit.regressors[k] * fit.fits[channel, k]
    fit.predicted[4] = clip(best, 0.0, 255.0)
    return rough, base


@kernel
def _fit(level: int, channel: int, rough: int, base: float, fit: Fit) -> None:
    """Learn from a sample."""
    size = OWN + EARLIER * channel
    error = fit.errors[channel, 4, rough]
    weight = 1.0 / (error * error + 1.0)
    target = level - base
    for k in range(size):
        factor = weight * fit.regressors[k]
        fit.targets[channel, k] = fit.targets[channel, k] * KEEP + factor * target
        for m in range(k, size):
            product = factor * fit.regressors[m]
            fit.products[channel, k, m] = fit.products[channel, k, m] * KEEP + product
    for k in range(PREDICTIONS):
        before = fit.errors[channel, k, rough]
        off = abs(level - fit.predicted[k])
        fit.errors[channel, k, rough] = before + (off - before) * ERROR_RATE


@kernel
def _code_sample(
    mode: int,
    sample: int,
    value: int,
    channel: int,
    around: tuple[int, int, int, int, int, int],
    near: np.uint64,
    wide: np.uint64,
    learned: Learned,
    fit: Fit,
    functions: Functions,
    state: UInt64s,
    words: UInt32s,
) -> tuple[int, float]:
    """Code a sample of a pixel that is none of the candidates, the highest bit first.

    Args:
        near, wide: hashes of W, N and NE, and of six neighbours.
    """
    rough, base = _predict(value, channel, around, fit)
    w = _byte(around[0], channel)
    n = _byte(around[1], channel)
    ne = _byte(around[3], channel)
    middle = max(min(w, n), min(max(w, n), w + n - _byte(around[2], channel)))
    above_w = 0
    above_n = 0
    above_ne = 0
    if channel:
        before = _byte(value, channel - 1)
        above_w = before - _byte(around[0], channel - 1)
        above_n = before - _byte(around[1], channel - 1)
        above_ne = before - _byte(around[3], channel - 1)
    lines = _level(2 * n - _byte(around[5], channel)) << 8 | _level(
        2 * w - _byte(around[4], channel)
    )
    exact = _mix(np.uint64(value), channel + 100)
    alike = np.uint64(channel + 77)
    hashes = learned.hashes
    hashes[0] = _mix(exact, 1)
    hashes[1] = _mix(_mix(exact, around[0]), 2)
    hashes[2] = _mix(_mix(exact, around[1]), 3)
    hashes[3] = _mix(_mix(exact, wide), 4)
    hashes[4] = _mix(_mix(exact, near), 5)
    hashes[5] = _mix(_mix(alike, _level(w + above_w) << 8 | _level(n + above_n)), 6)
    hashes[6] = _mix(_mix(alike, as_int(fit.predicted[0])), 7)
    hashes[7] = _mix(_mix(alike, ((w + ne + above_w + above_ne + 1) >> 1) + 512), 8)
    hashes[8] = _mix(_mix(alike, lines), 9)
    hashes[9] = _mix(_mix(alike, middle << 8 | ne), 10)
    hashes[10] = _mix(_mix(alike, as_int(fit.predicted[2])), 11)
    hashes[11] = _mix(_mix(alike, w << 8 | n), 12)
    spent = 0.0
    node = 1
    for place in range(7, -1, -1):
        low = (node << (place + 1)) - 256
        for k in range(PREDICTIONS):
            error = fit.errors[channel, k, rough]
            inverse = 1.0 / max(error * SPREAD, LEAST_SPREAD)
            move = -0.5 - fit.predicted[k]
            below = logistic((low + move) * inverse, functions.logistic) if low > 0 else 0.0
            half = logistic((low + (1 << place) + move) * inverse, functions.logistic)
            top = low + (2 << place)
            above = logistic((top + move) * inverse, functions.logistic) if top < 256 else 1.0
            chance = (above - half + 1e-6) / (above - below + 2e-6)
            learned.further[k] = _stretch(chance, functions)
        learned.rows[0] = channel
        learned.rows[1] = channel * 256 + node
        learned.rows[2] = channel * 8 + place
        learned.map_rows[0] = channel * 256 + node
        learned.map_rows[1] = (channel * 8 + place) * ROUGH + rough
        bit, cost = _decide(
            mode, (sample >> place) & 1, channel, node, learned, functions, state, words
        )
        spent += cost
        node = 2 * node + bit
    _fit(node - 256, channel, rough, base, fit)
    return node - 256, spent


@kernel
def _same(a: int, b: int, place: int) -> int:
    return (1 << place) if a == b else 0


@kernel
def _gather(
    around: tuple[int, int, int, int, int, int], wide: np.uint64, match: Match, colours: Colours
) -> int:
    """Fill in the candidates: different colours that the pixel may have. Returns their number."""
    count = 0
    for source in range(SOURCES):
        colour = as_int(0)
        if source < MATCHES:
            if match.at[source] == 0:
                continue
            colour = as_int(colours.pixels[match.at[source]])
        elif source == MATCHES:
            hashed = wide * _MULTIPLIER
            slot = as_int(hashed >> np.uint64(64 - RECENT_BITS))
            if as_int(colours.checks[slot]) != as_int(hashed & np.uint64(0xFFFFFFFF)):
                continue
            colour = as_int(colours.recent[slot])
        elif source == 3:
            colour = around[0]
        elif source == 4:
            colour = around[1]
        elif source == 5:
            colour = around[3]
        else:
            colour = around[2]
        place = 0
        while place < count and colours.candidates[place] != colour:
            place += 1
        if place == CANDIDATES:
            continue
        if place == count:
            colours.candidates[place] = colour
            colours.sources[place] = 0
            count += 1
        colours.sources[place] |= 1 << source
    return count


@kernel
def code_pixels(
    mode: int,
    first: int,
    symbols: Int32s,
    channels: int,
    colours: Colours,
    flags: Learned,
    levels: Learned,
    match: Match,
    fit: Fit,
    functions: Functions,
    state: UInt64s,
    words: UInt32s,
) -> float:
    """Write, read or count rows of an image of 8-bit samples.

    Args:
        mode: ENCODE, DECODE or TALLY.
        first: row of the image.
        symbols: (rows, width), the samples of a pixel as one number, the first channel lowest;
            receives them in a decoder.
        channels: 1 to 4.
        flags, levels: what is learned of candidates, and of samples.

    Returns:
        For TALLY, the information content in bits.
    """
    height, width = symbols.shape
    stride = width + PAD
    pixels = colours.pixels
    found = colours.found
    spent = 0.0
    for i in range(height):
        start = (first + i + PIXEL_ROWS) * stride + PAD
        for j in range(MATCHES):
            match.at[j] = 0
        for x in range(width):
            at = start + x
            w = as_int(pixels[at - 1])
            n = as_int(pixels[at - stride])
            nw = as_int(pixels[at - stride - 1])
            ne = as_int(pixels[at - stride + 1])
            ww = as_int(pixels[at - 2])
            nn = as_int(pixels[at - 2 * stride])
            nne = as_int(pixels[at - 2 * stride + 1])
            nww = as_int(pixels[at - stride - 2])
            nee = as_int(pixels[at - stride + 2])
            www = as_int(pixels[at - 3])
            nnw = as_int(pixels[at - 2 * stride - 1])
            nnn = as_int(pixels[at - 3 * stride])
            around = (w, n, nw, ne, ww, nn)
            nearest = _mix(_mix(np.uint64(1), w), n)
            wide = _mix(_mix(_mix(_mix(nearest, nw), ne), ww), nn)
            wider = _mix(_mix(_mix(_mix(_mix(_mix(wide, nne), nww), nee), www), nnw), nnn)
            widest = wider
            for k in range(4, 7):
                widest = _mix(widest, as_int(pixels[at - k]))
            for row in range(1, PIXEL_ROWS + 1):
                for k in range(2 * row - 7, 8 - 2 * row):
                    widest = _mix(widest, as_int(pixels[at - row * stride + k]))
            match.hashes[0] = widest
            match.hashes[1] = wider
            _seek(match)
            count = _gather(around, wide, match, colours)
            alike = _same(w, n, 0) | _same(w, nw, 1) | _same(n, nw, 2) | _same(n, ne, 3)
            alike |= _same(w, ww, 4) | _same(n, nn, 5) | _same(w, ne, 6) | _same(nw, nww, 7)
            more = alike | _same(nn, nne, 8) | _same(ne, nee, 9) | _same(ne, nne, 10)
            more |= _same(nw, nnw, 11) | _same(ww, www, 12) | _same(ww, nww, 13)
            more |= _same(nn, nnn, 14) | _same(w, nn, 15)
            near = as_int(found[at - 1]) | as_int(found[at - stride]) << 3
            near |= as_int(found[at - stride + 1]) << 6
            far = near | as_int(found[at - stride - 1]) << 9 | as_int(found[at - 2]) << 12
            further = far | as_int(found[at - 2 * stride]) << 15 | as_int(found[at - 3]) << 18
            further |= as_int(found[at - stride + 2]) << 21 | as_int(found[at - 4]) << 24
            length = 0
            if match.at[0]:
                length = 1 + min(match.lengths[0], 31) // 8
            elif match.at[1]:
                length = 5 + min(match.lengths[1], 15) // 4
            lengths = min(match.lengths[0], 15) * 16 + min(match.lengths[1], 15)
            second = as_int(colours.candidates[1]) if count > 1 else 0
            pixel = as_int(symbols[i, x]) & 0xFFFFFFFF
            which = 0
            while which < count:
                colour = as_int(colours.candidates[which])
                sources = as_int(colours.sources[which])
                node = np.uint64(which + 1 | sources << 8)
                both = node
                if which == 0 and count > 1:
                    both = _mix(node, as_int(colours.sources[1]))
                hashes = flags.hashes
                hashes[0] = _mix(_mix(node, nearest), 1)
                hashes[1] = _mix(_mix(node, wide), 2)
                hashes[2] = _mix(_mix(_mix(node, n), nn), 3)
                hashes[3] = _mix(_mix(both, alike), 4)
                hashes[4] = _mix(_mix(both, more), 5)
                hashes[5] = _mix(_mix(both, far), 6)
                hashes[6] = _mix(_mix(both, further), 7)
                hashes[7] = _mix(_mix(_mix(node, colour), w), 8)
                hashes[8] = _mix(_mix(_mix(node, as_int(colours.candidates[0])), second), 9)
                hashes[9] = _mix(_mix(both, lengths), 10)
                hashes[10] = _mix(_mix(node, widest), 11)
                hashes[11] = _mix(_mix(both, alike << 9 | near), 12)
                for j in range(MATCHES):
                    expected = -1
                    if match.at[j]:
                        expected = 1 if colour == as_int(pixels[match.at[j]]) else 0
                    _expect(expected, which, j, match, flags, functions)
                flags.rows[0] = which
                flags.rows[1] = which << SOURCES | sources
                flags.rows[2] = which << 8 | alike
                flags.map_rows[0] = which << 8 | alike
                flags.map_rows[1] = (which << SOURCES | sources) * 9 + length
                bit, cost = _decide(
                    mode, 1 if colour == pixel else 0, which, 0, flags, functions, state, words
                )
                spent += cost
                for j in range(MATCHES):
                    if match.at[j]:
                        expects = colour == as_int(pixels[match.at[j]])
                        _judge(expects == (bit == 1), which, j, match)
                if bit:
                    break
                which += 1
            value = as_int(0)
            if which < count:
                value = as_int(colours.candidates[which])
            else:
                beside = _mix(nearest, ne)
                for channel in range(channels):
                    sample, cost = _code_sample(
                        mode,
                        _byte(pixel, channel),
                        value,
                        channel,
                        around,
                        beside,
                        wide,
                        levels,
                        fit,
                        functions,
                        state,
                        words,
                    )
                    spent += cost
                    value |= sample << (8 * channel)
            if mode == DECODE:
                symbols[i, x] = np.int32(np.int64(value))
            pixels[at] = np.uint32(value)
            if value == w:
                found[at] = 1
            elif value == n:
                found[at] = 2
            elif value == ne:
                found[at] = 3
            elif value == nw:
                found[at] = 4
            else:
                found[at] = 5 if which < count else 6
            hashed = wide * _MULTIPLIER
            slot = as_int(hashed >> np.uint64(64 - RECENT_BITS))
            colours.checks[slot] = np.uint32(hashed & np.uint64(0xFFFFFFFF))
            colours.recent[slot] = np.uint32(value)
            for j in range(MATCHES):
                right = match.at[j] > 0 and as_int(pixels[match.at[j]]) == value
                _follow(at, right, j, match)
    return spent
