"""Kernels of online mixing: a network's distributions, corrected by what the image shows.

Integers, and float64 with + - * / and square roots in a fixed order, so that every machine computes
the same bits: no kernel here may be compiled with fastmath, and no other function of a library
decides a bit. docs/format.md ("Online mixing") describes the same steps in the same order.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ._binary import CHANCE_BITS, TALLY, Int32s, UInt32s, UInt64s, code_bit
from .compiled import kernel

Floats = NDArray[np.float64]
Int64s = NDArray[np.int64]
UInt8s = NDArray[np.uint8]
Float32s = NDArray[np.float32]

PAD = 4
"""Rows and columns around a block's planes: how far the neighbours of a sample reach."""

SHAPED = 3
"""Experts with the shape of the network's mixture: as it is; moved and scaled; moved to `best`."""
FITTED = 2
"""Experts that are logistic distributions around least-squares predictions."""
RECENT = 2
"""Experts that are kernel densities of the last values in a context."""
DISTRIBUTIONS = SHAPED + FITTED + RECENT
COUNTED = 5
"""Experts that count decisions in a context."""
COUNTED_BEFORE = 2
"""Further ones of a sequence, whose contexts are samples of frames before."""
INPUTS = DISTRIBUTIONS + COUNTED + 1
"""Inputs of the mixer, of which the last is constant; those of frames before come behind it."""
COLUMNS = 16
"""Of a row of weights: one for each input, zeros, and a count of updates; two lines of a cache."""

LEVEL_NODES, NODES = 39, 47
"""Kinds of decisions about levels, and of all."""
SETS, KINDS = 4, 16
"""Sets of weights, and how many contexts select the weights in a set."""
MAPS, BUCKETS = 2, 62
"""Adaptive probability maps, and the points at which each is adapted."""
RECENT_BITS, COUNT_BITS = 15, 17
"""log2 of the slots of one context's table."""
REMEMBERED = 8
"""Values that a slot remembers."""
COUNT_LIMIT = 30
"""A count that is higher no longer slows its slot down."""

RUN = 24
"""Samples of a row after which least-squares predictions are fitted again."""
LOCAL_KEEP, WIDE_KEEP, LEVEL_KEEP = 0.9, 0.998, 0.1
"""What a fit keeps of its sums: of those of its columns in a row, of all in a run, in a level."""
RIDGE, PRIOR = 0.1, 0.001
"""Added to the diagonal of the sums of products; share of the wide sums in the local ones."""
PAST_SHARE = 0.4
"""Share of the errors of the frame before in the errors that are to be expected."""
GAIN_RATE, BIAS_RATE = 0.0005, 0.0005
FIRST_RATE, LAST_RATE, FINAL_RATE = 0.05, 0.004, 0.0005
"""Learning rates: of the mixer's weights at first and in the end, and of the final mixer's."""
MAP_RATE = 0.015

LOG_BITS = 11
LOGISTIC_RANGE, LOGISTIC_STEPS = 16, 64
LOGISTIC_LAST = 2 * LOGISTIC_RANGE * LOGISTIC_STEPS - 0.5
POWER_LOW, POWER_HIGH, POWER_STEPS = -4.0, 2.5, 64
SCALE_LOW, SCALE_HIGH, SCALE_UNITS = -48, 128, 16
CERTAIN, LEAST_MASS = 12.0, 1e-7
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_SECOND_MULTIPLIER = np.uint64(0xD6E8FEB86659FD93)


class Tables(NamedTuple):
    """Functions in steps, rounded to multiples of powers of two (mixing.py).

    Attributes:
        log: ln(1 + i / 2^LOG_BITS).
        logistic: 1 / (1 + exp(LOGISTIC_RANGE - i / LOGISTIC_STEPS)).
        stretch: ln(p / (1 - p)) of p = (i + 1/2) / 4096.
        weights: of a mixture's component by how far its logit is below the largest.
        inverse: reciprocals of scales, by logarithmic scale - SCALE_LOW.
        power: 2^-(POWER_LOW + i / POWER_STEPS).
        rates: 2^16 / (n + 1.6).
    """

    log: Floats
    logistic: Floats
    stretch: Floats
    weights: Floats
    inverse: Floats
    power: Floats
    rates: Int64s


class Memory(NamedTuple):
    """What is learned of one channel in one phase.

    Attributes:
        bias, bias_power: (5 + c,), coefficients of the bias for c channels before this one, and
            the mean squares of their gradients.
        gain, gain_power: (7 + 2 c,), the same for the logarithm of the scale.
        products, targets: (k, k) and (k,), sums for the least squares of k regressors.
        weights: (SETS, NODES KINDS, COLUMNS), of the mixer.
        final: (NODES, SETS), weights of the final mixer.
        maps: (MAPS, NODES KINDS, BUCKETS), adaptive probability maps.
    """

    bias: Floats
    bias_power: Floats
    gain: Floats
    gain_power: Floats
    products: Floats
    targets: Floats
    weights: Floats
    final: Floats
    maps: Floats


