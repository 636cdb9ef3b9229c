"""A decoder of codec `screen` in plain Python, written from docs/format.md and with its names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import count

from mixing_twin import LOGISTIC, STRETCH, Reader, clip, logistic, solution

M = 0x9E3779B97F4A7C15
LARGEST = (40, 20, 10, 7, 6, 5)
PAD, RIGHT = 16, 10
SHAPES = (
    ((4, 0), (2, 2), (1, 1)),
    ((4, 0), (3, 3), (2, 2)),
    ((6, 0), (4, 3), (3, 2), (1, 1)),
    ((3, 0), (3, 3), (3, 3), (2, 2)),
    ((8, 0), (6, 5)),
    ((2, 0), (2, 2), (2, 2), (2, 2), (1, 1)),
    ((5, 0), (5, 5), (5, 5), (3, 3)),
    ((7, 0), (7, 7), (6, 6), (5, 5), (4, 4)),
    ((1, 0), (1, 1), (1, 1), (1, 1), (1, 1), (1, 1), (1, 1)),
    ((16, 0), (3, 3)),
    ((4, 0), (3, 8), (2, 6)),
    ((10, 0), (10, 10), (10, 10), (8, 8), (7, 7), (5, 5)),
    ((6, 0), (6, 6), (6, 6), (6, 6), (6, 6), (6, 6), (6, 6)),
    ((3, 0), (2, 2)),
    ((5, 0), (4, 4), (4, 4), (3, 3), (2, 2)),
    ((12, 0), (10, 10), (10, 10), (10, 10), (8, 8), (6, 6), (4, 4)),
    ((7, 0), (6, 6), (5, 5), (4, 4), (2, 2)),
)
"""Of the contexts of pages, and of the two matches."""


def st(p: float) -> float:
    return STRETCH[min(int(4096 * p), 4095)]


def level(x: int) -> int:
    return min(max(x, 0), 255)


def mix(h: int, *values: int) -> int:
    for v in values:
        t = (h ^ v) * M % 2**64
        h = t ^ (t >> 32)
    return h


def top(h: int, b: int) -> int:
    return (h * M % 2**64) >> (64 - b)


History = tuple[int, int, int]


def histories() -> Iterator[History]:
    for total in range(46):
        for z in range(total + 1):
            o = total - z
            if min(z, o) <= 5 and max(z, o) <= LARGEST[min(z, o)]:
                yield from ((z, o, last) for last in ((0, 1) if z and o else (int(o > 0),)))


def follows(history: History, bit: int) -> History:
    z, o, _ = history
    s, t = (o, z) if bit else (z, o)
    s += 1
    if t > 2:
        t = 2 + (t - 2) // 3 if t < 12 else 5
    while min(s, t) > 5 or max(s, t) > LARGEST[min(s, t)]:
        s, t = (s - 1, t) if s > t else (s, t - 1)
    z, o = (t, s) if bit else (s, t)
    return z, o, bit if z and o else int(o > 0)


HISTORIES = list(histories())
NUMBERS = {history: number for number, history in enumerate(HISTORIES)}
NEXT = [[NUMBERS[follows(history, bit)] for bit in (0, 1)] for history in HISTORIES]
FIRST = [65536 * (5 * o + 2) // (5 * (z + o) + 4) / 65536 for z, o, _ in HISTORIES]
RATES = [round(2**16 / (n + 1.6)) for n in range(1024)]


class Decisions:
    """What is learned for pages, for candidates or for samples."""

    def __init__(
        self, pixels: int, contexts: int, largest: int, further: int, least: float
    ) -> None:
        self.contexts, self.least = contexts, least
        self.b = min(max(pixels.bit_length(), 12), largest)
        self.slots: dict[tuple[int, int], list[int]] = {}
        self.chances: dict[tuple[int, int, int], float] = {}
        self.first = [1.2 / contexts] * 2 * contexts + [0.1] * further + [0.0]
        self.weights: dict[tuple[int, int], list[float]] = {}
        self.updates: dict[tuple[int, int], int] = {}
        self.final: dict[int, list[float]] = {}
        self.maps: dict[tuple[int, int], list[float]] = {}

    def bit(
        self,
        reader: Reader,
        kind: int,
        node: int,
        hashes: Sequence[int],
        further: Sequence[float],
        rows: tuple[int, int, int],
        map_rows: tuple[int, int],
    ) -> int:
        slots, inputs, known = [], [], 0
        for context, h in enumerate(hashes):
            at = context, top(h ^ node, self.b)
            check = ((h ^ node) * M % 2**64 >> 20) % 256
            slot = self.slots.get(at, [2**21, 0, 0, 0])
            if slot[3] != check:
                slot = [2**21, 0, 0, check]
            self.slots[at] = slot
            slots.append(slot)
            known += slot[2] > 0
            q = self.chances.get((context, kind, slot[2]), FIRST[slot[2]])
            inputs += [STRETCH[slot[0] >> 10], st(q)]
        inputs += [*further, 0.3]
        places = [(0, rows[0] * (self.contexts + 1) + known), (1, rows[1]), (2, rows[2])]
        sets = [self.weights.setdefault(place, list(self.first)) for place in places]
        outputs = []
        for weights in sets:
            products = [w * x for w, x in zip(weights, inputs, strict=True)]
            outputs.append(clip(added(products[::2]) + added(products[1::2]), -15.0, 15.0))
        final = self.final.setdefault(kind, [1 / 3] * 3)
        odds = clip(added([w * x for w, x in zip(final, outputs, strict=True)]), -15.0, 15.0)
        f = logistic(odds)
        y = clip(odds, -10.6, 10.6) * 1.5 + 16
        i = int(y)
        t = y - i
        p = 0.5 * f
        maps = [self.maps.setdefault(at, first_map()) for at in enumerate(map_rows)]
        for points in maps:
            p += 0.25 * (points[i] + (points[i + 1] - points[i]) * t)
        x = reader.bit(int((1 - clip(p, 1e-6, 1 - 1e-6)) * 2**24))
        for context, slot in enumerate(slots):
            key = context, kind, slot[2]
            q = self.chances.get(key, FIRST[slot[2]])
            self.chances[key] = q + (x - q) * 0.02
            slot[0] += ((x * (2**22 - 1) - slot[0]) * RATES[slot[1]]) >> 16
            slot[1] = min(slot[1] + 1, 1023)
            slot[2] = NEXT[slot[2]][x]
        for place, weights, output in zip(places, sets, outputs, strict=True):
            u = self.updates.get(place, 0)
            self.updates[place] = u + 1
            step = (x - logistic(output)) * max(0.04 / (1 + u * 0.02), self.least)
            for k, value in enumerate(inputs):
                weights[k] += step * value
        for k, output in enumerate(outputs):
            final[k] += (x - f) * 0.002 * output
        for points in maps:
            points[i] += (x - points[i]) * 0.02 * (1 - t)
            points[i + 1] += (x - points[i + 1]) * 0.02 * t
        return x


def added(values: Iterable[float]) -> float:
    total = 0.0
    for value in values:
        total += value
    return total


def first_map() -> list[float]:
    return [LOGISTIC[1024 + int((i - 16) / 1.5 * 64)] for i in range(33)]


class Match:
    def __init__(self) -> None:
        self.table: dict[int, int] = {}
        self.place = self.length = 0
        self.chances: dict[tuple[int, int], float] = {}

    def look_up(self, h: int) -> None:
        self.h = h
        if not self.place:
            self.place = self.table.get(top(h, 18), 0)
            self.length = 0

    @property
    def key(self) -> int:
        return self.length if self.length < 16 else min(14 + self.length // 8, 63)

    def inputs(self, kind: int, expected: int | None) -> list[float]:
        if expected is None:
            return [0.0, 0.0]
        c = self.chances.get((kind, self.key), 1 - 1 / (2 * self.key + 3))
        sign = 1 if expected else -1
        return [sign * st(c), sign * (4 * (c - 0.5))]

    def learn(self, kind: int, expected: int | None, x: int) -> None:
        if expected is not None:
            c = self.chances.get((kind, self.key), 1 - 1 / (2 * self.key + 3))
            self.chances[kind, self.key] = c + ((expected == x) - c) * 0.01

    def follow(self, was_right: bool, own: int) -> None:
        if self.place:
            self.place = self.place + 1 if was_right else 0
            self.length += was_right
        self.table[top(self.h, 18)] = own


class Image:
    """Pixels with zeros around them, and the matches."""

    def __init__(self, height: int, width: int, above: int) -> None:
        self.height, self.width, self.above = height, width, above
        self.stride = width + PAD
        self.pixels = [0] * ((height + above) * self.stride + 2 * PAD)
        self.matches = Match(), Match()

    def place(self, y: int, x: int) -> int:
        return (y + self.above) * self.stride + PAD + x

    def at(self, y: int, x: int) -> int:
        inside = 0 <= x < self.width and y >= 0
        return self.pixels[self.place(y, x)] if inside else 0

    def expected(self) -> list[int | None]:
        return [self.pixels[match.place] if match.place else None for match in self.matches]

    def put(self, y: int, x: int, pixel: int) -> None:
        for match, expected in zip(self.matches, self.expected(), strict=True):
            match.follow(expected == pixel, self.place(y, x))
        self.pixels[self.place(y, x)] = pixel

    def rows(self) -> list[list[int]]:
        starts = (self.place(y, 0) for y in range(self.height))
        return [self.pixels[start : start + self.width] for start in starts]


def decode_page(data: bytes, height: int, width: int) -> list[list[int]]:
    """The bits of a page, (h, w)."""
    reader, image = Reader(data), Image(height, width, 7)
    decisions = Decisions(height * width, 15, 20, 4, 0.002)
    for y in range(height):
        for match in image.matches:
            match.place = 0
        for x in range(width):
            numbers = [shape_hash(image, y, x, number) for number in range(1, 18)]
            for match, h in zip(image.matches, numbers[15:], strict=True):
                match.look_up(h)
            expected = image.expected()
            further = []
            for match, bit in zip(image.matches, expected, strict=True):
                further += match.inputs(0, bit)
            around = ((0, -1), (0, -2), (-1, 1), (-1, 0), (-1, -1), (-2, 0))
            near = sum(image.at(y + i, x + j) << k for k, (i, j) in enumerate(around))
            first, e = image.matches[0], expected[0]
            length = 0 if e is None else 1 + min(first.length, 15) // 4 + 4 * e
            map_rows = numbers[0] >> 52, 9 * near + length
            bit = decisions.bit(reader, 0, 0, numbers[:15], further, (0, near, length), map_rows)
            for match, was in zip(image.matches, expected, strict=True):
                match.learn(0, was, bit)
            image.put(y, x, bit)
    return image.rows()


def shape_hash(image: Image, y: int, x: int, number: int) -> int:
    h = number
    for up, (left, right) in enumerate(SHAPES[number - 1]):
        bits = 0
        for column in range(x - left, x + right + (up > 0)):
            bits = 2 * bits + image.at(y - up, column)
        h = mix(h, bits << (RIGHT - right if up else 0))
    return h


class PixelDecoder:
    """Pixels of any colour: the samples of each as a number."""

    def __init__(self, data: bytes, height: int, width: int, channels: int) -> None:
        self.reader, self.image = Reader(data), Image(height, width, 3)
        self.channels = channels
        self.candidates = Decisions(height * width, 12, 16, 4, 0.005)
        self.samples = Decisions(height * width, 12, 20, 5, 0.005)
        self.recent: dict[int, tuple[int, int]] = {}
        self.found: dict[tuple[int, int], int] = {}
        self.errors: dict[tuple[int, int, int], float] = {}
        self.fits = [Fit(6 + 4 * c) for c in range(channels)]

    def decode(self) -> list[list[int]]:
        for y in range(self.image.height):
            for match in self.image.matches:
                match.place = 0
            for x in range(self.image.width):
                self.pixel(y, x)
        return self.image.rows()

    def pixel(self, y: int, x: int) -> None:
        def at(i: int, j: int) -> int:
            return self.image.at(y + i, x + j)

        W, WW, WWW, N, NN, NNN = at(0, -1), at(0, -2), at(0, -3), at(-1, 0), at(-2, 0), at(-3, 0)
        NE, NW, NEE, NWW = at(-1, 1), at(-1, -1), at(-1, 2), at(-1, -2)
        NNE, NNW = at(-2, 1), at(-2, -1)
        nearest = mix(1, W, N)
        wide = mix(nearest, NW, NE, WW, NN)
        wider = mix(wide, NNE, NWW, NEE, WWW, NNW, NNN)
        more_left = [at(0, -4), at(0, -5), at(0, -6)]
        above = [
            at(-up, j) for up, side in ((1, 5), (2, 3), (3, 1)) for j in range(-side, side + 1)
        ]
        widest = mix(wider, *more_left, *above)
        for match, h in zip(self.image.matches, (widest, wider), strict=True):
            match.look_up(h)
        expected = self.image.expected()
        last, check = self.recent.get(top(wide, 16), (0, 0))
        recent = last if check == wide * M % 2**32 else None
        sources: dict[int, int] = {}
        for i, pixel in enumerate((*expected, recent, W, N, NE, NW)):
            if pixel is not None and (pixel in sources or len(sources) < 4):
                sources[pixel] = sources.get(pixel, 0) | 1 << i
        pairs = [(W, N), (W, NW), (N, NW), (N, NE), (W, WW), (N, NN), (W, NE), (NW, NWW)]
        alike = sum((a == b) << k for k, (a, b) in enumerate(pairs))
        pairs += [(NN, NNE), (NE, NEE), (NE, NNE), (NW, NNW)]
        pairs += [(WW, WWW), (WW, NWW), (NN, NNN), (W, NN)]
        more = sum((a == b) << k for k, (a, b) in enumerate(pairs))
        places = ((0, -1), (-1, 0), (-1, 1), (-1, -1), (0, -2), (-2, 0), (0, -3), (-1, 2), (0, -4))
        further_found = 0
        for k, (i, j) in enumerate(places):
            further_found |= self.found.get((y + i, x + j), 0) << 3 * k
        near, far = further_found % 2**9, further_found % 2**15
        first, second = self.image.matches
        lengths = 16 * min(first.length, 15) + min(second.length, 15)
        length = 0
        if first.place:
            length = 1 + min(first.length, 31) // 8
        elif second.place:
            length = 5 + min(second.length, 15) // 4
        listed = list(sources)
        second_candidate = listed[1] if len(listed) > 1 else 0
        chosen = None
        for a, candidate in enumerate(listed):
            s = sources[candidate]
            v = (a + 1) | 256 * s
            u = mix(v, sources[listed[1]]) if a == 0 and len(listed) > 1 else v
            hashes = [
                mix(v, nearest, 1),
                mix(v, wide, 2),
                mix(v, N, NN, 3),
                mix(u, alike, 4),
                mix(u, more, 5),
                mix(u, far, 6),
                mix(u, further_found, 7),
                mix(v, candidate, W, 8),
                mix(v, listed[0], second_candidate, 9),
                mix(u, lengths, 10),
                mix(v, widest, 11),
                mix(u, 512 * alike | near, 12),
            ]
            bits = [None if pixel is None else int(pixel == candidate) for pixel in expected]
            inputs = []
            for match, bit in zip(self.image.matches, bits, strict=True):
                inputs += match.inputs(a, bit)
            rows = a, 128 * a | s, 256 * a | alike
            map_rows = 256 * a | alike, 9 * (128 * a | s) + length
            x_bit = self.candidates.bit(self.reader, a, 0, hashes, inputs, rows, map_rows)
            for match, bit in zip(self.image.matches, bits, strict=True):
                match.learn(a, bit, x_bit)
            if x_bit:
                chosen = candidate
                break
        pixel = chosen
        if pixel is None:
            pixel = self.coded(y, x, (W, N, NW, NE, WW, NN), nearest, wide)
        equal = [k for k, other in enumerate((W, N, NE, NW), 1) if pixel == other]
        self.found[y, x] = equal[0] if equal else 6 if chosen is None else 5
        self.recent[top(wide, 16)] = pixel, wide * M % 2**32
        self.image.put(y, x, pixel)

    def coded(self, y: int, x: int, around: tuple[int, ...], nearest: int, wide: int) -> int:
        pixel = 0
        for c in range(self.channels):
            pixel |= self.sample(c, pixel, around, nearest, wide) << 8 * c
        return pixel

    def sample(self, c: int, pixel: int, around: tuple[int, ...], nearest: int, wide: int) -> int:
        def of(number: int, channel: int) -> int:
            return number >> 8 * channel & 255

        W, N, _, NE, _, _ = around
        w, n, nw, ne, ww, nn = (of(each, c) for each in around)
        own = of(pixel, c - 1) if c else 0
        dw, dn, dnw, dne = (own - of(each, c - 1) if c else 0 for each in around[:4])
        middle = sorted((w, n, w + n - nw))[1]
        if c == 0:
            p2 = level(w + ((ne - nw) >> 1))
        else:
            dark, bright = (choose(around, key=lambda each: of(each, 0)) for choose in (min, max))
            d, b, e, g = of(dark, 0), of(bright, 0), of(dark, c), of(bright, c)
            k = of(pixel, 0)
            p2 = level(e + (2 * (g - e) * (k - d) + b - d) // (2 * (b - d)) if b > d else e + k - d)
        base = 0.5 * (w + n)
        regressors = [each - base for each in (w, n, nw, ne, ww, nn)]
        for earlier in range(c):
            lw, ln, lnw, lne = (of(each, earlier) for each in around[:4])
            middle_of = 0.5 * (lw + ln)
            regressors += [each - middle_of for each in (of(pixel, earlier), lw, lnw, lne)]
        p4 = self.fits[c].predict(base, regressors)
        predictions = (
            level(w + n - nw + dw + dn - dnw),
            (w + n + dw + dn + 1) >> 1,
            p2,
            middle + dn,
            p4,
        )
        rough = (abs(w - nw) + abs(n - nw) + abs(n - ne)).bit_length()
        if c:
            rough += 10 * min(-(-abs(dw).bit_length() // 2), 4)
        errors = [self.errors.get((c, k, rough), 8.0) for k in range(5)]
        v, u = mix(pixel, c + 100), c + 77
        hashes = [
            mix(v, 1),
            mix(v, W, 2),
            mix(v, N, 3),
            mix(v, wide, 4),
            mix(v, mix(nearest, NE), 5),
            mix(u, 256 * level(w + dw) | level(n + dn), 6),
            mix(u, predictions[0], 7),
            mix(u, ((w + ne + dw + dne + 1) >> 1) + 512, 8),
            mix(u, 256 * level(2 * n - nn) | level(2 * w - ww), 9),
            mix(u, 256 * middle | ne, 10),
            mix(u, p2, 11),
            mix(u, 256 * w | n, 12),
        ]
        node = 1
        for i in range(7, -1, -1):
            a = 2 ** (i + 1) * node - 256
            further = []
            for p, e_k in zip(predictions, errors, strict=True):
                h, m = 1 / max(e_k * 0.6, 0.12), -0.5 - p
                A = logistic((a + m) * h) if a else 0.0
                B = logistic((a + 2**i + m) * h)
                C = logistic((a + 2 ** (i + 1) + m) * h) if a + 2 ** (i + 1) < 256 else 1.0
                further.append(st((C - B + 1e-6) / (C - A + 2e-6)))
            rows = c, 256 * c + node, 8 * c + i
            map_rows = 256 * c + node, (8 * c + i) * 64 + rough
            bit = self.samples.bit(self.reader, c, node, hashes, further, rows, map_rows)
            node = 2 * node + bit
        x = node - 256
        self.fits[c].learn(x - base, regressors, errors[4])
        for k, p in enumerate(predictions):
            self.errors[c, k, rough] = errors[k] + (abs(x - p) - errors[k]) * 0.03
        return x


class Fit:
    """The least squares of a channel."""

    def __init__(self, size: int) -> None:
        self.products = [[0.0] * size for _ in range(size)]
        self.targets, self.coefficients = [0.0] * size, [0.0] * size
        self.counted = count()

    def predict(self, base: float, regressors: Sequence[float]) -> float:
        done = next(self.counted)
        if done and done % 8 == 0:
            a = [list(row) for row in self.products]
            for k, row in enumerate(a):
                row[k] += 1.0
            self.coefficients = solution(a, list(self.targets), self.coefficients)
        value = base
        for regressor, coefficient in zip(regressors, self.coefficients, strict=True):
            value += regressor * coefficient
        return clip(value, 0.0, 255.0)

    def learn(self, target: float, regressors: Sequence[float], error: float) -> None:
        weight = 1 / (error * error + 1)
        for k, regressor in enumerate(regressors):
            g = weight * regressor
            self.targets[k] = self.targets[k] * 0.998 + g * target
            for other in range(k, len(regressors)):
                product = self.products[k][other]
                self.products[k][other] = product * 0.998 + g * regressors[other]
