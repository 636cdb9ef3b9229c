"""The coder of hfd's bands as docs/format.md describes it, one number at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noisepress.bitstream.bands import LESSON
from noisepress.bitstream.mixing import exact_tables

EDGES = (0, 1, 2, 3, 4, 5, 7, 9, 12, 16, 22, 30, 44, 64, 100, 160)
SIZES = (576, 1008, 1536, 6912, 24576, 12288, 8640, 12288, 14580, 21504, 4608)
DECISIONS = (20, 20, 6, 6, 6, 6, 6, 6, 6, 6, 20)
SIGN_SIZES = (972, 432, 972, 324, 972)
WHOLE = 2**24
Bit = tuple[int, list[int]]
Plane = NDArray[np.int64]


def clip(x: float, low: float, high: float) -> float:
    return min(max(x, low), high)


def logistic(x: float) -> float:
    table = exact_tables().logistic
    at = clip((x + 16) * 64, 0.0, 2047.5)
    return float(table[int(at)] + (table[int(at) + 1] - table[int(at)]) * (at - int(at)))


def size(n: int) -> float:
    return round(1024 * math.log2(1 + 2 * n)) / 1024


def class_of(n: int) -> int:
    return sum(edge <= n for edge in EDGES) - 1


def predicted_class(e: float) -> int:
    steps = 512 if e < 0.5 else 32
    x = (int(clip(e, 0.0, 7.9) * steps) + 0.5) / steps
    return 0 if x <= 0.002 else int(clip(round(4 * math.log2(x / 0.008)) + 4, 0, 47))


class Slots:
    """Probabilities of 22 bits, and counts."""

    def __init__(self, lesson: NDArray[Any]) -> None:
        self.p = [(e >> 4) * 1024 + 512 if e else 2**21 for e in lesson.ravel().tolist()]
        self.n = [e % 16 for e in lesson.ravel().tolist()]

    def stretched(self, at: int) -> float:
        return float(exact_tables().stretch[self.p[at] >> 10])

    def learn(self, at: int, bit: int) -> None:
        rate = round(65536 / (self.n[at] + 1.6))
        self.p[at] += ((bit * (2**22 - 1) - self.p[at]) * rate) >> 16
        self.n[at] = min(self.n[at] + 1, 255)


def coded(bit: int, chance: float) -> Bit:
    zero = int((1 - clip(chance, 1e-6, 1 - 1e-6)) * WHOLE)
    return bit, [0, zero, WHOLE]


def digits(*pairs: tuple[int, int]) -> int:
    """A number in mixed radix, of digits and the numbers of their values."""
    number = 0
    for digit, values in pairs:
        number = number * values + min(digit, values - 1)
    return number


class Twin:
    """All that is learned; `bits` codes the bands of one image in order."""

    def __init__(self) -> None:
        with np.load(LESSON) as file:
            parts = {name: file[name] for name in file.files}
        self.slots, self.signs, self.escapes, self.empty = (
            Slots(parts[name]) for name in ("slots", "signs", "escapes", "empty")
        )
        real = {name: parts[name] / 4096 for name in ("features", "weights", "final")}
        self.features, self.weights, self.final = real.values()
        self.sign_weights, self.maps = parts["sign_weights"] / 4096, parts["maps"] / 2**14
        self.weights[..., -1] = 50
        self.bands: dict[tuple[int, int, int], Plane] = {}

    def bits(self, level: int, orientation: int, plane: int, band: Plane) -> Iterator[Bit]:
        """The bits of a band (h, w), with the edges of their chances."""
        if not band.size:
            return
        kind = 4 * plane + orientation
        yield from self.single(self.empty, kind, int(not band.any()))
        if not band.any():
            return
        own = np.zeros(band.shape, np.int64)
        self.bands[level, orientation, plane] = own
        for i, j in np.ndindex(band.shape):
            base = 0
            if orientation == 3:
                left, up = int(own[i, j - 1]) if j else 0, int(own[i - 1, j]) if i else 0
                base = left if i == 0 else up if j == 0 else (left + up) >> 1
            yield from self.coefficient(kind, level, i, j, int(band[i, j]) - base)
            own[i, j] = band[i, j]

    def single(self, slots: Slots, at: int, bit: int) -> Iterator[Bit]:
        yield coded(bit, slots.p[at] / 2**22)
        slots.learn(at, bit)

    def coefficient(self, kind: int, level: int, i: int, j: int, value: int) -> Iterator[Bit]:
        plane, orientation = divmod(kind, 4)
        bands = self.bands

        def at(key: tuple[int, int, int], row: int, column: int) -> int:
            found = bands.get(key)
            if found is None or not (0 <= row < len(found) and 0 <= column < found.shape[1]):
                return 0
            return int(found[row, column])

        def seen(key: tuple[int, int, int], row: int, column: int) -> int:
            return min(abs(at(key, row, column)), 31)

        def four(key: tuple[int, int, int]) -> int:
            sides = ((0, -1), (0, 1), (-1, 0), (1, 0))
            return sum(seen(key, i + down, j + along) for down, along in sides)

        details = orientation != 3
        none = (-1, 0, 0)
        own, before, earlier = ((level, orientation, plane - back) for back in (0, 1, 2))
        parent = (level + 1, orientation, plane) if details else none
        first = (level, 0, plane) if details and orientation > 0 else none
        second = (level, 1, plane) if details and orientation > 1 else none
        w, ww, n, nn = (seen(own, i + a, j + b) for a, b in ((0, -1), (0, -2), (-1, 0), (-2, 0)))
        nw, ne = seen(own, i - 1, j - 1), seen(own, i - 1, j + 1)
        knight = ((-2, -1), (-2, 1), (-1, -2), (-1, 2))
        wide = sum(seen(own, i + a, j + b) for a, b in knight)
        y, x = i >> 1, j >> 1
        down, along = (1 if i % 2 else -1), (1 if j % 2 else -1)
        p, pv = seen(parent, y, x), seen(parent, y + down, x)
        ph, pd = seen(parent, y, x + along), seen(parent, y + down, x + along)
        behind = seen(parent, y - down, x) + seen(parent, y, x - along)
        c, cw, ce = (seen(before, i, j + b) for b in (0, -1, 1))
        cn, cs = seen(before, i - 1, j), seen(before, i + 1, j)
        corners = sum(seen(before, i + a, j + b) for a in (-1, 1) for b in (-1, 1))
        d, around_d = seen(earlier, i, j), four(earlier)
        f, around_f = seen(first, i, j), four(first)
        s, around_s = seen(second, i, j), four(second)

        sums = [w, n, nw, ne, ww, nn, wide, p, pv + ph, pd + behind, c, cw + ce + cn + cs, d]
        sums += [around_d, f + s, min(around_f + around_s, 127), corners]
        felt = [*map(size, sums), 0.5]
        row = 7 * kind + level
        expected = 0.0
        for k, of in enumerate(felt):
            expected += self.features[row, k] * of
        e = predicted_class(expected)

        near, far = class_of(2 * (w + n) + nw + ne), class_of(wide + 2 * (ww + nn))
        above = class_of(min(4 * p + 2 * (pv + ph) + pd, 255)) >> 1
        colour, other = class_of(4 * c + cw + ce + cn + cs), class_of(2 * d + around_d) >> 1
        left, right = class_of(2 * f + around_f) >> 1, class_of(2 * s + around_s) >> 1
        total = 2 * (w + n) + nw + ne + wide + 4 * p + pv + ph
        around = class_of(min((total + 2 * (f + s) + around_f + around_s) >> 1, 255))
        of_kind = (kind, 12)
        contexts = (
            digits(of_kind, (e, 48)),
            digits((level, 7), (c, 3), (e, 48)),
            digits(of_kind, (near, 16), (above, 8)),
            digits(of_kind, (w, 4), (n, 4), (nw, 3), (ne, 3), (ww, 2), (nn, 2)),
            digits(of_kind, (near, 16), (colour, 16), (other, 8)),
            digits(of_kind, (near, 16), (left, 8), (right, 8)),
            digits(of_kind, (p, 5), (pv, 3), (ph, 3), (pd, 2), (near >> 1, 8)),
            digits(of_kind, (far, 16), (near, 16), (above >> 1, 4)),
            digits(of_kind, (c, 5), (cw, 3), (ce, 3), (cn, 3), (cs, 3), (d, 3)),
            digits(of_kind, (level, 7), (around, 16), (colour, 16)),
            digits(of_kind, (w, 4), (n, 2), (e, 48)),
        )
        shade = 48 * min(plane, 1) + e
        rows, maps = (row, shade, 8 * (near >> 1) + above), (shade, 8 * near + above)
        magnitude = abs(value)
        for decision in range(20):
            bit = int(magnitude > decision)
            yield self.decide(contexts, rows, maps, decision, bit)
            if not bit:
                break
        if magnitude >= 20:
            yield from self.excess(kind, magnitude - 20)
        if magnitude:
            keys = (own, before, earlier, first, second, parent)
            yield from self.sign(kind, i, j, int(value < 0), keys, at)
        power = 1.0
        for of in felt:
            power += of * of
        step = 0.006 * (size(min(magnitude, 127)) - expected) / power
        for k, of in enumerate(felt):
            self.features[row, k] += step * of

    def decide(
        self,
        contexts: tuple[int, ...],
        rows: tuple[int, ...],
        maps: tuple[int, ...],
        decision: int,
        bit: int,
    ) -> Bit:
        starts = np.cumsum([0, *(a * b for a, b in zip(SIZES, DECISIONS, strict=True))])
        slots = [
            int(start) + context * most + min(decision, most - 1)
            for start, context, most in zip(starts, contexts, DECISIONS, strict=False)
        ]
        inputs = [*map(self.slots.stretched, slots), 0.3]
        capped = min(decision, 5)
        odds, outputs = 0.0, []
        for k, row in enumerate(rows):
            output = 0.0
            for weight, given in zip(self.weights[k, 6 * row + capped], inputs, strict=False):
                output += weight * given
            outputs.append(clip(output, -15.0, 15.0))
            odds += self.final[capped, k] * outputs[-1]
        odds = clip(odds, -15.0, 15.0)
        mixed = logistic(odds)
        point = clip(odds, -10.6, 10.6) * 1.5 + 16
        low, share = int(point), point - int(point)
        curves = [self.maps[k, 6 * row + capped] for k, row in enumerate(maps)]
        chance = 0.5 * mixed
        for curve in curves:
            chance += 0.25 * (curve[low] + (curve[low + 1] - curve[low]) * share)
        for at in slots:
            self.slots.learn(at, bit)
        for k, row in enumerate(rows):
            weights = self.weights[k, 6 * row + capped]
            rate = max(0.04 / (1 + weights[-1] * 0.02), 0.004)
            weights[-1] += 1
            step = (bit - logistic(outputs[k])) * rate
            for place, given in enumerate(inputs):
                weights[place] += step * given
            self.final[capped, k] += (bit - mixed) * 0.0005 * outputs[k]
        for curve in curves:
            curve[low] += (bit - curve[low]) * 0.015 * (1 - share)
            curve[low + 1] += (bit - curve[low + 1]) * 0.015 * share
        return coded(bit, chance)

    def excess(self, kind: int, excess: int) -> Iterator[Bit]:
        more = (excess + 1).bit_length() - 1
        for place in range(min(more + 1, 22)):
            yield from self.single(self.escapes, 22 * kind + place, int(place < more))
        for place in reversed(range(more)):
            yield (excess + 1) >> place & 1, [0, WHOLE // 2, WHOLE]

    def sign(self, kind: int, i: int, j: int, bit: int, keys: Any, at: Any) -> Iterator[Bit]:
        own, before, earlier, first, second, parent = keys

        def mark(key: Any, row: int, column: int) -> int:
            value = at(key, row, column)
            return 1 if value > 0 else 2 if value < 0 else 0

        w, n, ww = mark(own, i, j - 1), mark(own, i - 1, j), mark(own, i, j - 2)
        nn, nw, ne = mark(own, i - 2, j), mark(own, i - 1, j - 1), mark(own, i - 1, j + 1)
        c, d = mark(before, i, j), mark(earlier, i, j)
        large = [(int(abs(at(key, i, j)) > 1), 2) for key in (before, earlier)]
        left, right = mark(first, i, j), mark(second, i, j)
        p = mark(parent, i >> 1, j >> 1)
        near = ((kind, 12), (w, 3), (n, 3))
        contexts = (
            digits(*near, (ww, 3), (nn, 3)),
            digits((kind, 12), (c, 3), (d, 3), *large),
            digits(*near, (nw, 3), (ne, 3)),
            digits((kind, 12), (p, 3), (left, 3), (right, 3)),
            digits(*near, (c, 3), (d, 3)),
        )
        slots = [sum(SIGN_SIZES[:k]) + context for k, context in enumerate(contexts)]
        inputs = [self.signs.stretched(slot) for slot in slots]
        odds = 0.0
        for weight, given in zip(self.sign_weights[kind], inputs, strict=True):
            odds += weight * given
        chance = logistic(clip(odds, -15.0, 15.0))
        yield coded(bit, chance)
        step = (bit - chance) * 0.002
        for k, slot in enumerate(slots):
            self.signs.learn(slot, bit)
            self.sign_weights[kind, k] += step * inputs[k]