class Contexts(NamedTuple):
    """What is learned of contexts in one channel, in hashed slots.

    Attributes:
        values: (RECENT, slots, REMEMBERED), the last values in a ring, in levels.
        filled: (RECENT, slots), 23-bit check, then 8 bits with the number of values so far.
        counts: (COUNTED, slots), or more of a sequence, 16-bit probability of 1, 6-bit count,
            10-bit check.
    """

    values: UInt8s | Float32s
    filled: Int32s
    counts: UInt32s


class Plane(NamedTuple):
    """What is learned of one channel in one phase of a block, while its rows are coded.

    Attributes:
        products, targets: (runs, k, k) and (runs, k), sums for the least squares of k regressors
            in each run of columns.
        fits: (FITTED, k), coefficients of the least-squares predictions.
        network_errors: (h + 1, w + 5), errors of the network's means.
        fit_errors: (3, h + 1, w + 5), magnitudes of the errors of three predictions.
    """

    products: Floats
    targets: Floats
    fits: Floats
    network_errors: Floats
    fit_errors: Floats


class Place(NamedTuple):
    """Where a plane lies, and what is known around it. All channels are in coding order.

    Whatever is compared with samples is in levels, of which each is 2^shift sample values.

    Attributes:
        planes: (c, H + 2 PAD, W + 2 PAD), the samples of a block, guesses where not yet coded.
        errors: the same shape, magnitudes of the errors of predictions.
        residuals: (c, h, w), errors of the plane's phase, of channels coded so far.
        surprises: (c, h + 3, w + 5), their log2 magnitudes relative to the network's scale.
        own: (m, 2), offsets of neighbours in the channel itself, the nearest first.
        others: (n, 2), offsets of neighbours in channels before it.
        row, column, nearest, channel: first sample of the phase, how many of `own` are nearest, and
            index of the channel.
        top: levels in which samples may be.
        shift, grain: bits of a sample below the levels, and 2^-shift, a sample value in levels.
    """

    planes: Floats
    errors: Floats
    residuals: Floats
    surprises: Floats
    own: Int64s
    others: Int64s
    row: int
    column: int
    nearest: int
    channel: int
    top: int
    shift: int
    grain: float


class Before(NamedTuple):
    """The frames before that of a block, where it lies. Kernels take None where there are none.

    Whether there are any is part of a kernel's type, so that single images take no time for it.

    Attributes:
        frames: (f, c, H + 2 PAD, W + 2 PAD), the latest first, one or two, in levels.
        errors: (c, H + 2 PAD, W + 2 PAD), magnitudes of the errors of the latest.
        latest, second: (m, 2), offsets of neighbours in the channel itself in the latest and the
            second frame.
        beside: those in channels before it, in the latest.
    """

    frames: Floats
    errors: Floats
    latest: Int64s
    second: Int64s
    beside: Int64s


class Work(NamedTuple):
    """Working memory of `code_rows`."""

    mean: Floats
    inverse: Floats
    weight: Floats
    regressors: Floats
    biases: Floats
    gains: Floats
    predicted: Floats
    moved: Floats
    scaled: Floats
    slopes: Floats
    below: Floats
    above: Floats
    at: Floats
    inputs: Floats
    outputs: Floats
    chances: Floats
    width: Floats
    kinds: Int64s
    selected: Int64s
    contexts: UInt64s
    slots: Int64s
    recent_slots: Int64s
    recent: Int64s
    double: Floats
    bits: Int64s
    new_products: Floats
    new_targets: Floats
    system: Floats
    right: Floats
    lower: Floats
    half: Floats


@kernel
def as_int(value: int | np.integer[Any]) -> int:
    """A number as one with a sign, of 64 bits."""
    return int(np.int64(value))


@kernel
def clip(x: float, low: float, high: float) -> float:
    return min(max(x, low), high)


@kernel
def _log(x: float, tables: Tables, work: Work) -> float:
    """Natural logarithm of a positive normal number, from the bits of its representation."""
    work.double[0] = x
    bits = work.bits[0]
    exponent = (bits >> 52) - 1023
    mantissa = bits & ((1 << 52) - 1)
    index = mantissa >> (52 - LOG_BITS)
    rest = (mantissa & ((1 << (52 - LOG_BITS)) - 1)) * 2.0 ** -(52 - LOG_BITS)
    low = tables.log[index]
    return float(exponent * 0.6931471805599453 + low + (tables.log[index + 1] - low) * rest)


@kernel
def _between(table: Floats, at: float) -> float:
    index = int(at)
    low = table[index]
    return float(low + (table[index + 1] - low) * (at - index))


