"""Kernels that code the bands of a wavelet transform by online mixing.

As in _mixing.py, only integers, and float64 with + - * / in a fixed order, decide a bit.
docs/format.md (codec 6) describes the same steps in the same order.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ._binary import CHANCE_BITS, TALLY, Int32s, UInt32s, UInt64s, code_bit
from ._mixing import Floats, Int64s, UInt8s, as_int, clip, logistic
from .compiled import kernel

Float32s = NDArray[np.float32]

PAD = 2
"""Rows and columns of zeros around a band: how far the neighbours of a coefficient reach."""
ORIENTATIONS = 4
"""Details across columns, across rows, across both; and the smooth band."""
SMOOTH = 3
KINDS, LEVELS = 3 * ORIENTATIONS, 7
"""Kinds of bands, colour * ORIENTATIONS + orientation; and levels, the finest 0."""
DECISIONS, CAPPED = 20, 6
"""A magnitude is coded as decisions whether it is above 0, 1, 2 and so on; larger ones escape.
Most contexts take those from CAPPED - 1 as one."""
ESCAPE_BITS = 22
MAGNITUDE = 31
"""Magnitudes above it count as this one in contexts."""
WIDEST = 1 << 24
"""Largest magnitude of coefficients in steps."""
FEATURES = 18
"""Of what is known around a coefficient, for the prediction of its magnitude."""
CONTEXTS, SIGNS = 11, 5
"""Contexts of decisions about magnitudes, and of signs."""
CLASSES, SUMS = 48, 16
"""Classes of predicted magnitudes and of sums of magnitudes."""
SIZES = (
    KINDS * CLASSES,
    LEVELS * CLASSES * 3,
    KINDS * SUMS * 8,
    KINDS * 4 * 4 * 3 * 3 * 2 * 2,
    KINDS * SUMS * SUMS * 8,
    KINDS * SUMS * 8 * 8,
    KINDS * 5 * 3 * 3 * 2 * 8,
    KINDS * SUMS * SUMS * 4,
    KINDS * 5 * 3 * 3 * 3 * 3 * 3,
    KINDS * LEVELS * SUMS * SUMS,
    KINDS * CLASSES * 4 * 2,
)
"""Number of values of each context."""
SIGN_SIZES = (KINDS * 81, KINDS * 36, KINDS * 81, KINDS * 27, KINDS * 81)
SETS, MAPS, POINTS = 3, 2, 33
"""Sets of weights; adaptive probability maps, and the points at which each is adapted."""
ROWS = (KINDS * LEVELS, 2 * CLASSES, 8 * 8)
"""Rows of weights in each set."""
MAP_ROWS = (2 * CLASSES, SUMS * 8)
COUNT_LIMIT = 255
FIRST_RATE, LAST_RATE, SLOWING, FINAL_RATE = 0.04, 0.004, 0.02, 0.0005
MAP_RATE, FEATURE_RATE, SIGN_RATE = 0.015, 0.006, 0.002
MOST_ODDS, MAP_ODDS, LEAST_CHANCE = 15.0, 10.6, 1e-6
FULL = (1 << 22) - 1


class Tables(NamedTuple):
    """Functions in steps, see bands.py.

    Attributes:
        stretch, logistic: of `_mixing.Tables`.
        rates: (COUNT_LIMIT + 1,), 2^16 / (n + 1.6).
        felt: (128,), log2(1 + 2 n), the size that a magnitude or sum of magnitudes has in
            predictions.
        sums: (256,), classes of sums of magnitudes.
        fine, coarse: classes of predicted sizes, in 1/512 below 1/2 and in 1/32.
        bases, caps: (CONTEXTS,), first slot of each context, and decisions that it tells apart.
        sign_bases: (SIGNS,), first slot of each context of signs.
    """

    stretch: Floats
    logistic: Floats
    rates: Int64s
    felt: Floats
    sums: UInt8s
    fine: UInt8s
    coarse: UInt8s
    bases: Int64s
    caps: Int64s
    sign_bases: Int64s


class Learned(NamedTuple):
    """What is learned of an image.

    Attributes:
        slots, signs: 22-bit chances of 1 and 10-bit counts, of all contexts.
        escapes: (KINDS, ESCAPE_BITS), the same for the lengths of escapes.
        empty: (KINDS,), the same for bands that are zero.
        features: (KINDS * LEVELS, FEATURES), coefficients of predicted sizes.
        weights: (SETS, rows * CAPPED, CONTEXTS + 2), of the mixer; the last is a count.
        final: (CAPPED, SETS), weights of the final mixer.
        sign_weights: (KINDS, SIGNS), of the mixer for signs.
        maps: (MAPS, rows * CAPPED, POINTS), adaptive probability maps.
    """

    slots: UInt32s
    signs: UInt32s
    escapes: UInt32s
    empty: UInt32s
    features: Floats
    weights: Floats
    final: Floats
    sign_weights: Floats
    maps: Floats


class Band(NamedTuple):
    """A band and those beside it, with PAD rows and columns of zeros around; zeros for none.

    Attributes:
        own: (h + 2 PAD, w + 2 PAD), its coefficients in steps.
        parent: the next coarser band of the same kind.
        first, second: the same band of the colours before, the last one first.
        left, right: bands of the same colour and level that come before.
    """

    own: Int32s
    parent: Int32s
    first: Int32s
    second: Int32s
    left: Int32s
    right: Int32s


class Work(NamedTuple):
    """Working memory: of the coefficient at hand, and of each decision about it.

    Attributes:
        seen: (FEATURES + 1,), sizes around it, and its predicted size.
        contexts, sign_contexts: (CONTEXTS,) and (SIGNS,).
        rows, map_rows: (SETS,) and (MAPS,).
        at, inputs, outputs, mixed: (DECISIONS, CONTEXTS + 1), the last two (DECISIONS, SETS).
        odds, chances: (DECISIONS,), of the mixture.
        sign_inputs: (SIGNS,).
    """

    seen: Floats
    contexts: Int64s
    sign_contexts: Int64s
    rows: Int64s
    map_rows: Int64s
    at: Int64s
    inputs: Floats
    outputs: Floats
    mixed: Floats
    odds: Floats
    chances: Floats
    sign_inputs: Floats


@kernel
def _magnitude(value: int | np.integer[Any]) -> int:
    return min(abs(as_int(value)), MAGNITUDE)


@kernel
def _sign(value: int | np.integer[Any]) -> int:
    return 1 if value > 0 else (2 if value < 0 else 0)


@kernel
def _ring(plane: Int32s, y: int, x: int) -> int:
    """The sum of the magnitudes on four sides."""
    return (
        _magnitude(plane[y, x - 1])
        + _magnitude(plane[y, x + 1])
        + _magnitude(plane[y - 1, x])
        + _magnitude(plane[y + 1, x])
    )


@kernel
def _moved(slot: int, bit: int, tables: Tables) -> int:
    """A slot after a bit."""
    count = slot & 1023
    chance = slot >> 10
    chance += ((FULL * bit - chance) * as_int(tables.rates[count])) >> 16
    return chance << 10 | min(count + 1, COUNT_LIMIT)


@kernel
def _zero(chance: float) -> int:
    """The chance of 0 for the coder, given that of 1."""
    return int((1.0 - clip(chance, LEAST_CHANCE, 1.0 - LEAST_CHANCE)) * (1 << CHANCE_BITS))


@kernel
def _code(mode: int, bit: int, zero: int, state: UInt64s, words: UInt32s) -> tuple[int, float]:
    """Code a bit, or count its information content."""
    if mode == TALLY:
        chance = (1 << CHANCE_BITS) - zero if bit else zero
        return bit, CHANCE_BITS - math.log2(chance)
    return code_bit(mode, bit, zero, state, words), 0.0


@kernel
def _code_slot(
    mode: int, bit: int, slots: UInt32s, at: int, tables: Tables, state: UInt64s, words: UInt32s
) -> tuple[int, float]:
    """Code a bit with the chance of a slot, and learn from it."""
    slot = as_int(slots[at])
    chance = float(slot >> 10) * (1.0 / (1 << 22))
    bit, spent = _code(mode, bit, _zero(chance), state, words)
    slots[at] = np.uint32(_moved(slot, bit, tables))
    return bit, spent


@kernel
def _look(i: int, j: int, kind: int, level: int, band: Band, t: Tables, work: Work) -> None:
    """The contexts of a coefficient, except those of the predicted size."""
    y = i + PAD
    x = j + PAD
    own = band.own
    w = _magnitude(own[y, x - 1])
    ww = _magnitude(own[y, x - 2])
    n = _magnitude(own[y - 1, x])
    nn = _magnitude(own[y - 2, x])
    nw = _magnitude(own[y - 1, x - 1])
    ne = _magnitude(own[y - 1, x + 1])
    wide = _magnitude(own[y - 2, x - 1]) + _magnitude(own[y - 2, x + 1])
    wide += _magnitude(own[y - 1, x - 2]) + _magnitude(own[y - 1, x + 2])
    py = (i >> 1) + PAD
    px = (j >> 1) + PAD
    near_y = py + 2 * (i & 1) - 1
    near_x = px + 2 * (j & 1) - 1
    parent = band.parent
    p = _magnitude(parent[py, px])
    pv = _magnitude(parent[near_y, px])
    ph = _magnitude(parent[py, near_x])
    pd = _magnitude(parent[near_y, near_x])
    behind = _magnitude(parent[2 * py - near_y, px]) + _magnitude(parent[py, 2 * px - near_x])
    first = band.first
    c = _magnitude(first[y, x])
    cw = _magnitude(first[y, x - 1])
    ce = _magnitude(first[y, x + 1])
    cn = _magnitude(first[y - 1, x])
    cs = _magnitude(first[y + 1, x])
    corners = _magnitude(first[y - 1, x - 1]) + _magnitude(first[y - 1, x + 1])
    corners += _magnitude(first[y + 1, x - 1]) + _magnitude(first[y + 1, x + 1])
    d = _magnitude(band.second[y, x])
    d_ring = _ring(band.second, y, x)
    l_place = _magnitude(band.left[y, x])
    l_ring = _ring(band.left, y, x)
    r_place = _magnitude(band.right[y, x])
    r_ring = _ring(band.right, y, x)

    seen = work.seen
    seen[0] = t.felt[w]
    seen[1] = t.felt[n]
    seen[2] = t.felt[nw]
    seen[3] = t.felt[ne]
    seen[4] = t.felt[ww]
    seen[5] = t.felt[nn]
    seen[6] = t.felt[wide]
    seen[7] = t.felt[p]
    seen[8] = t.felt[pv + ph]
    seen[9] = t.felt[pd + behind]
    seen[10] = t.felt[c]
    seen[11] = t.felt[cw + ce + cn + cs]
    seen[12] = t.felt[d]
    seen[13] = t.felt[d_ring]
    seen[14] = t.felt[l_place + r_place]
    seen[15] = t.felt[min(l_ring + r_ring, 127)]
    seen[16] = t.felt[corners]
    seen[17] = 0.5

    near = as_int(t.sums[2 * (w + n) + nw + ne])
    far = as_int(t.sums[wide + 2 * (ww + nn)])
    above = as_int(t.sums[min(4 * p + 2 * (pv + ph) + pd, 255)]) >> 1
    colour = as_int(t.sums[4 * c + cw + ce + cn + cs])
    other = as_int(t.sums[2 * d + d_ring]) >> 1
    left = as_int(t.sums[2 * l_place + l_ring]) >> 1
    right = as_int(t.sums[2 * r_place + r_ring]) >> 1
    total = 2 * (w + n) + nw + ne + wide + 4 * p + pv + ph
    total += 2 * (l_place + r_place) + l_ring + r_ring
    around = as_int(t.sums[min(total >> 1, 255)])
    o = work.contexts
    o[0] = kind * CLASSES
    o[1] = (level * 3 + min(c, 2)) * CLASSES
    o[2] = (kind * SUMS + near) * 8 + above
    own_near = ((min(w, 3) * 4 + min(n, 3)) * 3 + min(nw, 2)) * 3 + min(ne, 2)
    o[3] = ((kind * 144 + own_near) * 2 + min(ww, 1)) * 2 + min(nn, 1)
    o[4] = ((kind * SUMS + near) * SUMS + colour) * 8 + other
    o[5] = ((kind * SUMS + near) * 8 + left) * 8 + right
    o[6] = ((kind * 5 + min(p, 4)) * 3 + min(pv, 2)) * 3 + min(ph, 2)
    o[6] = (o[6] * 2 + min(pd, 1)) * 8 + (near >> 1)
    o[7] = ((kind * SUMS + far) * SUMS + near) * 4 + (above >> 1)
    o[8] = ((kind * 5 + min(c, 4)) * 3 + min(cw, 2)) * 3 + min(ce, 2)
    o[8] = ((o[8] * 3 + min(cn, 2)) * 3 + min(cs, 2)) * 3 + min(d, 2)
    o[9] = ((kind * LEVELS + level) * SUMS + around) * SUMS + colour
    o[10] = ((kind * 4 + min(w, 3)) * 2 + min(n, 1)) * CLASSES
    work.rows[0] = kind * LEVELS + level
    work.rows[1] = min(kind // ORIENTATIONS, 1) * CLASSES
    work.rows[2] = (near >> 1) * 8 + above
    work.map_rows[0] = work.rows[1]
    work.map_rows[1] = near * 8 + above


@kernel
def _expect(kind: int, level: int, learned: Learned, tables: Tables, work: Work) -> None:
    """Predict the size of a coefficient, and complete its contexts."""
    coefficients = learned.features[kind * LEVELS + level]
    predicted = 0.0
    for k in range(FEATURES):
        predicted += coefficients[k] * work.seen[k]
    work.seen[FEATURES] = predicted
    if predicted < 0.5:
        found = as_int(tables.fine[int(max(predicted, 0.0) * 512.0)])
    else:
        found = as_int(tables.coarse[int(min(predicted, 7.9) * 32.0)])
    work.contexts[0] += found
    work.contexts[1] += found
    work.contexts[10] += found
    work.rows[1] += found
    work.map_rows[0] += found


@kernel
def _improve(kind: int, level: int, magnitude: int, learned: Learned, t: Tables, w: Work) -> None:
    """Learn to predict sizes: a normalised step down the squared error."""
    power = 1.0
    for k in range(FEATURES):
        power += w.seen[k] * w.seen[k]
    step = FEATURE_RATE * (t.felt[min(magnitude, 127)] - w.seen[FEATURES]) / power
    coefficients = learned.features[kind * LEVELS + level]
    for k in range(FEATURES):
        coefficients[k] += step * w.seen[k]


@kernel
def _mix(d: int, learned: Learned, tables: Tables, work: Work) -> float:
    """The chance that the magnitude is above d, given that it is not below."""
    inputs = work.inputs[d]
    for k in range(CONTEXTS):
        cap = tables.caps[k]
        at = tables.bases[k] + work.contexts[k] * cap + min(d, cap - 1)
        work.at[d, k] = at
        inputs[k] = tables.stretch[as_int(learned.slots[at]) >> 20]
    inputs[CONTEXTS] = 0.3
    capped = min(d, CAPPED - 1)
    odds = 0.0
    for s in range(SETS):
        weights = learned.weights[s, work.rows[s] * CAPPED + capped]
        output = 0.0
        for k in range(CONTEXTS + 1):
            output += weights[k] * inputs[k]
        output = clip(output, -MOST_ODDS, MOST_ODDS)
        work.outputs[d, s] = output
        work.mixed[d, s] = logistic(output, tables.logistic)
        odds += learned.final[capped, s] * output
    odds = clip(odds, -MOST_ODDS, MOST_ODDS)
    mixed = logistic(odds, tables.logistic)
    work.odds[d] = odds
    work.chances[d] = mixed
    point = clip(odds, -MAP_ODDS, MAP_ODDS) * 1.5 + POINTS // 2
    low = int(point)
    share = point - low
    chance = 0.5 * mixed
    for a in range(MAPS):
        row = learned.maps[a, work.map_rows[a] * CAPPED + capped]
        chance += (0.5 / MAPS) * (row[low] + (row[low + 1] - row[low]) * share)
    return chance


@kernel
def _learn(d: int, bit: int, learned: Learned, tables: Tables, work: Work) -> None:
    """Learn from a decision that `_mix` gave the chance of."""
    target = 1.0 if bit else 0.0
    inputs = work.inputs[d]
    for k in range(CONTEXTS):
        at = work.at[d, k]
        learned.slots[at] = np.uint32(_moved(as_int(learned.slots[at]), bit, tables))
    capped = min(d, CAPPED - 1)
    for s in range(SETS):
        weights = learned.weights[s, work.rows[s] * CAPPED + capped]
        count = weights[CONTEXTS + 1]
        rate = max(FIRST_RATE / (1.0 + count * SLOWING), LAST_RATE)
        weights[CONTEXTS + 1] = count + 1.0
        step = (target - work.mixed[d, s]) * rate
        for k in range(CONTEXTS + 1):
            weights[k] += step * inputs[k]
        learned.final[capped, s] += (target - work.chances[d]) * FINAL_RATE * work.outputs[d, s]
    point = clip(work.odds[d], -MAP_ODDS, MAP_ODDS) * 1.5 + POINTS // 2
    low = int(point)
    share = point - low
    for a in range(MAPS):
        row = learned.maps[a, work.map_rows[a] * CAPPED + capped]
        row[low] += (target - row[low]) * MAP_RATE * (1.0 - share)
        row[low + 1] += (target - row[low + 1]) * MAP_RATE * share


@kernel
def _code_sign(
    mode: int,
    bit: int,
    i: int,
    j: int,
    kind: int,
    band: Band,
    learned: Learned,
    tables: Tables,
    work: Work,
    state: UInt64s,
    words: UInt32s,
) -> tuple[int, float]:
    """Code a sign, 1 for negative, with a mixture of what the signs around it have shown."""
    y = i + PAD
    x = j + PAD
    own = band.own
    near = (kind * 3 + _sign(own[y, x - 1])) * 3 + _sign(own[y - 1, x])
    first = _sign(band.first[y, x])
    second = _sign(band.second[y, x])
    large = (1 if abs(band.first[y, x]) > 1 else 0) * 2 + (1 if abs(band.second[y, x]) > 1 else 0)
    parent = _sign(band.parent[(i >> 1) + PAD, (j >> 1) + PAD])
    beside = _sign(band.left[y, x]) * 3 + _sign(band.right[y, x])
    o = work.sign_contexts
    o[0] = near * 9 + 3 * _sign(own[y, x - 2]) + _sign(own[y - 2, x])
    o[1] = ((kind * 3 + first) * 3 + second) * 4 + large
    o[2] = near * 9 + 3 * _sign(own[y - 1, x - 1]) + _sign(own[y - 1, x + 1])
    o[3] = (kind * 3 + parent) * 9 + beside
    o[4] = near * 9 + 3 * first + second
    weights = learned.sign_weights[kind]
    odds = 0.0
    for k in range(SIGNS):
        o[k] += tables.sign_bases[k]
        work.sign_inputs[k] = tables.stretch[as_int(learned.signs[o[k]]) >> 20]
        odds += weights[k] * work.sign_inputs[k]
    chance = logistic(clip(odds, -MOST_ODDS, MOST_ODDS), tables.logistic)
    bit, spent = _code(mode, bit, _zero(chance), state, words)
    step = ((1.0 if bit else 0.0) - chance) * SIGN_RATE
    for k in range(SIGNS):
        learned.signs[o[k]] = np.uint32(_moved(as_int(learned.signs[o[k]]), bit, tables))
        weights[k] += step * work.sign_inputs[k]
    return bit, spent


@kernel
def _code_excess(
    mode: int,
    excess: int,
    kind: int,
    learned: Learned,
    tables: Tables,
    state: UInt64s,
    words: UInt32s,
) -> tuple[int, float]:
    """An excess of 0 or more by an Elias gamma code, whose length is learned."""
    value = as_int(excess) + 1
    length = 0
    while value >> (length + 1):
        length += 1
    spent = 0.0
    found = 0
    while found < ESCAPE_BITS:
        more = 1 if length > found else 0
        more, cost = _code_slot(mode, more, learned.escapes[kind], found, tables, state, words)
        spent += cost
        if more == 0:
            break
        found += 1
    result = as_int(1)
    for place in range(found - 1, -1, -1):
        bit = int((value >> place) & 1)
        bit, cost = _code(mode, bit, 1 << (CHANCE_BITS - 1), state, words)
        spent += cost
        result = 2 * result + bit
    return result - 1, spent


@kernel
def _smooth(own: Int32s, y: int, x: int) -> int:
    """The prediction of a coefficient of the smooth band."""
    left = as_int(own[y, x - 1])
    above = as_int(own[y - 1, x])
    if y == PAD:
        return left
    if x == PAD:
        return above
    return (left + above) >> 1


@kernel
def _choose(wanted: float, worth: float, learned: Learned, tables: Tables, work: Work) -> int:
    """The magnitude of the least sum of squared error and cost, of the nearest three or fewer.

    Args:
        wanted: magnitude of the coefficient, in steps.
        worth: squared error, in steps, that a bit may cost.
    """
    nearest = int(wanted + 0.5)
    if nearest == 0 or nearest >= DECISIONS:
        return nearest
    best = nearest
    least = 1e30
    spent = 0.0
    for d in range(nearest + 1):
        chance = clip(_mix(d, learned, tables, work), LEAST_CHANCE, 1.0 - LEAST_CHANCE)
        if nearest - d <= 2:
            bits = spent - math.log2(1.0 - chance) + (1.0 if d else 0.0)
            cost = (wanted - d) * (wanted - d) + worth * bits
            if cost < least:
                least = cost
                best = d
        spent -= math.log2(chance)
    return best


@kernel
def code_rows(
    mode: int,
    kind: int,
    level: int,
    first: int,
    rows: Int32s,
    wanted: Float32s,
    worth: float,
    band: Band,
    learned: Learned,
    tables: Tables,
    work: Work,
    state: UInt64s,
    words: UInt32s,
) -> float:
    """Write, read or count rows of a band; writing and counting may choose the coefficients.

    Args:
        mode: ENCODE, DECODE or TALLY.
        kind, level: of the band; colour * ORIENTATIONS + orientation, and 0 for the finest.
        first: row of the band.
        rows: (rows, width), coefficients in steps; receives them in a decoder, and if they are
            chosen.
        wanted: (rows, width), what they are chosen for; or (0, 0).
        worth: see `_choose`.
        band: receives the coefficients too.

    Returns:
        For TALLY, the information content in bits.
    """
    own = band.own
    smooth = kind % ORIENTATIONS == SMOOTH
    choosing = wanted.size > 0
    spent = 0.0
    for row in range(rows.shape[0]):
        i = first + row
        for j in range(rows.shape[1]):
            y = i + PAD
            x = j + PAD
            base = as_int(0)
            if smooth:
                base = as_int(_smooth(own, y, x))
            _look(i, j, kind, level, band, tables, work)
            _expect(kind, level, learned, tables, work)
            value = as_int(rows[row, j]) - base
            if choosing:
                target = float(wanted[row, j])
                if smooth:
                    value = as_int(math.floor(target + 0.5)) - base
                else:
                    value = as_int(_choose(abs(target), worth, learned, tables, work))
                    if target < 0.0:
                        value = -value
            magnitude = abs(value)
            d = as_int(0)
            while d < DECISIONS:
                chance = _mix(d, learned, tables, work)
                above = 1 if magnitude > d else 0
                above, cost = _code(mode, above, _zero(chance), state, words)
                spent += cost
                _learn(d, above, learned, tables, work)
                if above == 0:
                    break
                d += 1
            if d == DECISIONS:
                excess, cost = _code_excess(
                    mode, max(magnitude - d, 0), kind, learned, tables, state, words
                )
                spent += cost
                d += excess
            if d:
                bit = 1 if value < 0 else 0
                bit, cost = _code_sign(
                    mode, bit, i, j, kind, band, learned, tables, work, state, words
                )
                spent += cost
                value = -d if bit else d
            else:
                value = as_int(0)
            _improve(kind, level, d, learned, tables, work)
            value = min(max(base + value, -WIDEST), WIDEST)
            own[y, x] = np.int32(value)
            rows[row, j] = np.int32(value)
    return spent


@kernel
def code_empty(
    mode: int,
    empty: int,
    kind: int,
    learned: Learned,
    tables: Tables,
    state: UInt64s,
    words: UInt32s,
) -> tuple[int, float]:
    """Code whether all coefficients of a band are zero."""
    return _code_slot(mode, empty, learned.empty, kind, tables, state, words)