@kernel
def logistic(x: float, table: Floats) -> float:
    """The distribution function of the logistic distribution, from `Tables.logistic`."""
    at = clip((x + LOGISTIC_RANGE) * LOGISTIC_STEPS, 0.0, 2 * LOGISTIC_RANGE * LOGISTIC_STEPS - 0.5)
    return _between(table, at)


@kernel
def _magnitude(x: float) -> int:
    """A magnitude in nine classes, about two an octave."""
    if x < 2.1:
        if x < 0.5:
            return 0 if x < 0.25 else 1
        if x < 0.9:
            return 2
        return 3 if x < 1.4 else 4
    if x < 5.0:
        return 5 if x < 3.2 else 6
    return 7 if x < 9.0 else 8


@kernel
def _hash(state: int | np.uint64, value: int | np.uint64) -> np.uint64:
    return (np.uint64(state) + np.uint64(value)) * _MULTIPLIER


@kernel
def _floor(x: float) -> int:
    return math.floor(x)


@kernel
def _add(factor: float, row: Floats, total: Floats) -> None:
    """Add a multiple of a row. Rows that start at 0 are what a compiler does several at a time."""
    for k in range(total.size):
        total[k] += factor * row[k]


@kernel
def _keep(share: float, new: Floats, total: Floats) -> None:
    for k in range(total.size):
        total[k] = total[k] * share + new[k]


@kernel
def solve(products: Floats, targets: Floats, lower: Floats, half: Floats, out: Floats) -> None:
    """Solve a symmetric positive definite system by Cholesky factors.

    Args:
        products: (k, k), upper triangle.
        targets: (k,).
        lower, half: (k, k) and (k,), working memory.
        out: (k,), receives the solution; stays as it is where a pivot is not above 1e-9.
    """
    size = out.size
    for j in range(size):
        for i in range(j, size):
            lower[j, i] = products[j, i]
        for k in range(j):
            _add(-lower[k, j], lower[k, j:], lower[j, j:])
        pivot = lower[j, j]
        if not pivot > 1e-9:
            return
        pivot = 1.0 / math.sqrt(pivot)
        for i in range(j, size):
            lower[j, i] *= pivot
    for k in range(size):
        half[k] = targets[k]
    for k in range(size):
        value = half[k] / lower[k, k]
        half[k] = value
        _add(-value, lower[k, k + 1 :], half[k + 1 :])
    for i in range(size - 1, -1, -1):
        value = half[i]
        for k in range(i + 1, size):
            value -= lower[i, k] * out[k]
        out[i] = value / lower[i, i]


@kernel
def _fit(run: int, plane: Plane, memory: Memory, work: Work) -> None:
    """Fit the local prediction (from the columns around a run), and the wide one at even runs."""
    products = plane.products
    targets = plane.targets
    system = work.system
    right = work.right
    size = right.size
    runs = products.shape[0]
    for k in range(size):
        for m in range(k, size):
            total = PRIOR * memory.products[k, m] + products[run, k, m]
            if run > 0:
                total += products[run - 1, k, m]
            if run + 1 < runs:
                total += products[run + 1, k, m]
            system[k, m] = total
        total = PRIOR * memory.targets[k] + targets[run, k]
        if run > 0:
            total += targets[run - 1, k]
        if run + 1 < runs:
            total += targets[run + 1, k]
        right[k] = total
        system[k, k] += RIDGE
    right[size - 1] += RIDGE
    solve(system, right, work.lower, work.half, plane.fits[0])
    if run % 2 == 0:
        for k in range(size):
            for m in range(k, size):
                system[k, m] = memory.products[k, m]
            system[k, k] += RIDGE
            right[k] = memory.targets[k]
        right[size - 1] += RIDGE
        solve(system, right, work.lower, work.half, plane.fits[1])


@kernel
def _mixture(
    logits: Int32s, locations: Int32s, scales: Int32s, grain: float, tables: Tables, work: Work
) -> tuple[float, float]:
    """Unpack a mixture of logistics: its mean and its typical scale, in levels."""
    components = work.mean.size
    largest = logits[0]
    for k in range(1, components):
        largest = max(largest, logits[k])
    total = 0.0
    mean = 0.0
    spread = 0.0
    for k in range(components):
        weight = tables.weights[min(largest - logits[k], tables.weights.size - 1)]
        location = locations[k] * 0.0625 * grain
        scale = min(max(scales[k], SCALE_LOW), SCALE_HIGH) - SCALE_LOW
        total += weight
        mean += weight * location
        spread += weight * scale
        work.weight[k] = weight
        work.mean[k] = location
        work.inverse[k] = tables.inverse[scale]
    total = 1.0 / total
    for k in range(components):
        work.weight[k] *= total
    at = min(spread * total, SCALE_HIGH - SCALE_LOW - 0.001)
    return mean * total, 1.0 / _between(tables.inverse, at)


@kernel
def _differences(
    plane: Floats, y: int, x: int, offsets: Int64s, level: float, first: int, work: Work
) -> int:
    """Fill in neighbours less a level as the regressors from the first; the one after them."""
    for k in range(offsets.shape[0]):
        work.regressors[first + k] = plane[y + offsets[k, 0], x + offsets[k, 1]] - level
    return int(first + offsets.shape[0])


@kernel
def _level(plane: Floats, y: int, x: int, place: Place) -> float:
    """Mean of the nearest neighbours."""
    level = 0.0
    for k in range(place.nearest):
        level += plane[y + place.own[k, 0], x + place.own[k, 1]]
    return level * (1.0 / place.nearest)


@kernel
def _regress(y: int, x: int, mean: float, place: Place, before: Before | None, work: Work) -> float:
    """Fill in the regressors: neighbours less the mean of the nearest ones, which is returned.

    Those in frames before are less the mean in the frame at hand, and 0 if there is no such frame.
    """
    out = work.regressors
    filled = 0
    base = 0.0
    for channel in range(place.channel, -1, -1):
        plane = place.planes[channel]
        level = _level(plane, y, x, place)
        if channel == place.channel:
            base = level
            filled = _differences(plane, y, x, place.own, level, filled, work)
        else:
            filled = _differences(plane, y, x, place.others, level, filled, work)
    if before is not None:
        for channel in range(place.channel, -1, -1):
            offsets = before.latest if channel == place.channel else before.beside
            level = _level(place.planes[channel], y, x, place)
            filled = _differences(before.frames[0, channel], y, x, offsets, level, filled, work)
        if before.frames.shape[0] > 1:
            plane = before.frames[1, place.channel]
            filled = _differences(plane, y, x, before.second, base, filled, work)
    for k in range(filled, out.size - 2):
        out[k] = 0.0
    out[out.size - 2] = 1.0
    out[out.size - 1] = mean - base
    return base


@kernel
def _dot(a: Floats, b: Floats) -> float:
    """Sum of products: those of even places, and those of odd ones."""
    even = 0.0
    odd = 0.0
    for k in range(a.size // 2):
        even += a[2 * k] * b[2 * k]
        odd += a[2 * k + 1] * b[2 * k + 1]
    if a.size % 2:
        even += a[a.size - 1] * b[a.size - 1]
    return even + odd


@kernel
def _adjust(
    i: int, j: int, scale: float, errors: Floats, place: Place, memory: Memory, work: Work
) -> tuple[float, float]:
    """Bias and logarithmic gain of the network's distribution, from errors around the sample."""
    limit = 4.0 * scale + 2.0
    work.biases[0] = 0.25 * scale
    work.biases[1] = clip(errors[i + 1, j + 1], -limit, limit)
    work.biases[2] = clip(errors[i, j + 2], -limit, limit)
    work.biases[3] = clip(errors[i, j + 1], -limit, limit)
    work.biases[4] = clip(errors[i, j + 3], -limit, limit)
    own = place.surprises[place.channel]
    work.gains[0] = 1.0
    work.gains[1] = own[i + 1, j + 1]
    work.gains[2] = own[i, j + 2]
    work.gains[3] = own[i, j + 1]
    work.gains[4] = own[i, j + 3]
    work.gains[5] = own[i + 1, j]
    work.gains[6] = own[i - 1, j + 2] if i > 0 else 0.0
    for channel in range(place.channel):
        work.biases[5 + channel] = place.residuals[channel, i, j]
        other = place.surprises[channel]
        work.gains[7 + 2 * channel] = other[i + 1, j + 2]
        work.gains[8 + 2 * channel] = (other[i + 2, j + 2] + other[i + 1, j + 3]) * 0.5
    bias = 0.0
    for k in range(work.biases.size):
        bias += memory.bias[k] * work.biases[k]
    gain = 0.0
    for k in range(work.gains.size):
        gain += memory.gain[k] * work.gains[k]
    return bias, clip(gain, POWER_LOW, POWER_HIGH)


@kernel
def _blend(i: int, j: int, fit_errors: Floats, work: Work) -> tuple[float, float]:
    """The three predictions, weighted by their errors around the sample; the least such error."""
    least = 1e9
    total = 0.0
    best = 0.0
    for k in range(3):
        past = fit_errors[k]
        error = (
            2.0 * (past[i + 1, j + 1] + past[i, j + 2])
            + past[i, j + 1]
            + past[i, j + 3]
            + past[i + 1, j]
        )
        least = min(least, error)
        weight = 1.0 / (error + 0.5)
        weight *= weight
        total += weight
        best += weight * work.predicted[k]
    return best / total, least


@kernel
def _past_errors(y: int, x: int, place: Place, before: Before) -> float:
    """Errors of the frame before at a place and around it, as many as `_blend` adds up."""
    past = before.errors[place.channel]
    total = 2.0 * past[y, x]
    for k in range(place.nearest):
        total += past[y + place.own[k, 0], x + place.own[k, 1]]
    return float(total * (7.0 / (2 + place.nearest)))


@kernel
def _contexts_before(
    y: int, x: int, start: int, fraction: int, place: Place, before: Before, work: Work
) -> None:
    """Contexts of what the frames before have at a place, and how the latest changed around it."""
    channel = place.channel
    known = place.planes[channel]
    latest = before.frames[0, channel]
    own = place.own
    tag = _hash(channel + 1, _floor(latest[y, x]) - start)
    changes = _hash(tag, 2)
    for k in range(4):
        row = y + own[k, 0]
        column = x + own[k, 1]
        changes = _hash(changes, _floor(known[row, column]) - _floor(latest[row, column]))
    second = before.frames[before.frames.shape[0] - 1, channel]
    work.contexts[COUNTED] = _hash(_hash(_hash(tag, 1), _floor(second[y, x]) - start), fraction)
    work.contexts[COUNTED + 1] = changes


@kernel
def _remember(which: int, key: np.uint64, best: float, contexts: Contexts, work: Work) -> None:
    """Look up the last values in a context, and how wide their density shall be."""
    slot = np.int64(key >> np.uint64(64 - RECENT_BITS))
    check = np.int64((key >> np.uint64(20)) & np.uint64(0x7FFFFF))
    if contexts.filled[which, slot] >> 8 != check:
        contexts.filled[which, slot] = check << 8
    known = min(contexts.filled[which, slot] & 255, REMEMBERED)
    away = 0.0
    for k in range(known):
        away += abs(contexts.values[which, slot, k] - best)
    work.recent_slots[which] = slot
    work.recent[which] = known
    work.width[which] = known / (0.3 * known + 0.35 * away) if known else 1.0


@kernel
def _distribute(t: float, contexts: Contexts, tables: Tables, work: Work) -> None:
    """The chance of samples below t, in levels, by every expert that has a distribution."""
    for e in range(SHAPED):
        below = 0.0
        for k in range(work.mean.size):
            argument = (t - work.mean[k] - work.moved[e]) * work.inverse[k] * work.scaled[e]
            below += work.weight[k] * logistic(argument, tables.logistic)
        work.at[e] = below
    for e in range(FITTED):
        work.at[SHAPED + e] = logistic((t - work.predicted[e]) * work.slopes[e], tables.logistic)
    for e in range(RECENT):
        known = work.recent[e]
        below = 0.5 * work.at[1]
        for k in range(known):
            value = contexts.values[e, work.recent_slots[e], k]
            below += logistic((t - value) * work.width[e], tables.logistic)
        work.at[SHAPED + FITTED + e] = below / (known + 0.5)
    for e in range(DISTRIBUTIONS):
        over = work.above[e] - work.at[e] + LEAST_MASS
        under = work.at[e] - work.below[e] + LEAST_MASS
        work.inputs[e] = clip(_log(over / under, tables, work), -CERTAIN, CERTAIN)


@kernel
def _counted(before: Before | None) -> int:
    """Number of experts that count."""
    if before is None:
        return COUNTED
    return COUNTED + COUNTED_BEFORE


@kernel
def _count(
    absolute: np.uint64,
    relative: np.uint64,
    before: Before | None,
    contexts: Contexts,
    tables: Tables,
    work: Work,
) -> int:
    """What counts say of a decision; how sure the first two are, 0 to 15."""
    sure = 0
    for q in range(_counted(before)):
        decision = absolute if q < 2 else relative
        key = (work.contexts[q] ^ decision) * _SECOND_MULTIPLIER
        slot = np.int64(key >> np.uint64(64 - COUNT_BITS))
        check = np.uint32((key >> np.uint64(30)) & np.uint64(0x3FF))
        entry = contexts.counts[q, slot]
        if entry & np.uint32(0x3FF) != check:
            entry = np.uint32(0x80000000) | check
            contexts.counts[q, slot] = entry
        count = (entry >> np.uint32(10)) & np.uint32(0x3F)
        work.slots[q] = slot
        at = DISTRIBUTIONS + q if q < COUNTED else INPUTS - COUNTED + q
        work.inputs[at] = tables.stretch[entry >> np.uint32(20)] if count else 0.0
        if q < 2:
            sure = 4 * sure + (3 if count >= 12 else 2 if count >= 4 else 1 if count else 0)
    return sure


@kernel
def _mix(node: int, memory: Memory, tables: Tables, work: Work) -> float:
    """The final mixer's output, as a logarithm of odds."""
    final = 0.0
    for s in range(SETS):
        work.selected[s] = node * KINDS + work.kinds[s]
        weights = memory.weights[s, work.selected[s]]
        output = 0.0
        for e in range(COLUMNS):
            output += weights[e] * work.inputs[e]
        output = clip(output, -14.0, 14.0)
        work.outputs[s] = output
        work.chances[s] = logistic(output, tables.logistic)
        final += memory.final[node, s] * output
    return clip(final, -14.0, 14.0)


@kernel
def _adapt(
    bit: int,
    mixed: float,
    node: int,
    before: Before | None,
    contexts: Contexts,
    memory: Memory,
    tables: Tables,
    work: Work,
) -> None:
    """Learn from a decision: both mixers and the counts."""
    step = (bit - mixed) * FINAL_RATE
    for s in range(SETS):
        memory.final[node, s] += step * work.outputs[s]
        weights = memory.weights[s, work.selected[s]]
        count = weights[COLUMNS - 1]
        weights[COLUMNS - 1] = count + 1.0
        rate = (bit - work.chances[s]) * max(LAST_RATE, FIRST_RATE / (1.0 + 0.02 * count))
        for e in range(COLUMNS):
            weights[e] += rate * work.inputs[e]
    for q in range(_counted(before)):
        entry = np.int64(contexts.counts[q, work.slots[q]])
        count = (entry >> 10) & 0x3F
        chance = entry >> 16
        chance += ((65535 * bit - chance) * tables.rates[count]) >> 16
        if count < COUNT_LIMIT:
            count += 1
        entry = (chance << 16) | (count << 10) | (entry & 0x3FF)
        contexts.counts[q, work.slots[q]] = np.uint32(entry)


@kernel
def _code_sample(
    mode: int,
    wanted: int,
    start: int,
    half_units: int,
    fraction: int,
    top: int,
    shift: int,
    grain: float,
    state: UInt64s,
    words: UInt32s,
    before: Before | None,
    contexts: Contexts,
    memory: Memory,
    tables: Tables,
    work: Work,
) -> tuple[int, float]:
    """Code a sample by decisions whether it is at or above a threshold.

    First its level: the first threshold is `start`; then they go away from it on the sample's side,
    in steps that double, until one is passed; then they halve the range that is left. The bits
    below the level follow, the highest first.

    Args:
        wanted: the sample, unless it is decoded.
        start: 1 to top - 1; 0 if top is 1.
        half_units: first step, in halves of a level.
        fraction: 0 to 15, where the prediction lies relative to `start`.
        top, shift, grain: see `Place`.

    Returns:
        The sample, and in a tally its information content in bits.
    """
    unit = max(1.0, half_units * 0.5)
    spent = 0.0
    low = 0
    high = top
    rest = shift
    threshold = start
    side = 0
    steps = 0
    halvings = -1
    started = False
    for e in range(DISTRIBUTIONS):
        work.below[e] = 0.0
        work.above[e] = 1.0
    while high - low > 1 or rest > 0:
        node = 0
        if high - low == 1:
            rest -= 1
            low, high, start = 2 * low, 2 * high, 2 * start
            halvings = 0
        elif started and halvings < 0:
            away = max(1, int(unit * (1 << steps)))
            threshold = start + away if side else start - away
            if threshold <= low or threshold >= high:
                halvings = 0
            node = 1 + 2 * min(steps, 6) + side
        if halvings >= 0:
            threshold = (low + high) >> 1
            node = 15 + 4 * min(steps, 5) + 2 * min(halvings, 1) + side
            if rest < shift:
                node = LEVEL_NODES + shift - 1 - rest
        _distribute(((threshold << rest) - 0.5) * grain, contexts, tables, work)
        absolute = _hash(_hash(node, threshold), low)
        relative = _hash(_hash(node, threshold - start), half_units)
        relative = _hash(relative, low - start if halvings >= 0 else 0)
        work.kinds[1] = _count(absolute, relative, before, contexts, tables, work)
        work.inputs[INPUTS - 1] = 0.3
        odds = _mix(node, memory, tables, work)
        mixed = logistic(odds, tables.logistic)
        at = (odds + 15.0) * 2.0
        bucket = int(at)
        at -= bucket
        first = memory.maps[0, node * KINDS + work.kinds[0]]
        second = memory.maps[1, node * KINDS + fraction]
        refined = first[bucket] * (1.0 - at) + first[bucket + 1] * at
        refined += second[bucket] * (1.0 - at) + second[bucket + 1] * at
        one = 0.5 * mixed + 0.25 * refined
        zero = min(max(int((1.0 - one) * 2.0**CHANCE_BITS), 2), (1 << CHANCE_BITS) - 2)
        bit = 1 if wanted >> rest >= threshold else 0
        if mode == TALLY:
            spent -= math.log2(((1 << CHANCE_BITS) - zero if bit else zero) * 2.0**-CHANCE_BITS)
        else:
            bit = code_bit(mode, bit, zero, state, words)
        first[bucket] += (bit - first[bucket]) * (MAP_RATE * (1.0 - at))
        first[bucket + 1] += (bit - first[bucket + 1]) * (MAP_RATE * at)
        second[bucket] += (bit - second[bucket]) * (MAP_RATE * (1.0 - at))
        second[bucket + 1] += (bit - second[bucket + 1]) * (MAP_RATE * at)
        _adapt(bit, mixed, node, before, contexts, memory, tables, work)
        if bit:
            low = threshold
            for e in range(DISTRIBUTIONS):
                work.below[e] = work.at[e]
        else:
            high = threshold
            for e in range(DISTRIBUTIONS):
                work.above[e] = work.at[e]
        if halvings >= 0:
            halvings += 1
        elif not started:
            started = True
            side = bit
        elif bit == side:
            steps += 1
        else:
            halvings = 0
    return low, spent


@kernel
def _learn_scale(
    sample: int,
    bias: float,
    shrink: float,
    place: Place,
    memory: Memory,
    tables: Tables,
    work: Work,
) -> None:
    """A step up the gradient of the sample's log-likelihood by bias and gain."""
    highest = (place.top << place.shift) - 1
    chance = 0.0
    by_bias = 0.0
    by_gain = 0.0
    for k in range(work.mean.size):
        slope = work.inverse[k] * shrink
        over = ((sample + 0.5) * place.grain - work.mean[k] - bias) * slope
        under = ((sample - 0.5) * place.grain - work.mean[k] - bias) * slope
        upper = logistic(over, tables.logistic) if sample < highest else 1.0
        lower = logistic(under, tables.logistic) if sample > 0 else 0.0
        chance += work.weight[k] * (upper - lower)
        upper *= 1.0 - upper
        lower *= 1.0 - lower
        by_bias -= work.weight[k] * (upper - lower) * slope
        by_gain -= work.weight[k] * (upper * over - lower * under) * 0.6931
    chance = 1.0 / (chance + 1e-6)
    for k in range(work.biases.size):
        gradient = by_bias * chance * work.biases[k]
        memory.bias_power[k] = 0.999 * memory.bias_power[k] + 0.001 * gradient * gradient
        memory.bias[k] += BIAS_RATE * gradient / math.sqrt(memory.bias_power[k] + 1e-6)
    for k in range(work.gains.size):
        gradient = by_gain * chance * work.gains[k]
        memory.gain_power[k] = 0.999 * memory.gain_power[k] + 0.001 * gradient * gradient
        memory.gain[k] += GAIN_RATE * gradient / math.sqrt(memory.gain_power[k] + 1e-6)


@kernel
def code_rows(
    mode: int,
    first: int,
    samples: Int32s,
    logits: Int32s,
    locations: Int32s,
    scales: Int32s,
    state: UInt64s,
    words: UInt32s,
    place: Place,
    plane: Plane,
    before: Before | None,
    contexts: Contexts,
    memory: Memory,
    tables: Tables,
    work: Work,
) -> float:
    """Code rows of one channel of one phase of a block.

    Channels before it must be known up to the row below the last one.

    Args:
        mode: ENCODE, DECODE or TALLY.
        first: the first row in the phase.
        samples: (n, w), 0 to 2^shift top - 1; a decoder fills them in.
        logits, locations, scales: (n w, k), the network's mixtures, see `entropy.LogisticMixture`.
        state, words: of the coder, see `_binary.code_bit`.

    Returns:
        In a tally, the information content in bits.
    """
    count, width = samples.shape
    channel = place.channel
    size = memory.targets.size
    products = plane.products
    targets = plane.targets
    fits = plane.fits
    network_errors = plane.network_errors
    fit_errors = plane.fit_errors
    new_products = work.new_products
    new_targets = work.new_targets
    errors = place.errors[channel]
    known = place.planes[channel]
    own = place.own
    grain = place.grain
    spent = 0.0
    for i in range(first, first + count):
        for run in range(targets.shape[0]):
            if i > 0 or run > 0:
                _fit(run, plane, memory, work)
            for k in range(size):
                new_targets[k] = 0.0
                for m in range(k, size):
                    new_products[k, m] = 0.0
            for j in range(run * RUN, min(width, (run + 1) * RUN)):
                y = place.row + 2 * i + PAD
                x = place.column + 2 * j + PAD
                n = (i - first) * width + j
                mean, scale = _mixture(logits[n], locations[n], scales[n], grain, tables, work)
                base = _regress(y, x, mean, place, before, work)
                bias, gain = _adjust(i, j, scale, network_errors, place, memory, work)
                shrink = _between(tables.power, (gain - POWER_LOW) * POWER_STEPS)
                learned = scale / shrink
                limit = 6.0 * scale + 4.0
                for k in range(FITTED):
                    shift = _dot(fits[k], work.regressors) + base - mean
                    work.predicted[k] = mean + clip(shift, -limit, limit)
                work.predicted[2] = mean + bias
                best, least = _blend(i, j, fit_errors, work)
                if before is not None:
                    least += PAST_SHARE * (_past_errors(y, x, place, before) - least)
                around = 2.0 * (errors[y, x - 2] + errors[y - 2, x])
                around += errors[y - 2, x - 2] + errors[y - 2, x + 2] + errors[y, x - 4]
                beside = 0.0
                for k in range(place.nearest):
                    beside += errors[y + own[k, 0], x + own[k, 1]]
                typical = (around + 2.8 * learned) * 0.0667 + 0.03
                typical_beside = (beside + 2.8 * learned) * (0.6 / (place.nearest + 2)) + 0.03
                typical_least = (least + 2.8 * learned) * 0.0667 + 0.03
                work.moved[1] = bias
                work.scaled[1] = shrink
                work.moved[2] = best - mean
                work.scaled[2] = shrink
                work.slopes[0] = 1.0 / typical_least
                work.slopes[1] = 1.0 / (0.7 * typical_least + 0.5 * typical_beside)
                start = min(max(_floor(best + 0.5), 1), place.top - 1)
                unit = min(learned, typical_least)
                half_units = min(31, int(2.2 * unit)) if 1.1 * unit > 1.0 else 0
                fraction = min(max(_floor((best - start) * 8.0) + 8, 0), 15)
                other = int(place.planes[0, y, x]) if channel > 0 else 0
                between = int(place.planes[1, y, x]) if channel > 1 else 0
                error = place.residuals[channel - 1, i, j] if channel > 0 else 0.0
                miss = _floor(error + 0.5)
                n0 = int(known[y + own[0, 0], x + own[0, 1]])
                n1 = int(known[y + own[1, 0], x + own[1, 1]])
                n2 = int(known[y + own[2, 0], x + own[2, 1]])
                n3 = int(known[y + own[3, 0], x + own[3, 1]])
                work.kinds[0] = _magnitude(unit)
                work.kinds[3] = _magnitude(0.7 * abs(error) if channel > 0 else typical_beside)
                tag = channel + 1
                pair = _hash(_hash(tag, other), between)
                near = _hash(_hash(tag, n0), n1)
                found = work.contexts
                found[0] = pair
                found[1] = _hash(near, other)
                wide = _floor((work.predicted[1] - start) * 4.0)
                centred = _floor((mean - start) * 4.0)
                found[2] = _hash(_hash(_hash(tag, wide), centred), work.kinds[0])
                pattern = _hash(
                    _hash(_hash(_hash(tag, n0 - start), n1 - start), n2 - start), n3 - start
                )
                found[3] = _hash(pattern, miss)
                local = _floor((work.predicted[0] - start) * 4.0)
                found[4] = _hash(_hash(_hash(tag, miss), fraction), local)
                if before is not None:
                    _contexts_before(y, x, start, fraction, place, before, work)
                _remember(0, pair if channel > 0 else near, best, contexts, work)
                last = _hash(near, other) if channel < 2 else _hash(pair, _floor(best))
                _remember(1, last, best, contexts, work)
                work.kinds[2] = work.recent[0] // 3 * 4 + work.recent[1] // 3
                sample, bits = _code_sample(
                    mode,
                    samples[i - first, j],
                    start,
                    half_units,
                    fraction,
                    place.top,
                    place.shift,
                    grain,
                    state,
                    words,
                    before,
                    contexts,
                    memory,
                    tables,
                    work,
                )
                spent += bits
                samples[i - first, j] = sample
                value = sample * grain
                known[y, x] = value
                _learn_scale(sample, bias, shrink, place, memory, tables, work)
                network_errors[i + 1, j + 2] = value - mean
                for k in range(3):
                    fit_errors[k, i + 1, j + 2] = abs(value - work.predicted[k])
                size_ = abs(value - best)
                errors[y, x] = size_
                place.residuals[channel, i, j] = clip(value - best, -99.0, 99.0)
                surprise = _log(size_ + 0.3 * scale + 0.1, tables, work)
                surprise -= _log(1.1 * scale + 0.1, tables, work)
                place.surprises[channel, i + 1, j + 2] = surprise * 1.4427
                for e in range(RECENT):
                    slot = work.recent_slots[e]
                    filled = contexts.filled[e, slot]
                    contexts.values[e, slot, (filled & 255) % REMEMBERED] = value
                    contexts.filled[e, slot] = filled + 1 if filled & 255 < 248 else filled - 7
                weight = 1.0 / (typical * typical + 0.1)
                target = value - base
                for k in range(size):
                    factor = weight * work.regressors[k]
                    new_targets[k] += factor * target
                    _add(factor, work.regressors[k:], new_products[k, k:])
            for k in range(size):
                _keep(LOCAL_KEEP, new_products[k, k:], products[run, k, k:])
                _keep(WIDE_KEEP, new_products[k, k:], memory.products[k, k:])
            _keep(LOCAL_KEEP, new_targets, targets[run])
            _keep(WIDE_KEEP, new_targets, memory.targets)
    return spent
