"""A decoder of online mixing in plain Python, written from docs/format.md and with its names.

It stands in for `bitstream.mixing.Mixer` and a coder in `codec.ardm.lattice`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noisepress.bitstream.binary import Even
from noisepress.bitstream.entropy import Ints, LogisticMixture
from noisepress.bitstream.mixing import BYTE, Depth, Earlier, Neighbourhood

Table = list[float]
Key = tuple[int, int]


def rounded(values: NDArray[np.float64], bits: int) -> Table:
    table: Table = (np.rint(values * 2.0**bits) / 2.0**bits).tolist()
    return table


LOG = rounded(np.log1p(np.arange(2050) / 2048), 32)
LOGISTIC = rounded(1 / (1 + np.exp(16 - np.arange(2049) / 64)), 34)
_P = (np.arange(4096) + 0.5) / 4096
STRETCH = rounded(np.log(_P / (1 - _P)), 28)
WEIGHTS = rounded(2 ** (-np.arange(513) / 32), 34)
INVERSE = rounded(2 ** (-(np.arange(177) - 48) / 16), 30)
POWER = rounded(2 ** (4 - np.arange(418) / 64), 30)
RATES = [int(rate) for rate in rounded(2**16 / (np.arange(64) + 1.6), 0)]
FIRST_WEIGHTS = [0.1, 0.25, 0.3, 0.1, 0.1, 0.03, 0.03]


def clip(x: float, low: float, high: float) -> float:
    return min(max(x, low), high)


def between(table: Table, x: float) -> float:
    i = int(x)
    return table[i] + (table[i + 1] - table[i]) * (x - i)


def logistic(x: float) -> float:
    return between(LOGISTIC, clip((x + 16) * 64, 0.0, 2047.5))


def ln(x: float) -> float:
    mantissa, exponent = math.frexp(x)
    r = (2 * mantissa - 1) * 2048
    i = int(r)
    return (exponent - 1) * 0.6931471805599453 + LOG[i] + (LOG[i + 1] - LOG[i]) * (r - i)


def magnitude_class(x: float) -> int:
    return sum(limit <= x for limit in (0.25, 0.5, 0.9, 1.4, 2.1, 3.2, 5, 9))


def hashed(*values: int) -> int:
    state = values[0]
    for value in values[1:]:
        state = (state + value) * 0x9E3779B97F4A7C15 % 2**64
    return state


class Reader:
    """The range coder's reader of bits, as a coder of `Lattice`."""

    def __init__(self, data: bytes) -> None:
        padded = data + bytes(-len(data) % 4)
        self.words = np.frombuffer(padded, "<u4").tolist()[::-1]
        self.size = 2**64 - 1
        self.offset = self.word() * 2**32 + self.word()

    def word(self) -> int:
        return self.words.pop() if self.words else 0

    def bit(self, z: int) -> int:
        unit = self.size >> 24
        assert self.offset < unit * 2**24
        bit = int(self.offset >= unit * z)
        self.offset -= unit * z * bit
        self.size = unit * (2**24 - z if bit else z)
        if self.size < 2**32:
            self.size, self.offset = self.size * 2**32, self.offset * 2**32 + self.word()
        return bit

    def code(self, _: Ints | None, model: Even | TwinRows) -> Ints:
        if isinstance(model, TwinRows):
            return np.array(model.decode(self), np.int32)
        found = [
            int("".join(str(self.bit(2**23)) for _ in range(model.bits)), 2)
            for _ in range(model.count)
        ]
        return np.array(found, np.int32)


class Memory:
    def __init__(self, c: int, size: int) -> None:
        self.bias, self.bias_power = [0.0] * (5 + c), [0.001] * (5 + c)
        self.gain, self.gain_power = [0.0] * (7 + 2 * c), [0.001] * (7 + 2 * c)
        self.products, self.targets = [[0.0] * size for _ in range(size)], [0.0] * size
        rows = 47 * 16
        self.weights = [[FIRST_WEIGHTS + [0.0] * 8 for _ in range(rows)] for _ in range(4)]
        self.updates = [[0] * rows for _ in range(4)]
        self.final = [[1 / 4] * 4 for _ in range(47)]
        row = [LOGISTIC[int(64 * (min(b / 2 - 15, 15) + 16))] for b in range(62)]
        self.maps = [[list(row) for _ in range(rows)] for _ in range(2)]


class TwinMixer:
    def __init__(
        self,
        channels: int,
        phases: Sequence[Neighbourhood],
        depth: Depth = BYTE,
        earlier: Earlier | None = None,
    ) -> None:
        self.channels, self.phases = channels, phases
        self.shift, self.grain = depth.shift, 2.0**-depth.shift
        self.grey_levels = ((depth.values - 1) >> depth.shift) + 1
        self.memories = [
            [
                Memory(
                    c,
                    len(phase.nearest)
                    + len(phase.further)
                    + c * len(phase.others)
                    + (18 + 5 * c if earlier else 0)
                    + 2,
                )
                for c in range(channels)
            ]
            for phase in phases
        ]
        self.recent = [[dict[int, list[Any]]() for _ in range(2)] for _ in range(channels)]
        self.counts = [[dict[int, list[int]]() for _ in range(7)] for _ in range(channels)]
        self.frames: list[NDArray[Any]] = []
        self.errors: dict[int, NDArray[np.float32]] = {}
        self.finest: list[list[Memory]] | None = None
        self.magnitudes: NDArray[np.float32] | None = None
        self.coarser: NDArray[np.float32] | None = None

    def finish_frame(self, samples: NDArray[Any]) -> None:
        self.frames = [samples, *self.frames[:1]]
        self.magnitudes = None

    def start_level(self, level: int, height: int, width: int) -> None:
        self.coarser = self.magnitudes
        self.level, self.then = level, self.errors.get(level)
        if self.coarser is None:
            shape = (self.channels, -(-height // 2), -(-width // 2))
            self.coarser = np.full(shape, 8.0, np.float32)
        self.magnitudes = np.zeros((self.channels, height, width), np.float32)
        self.errors[level] = self.magnitudes
        if self.frames:
            if self.finest is None:
                self.coarse, self.finest = self.memories, deepcopy(self.memories)
            self.memories = self.coarse if level else self.finest
            return
        for memory in (memory for row in self.memories for memory in row):
            memory.products = [[0.1 * x for x in row] for row in memory.products]
            memory.targets = [0.1 * x for x in memory.targets]

    def block(self, top: int, left: int, even: NDArray[Any]) -> TwinBlock:
        assert self.magnitudes is not None and self.coarser is not None
        rows, columns = even.shape[:2]
        target = self.magnitudes[:, top : top + 2 * rows, left : left + 2 * columns]
        coarser = self.coarser[:, top // 2 : top // 2 + rows, left // 2 : left // 2 + columns]
        step = 2**self.level
        window = np.s_[top : top + target.shape[1], left : left + target.shape[2]]
        frames = [np.moveaxis(frame[::step, ::step][window], 2, 0) for frame in self.frames]
        then = self.then[:, *window] if self.frames and self.then is not None else None
        return TwinBlock(self, np.moveaxis(even, 2, 0), coarser, target, frames, then)


class Grid:
    """Numbers by place, with a rule for those that are not set."""

    def __init__(self, rule: Callable[[int, int], float]) -> None:
        self.rule, self.known = rule, dict[Key, float]()

    def __getitem__(self, at: Key) -> float:
        return self.known[at] if at in self.known else self.rule(*at)

    def __setitem__(self, at: Key, value: float) -> None:
        self.known[at] = value


def zeros() -> Grid:
    return Grid(lambda _, __: 0.0)


class TwinBlock:
    def __init__(
        self,
        mixer: TwinMixer,
        even: NDArray[Any],
        coarser: NDArray[np.float32],
        target: NDArray[np.float32],
        frames: list[NDArray[Any]],
        then: NDArray[np.float32] | None,
    ) -> None:
        self.mixer, self.target = mixer, target
        self.height, self.width = target.shape[1:]

        def grid(known: NDArray[Any], factor: float, scale: int) -> Grid:
            def rule(y: int, x: int) -> float:
                y, x = min(max(y, 0), self.height - 1), min(max(x, 0), self.width - 1)
                return factor * float(known[y // scale, x // scale])

            return Grid(rule)

        self.samples = [grid(plane, mixer.grain, 2) for plane in even]
        self.magnitudes = [grid(plane, 0.8, 2) for plane in coarser]
        self.frames = [[grid(plane, mixer.grain, 1) for plane in frame] for frame in frames]
        self.then = [grid(plane, 1.0, 1) for plane in then] if then is not None else None

    def phase(self, index: int) -> Callable[[int, int, LogisticMixture], TwinRows]:
        channels = range(self.mixer.channels)
        residuals, surprises = [zeros() for _ in channels], [zeros() for _ in channels]
        planes = [TwinPlane(self, index, c, residuals, surprises) for c in channels]
        return lambda channel, first, mixture: TwinRows(planes[channel], first, mixture)

    def finish(self) -> None:
        for plane, magnitudes in zip(self.target, self.magnitudes, strict=True):
            for y, x in np.ndindex(*plane.shape):
                plane[y, x] = magnitudes[y, x]


def solution(a: list[Table], t: Table, before: Table) -> Table:
    size = len(t)
    c = [list(row) for row in a]
    t = list(t)
    for j in range(size):
        for k in range(j):
            for i in range(j, size):
                c[j][i] = c[j][i] - c[k][j] * c[k][i]
        if not c[j][j] > 1e-9:
            return before
        q = 1 / math.sqrt(c[j][j])
        for i in range(j, size):
            c[j][i] = c[j][i] * q
    for k in range(size):
        t[k] = t[k] / c[k][k]
        for i in range(k + 1, size):
            t[i] = t[i] - t[k] * c[k][i]
    f = [0.0] * size
    for i in reversed(range(size)):
        v = t[i]
        for k in range(i + 1, size):
            v = v - c[i][k] * f[k]
        f[i] = v / c[i][i]
    return f


def product(f: Table, u: Table) -> float:
    even = odd = 0.0
    for k in range(0, len(f), 2):
        even += f[k] * u[k]
    for k in range(1, len(f), 2):
        odd += f[k] * u[k]
    return even + odd


def total(values: Any) -> float:
    """A sum from 0 on, one after the other; `sum` may compensate for rounding."""
    out = 0.0
    for value in values:
        out += value
    return out


class TwinPlane:
    def __init__(
        self,
        block: TwinBlock,
        index: int,
        channel: int,
        residuals: list[Grid],
        surprises: list[Grid],
    ) -> None:
        self.block, self.c = block, channel
        self.phase = block.mixer.phases[index]
        self.memory = block.mixer.memories[index][channel]
        self.residuals, self.surprises = residuals, surprises
        self.e, self.f = zeros(), [zeros() for _ in range(3)]

        self.columns = (block.width - self.phase.column + 1) // 2
        size = len(self.memory.targets)
        runs = range(-(-self.columns // 24))
        self.local = [([[0.0] * size for _ in range(size)], [0.0] * size) for _ in runs]
        self.fits = [[0.0] * (size - 1) + [1.0] for _ in range(2)]

    def row(self, reader: Reader, i: int, first: int, mixture: LogisticMixture) -> list[int]:
        memory, size, local = self.memory, len(self.memory.targets), self.local
        out: list[int] = []
        for run in range(len(local)):
            if i or run:
                self.fit(run, local)
            sums = [[0.0] * size for _ in range(size)], [0.0] * size
            for j in range(24 * run, min(self.columns, 24 * run + 24)):
                n = (i - first) * self.columns + j
                parts = mixture.logits[n], mixture.locations[n], mixture.scales[n]
                out.append(self.sample(reader, i, j, parts, sums))
            for k in range(size):
                for m in range(k, size):
                    new = sums[0][k][m]
                    local[run][0][k][m] = local[run][0][k][m] * 0.9 + new
                    memory.products[k][m] = memory.products[k][m] * 0.998 + new
                local[run][1][k] = local[run][1][k] * 0.9 + sums[1][k]
                memory.targets[k] = memory.targets[k] * 0.998 + sums[1][k]
        return out

    def fit(self, run: int, local: list[tuple[list[Table], Table]]) -> None:
        memory, size = self.memory, len(self.memory.targets)
        a = [[0.001 * x for x in row] for row in memory.products]
        t = [0.001 * x for x in memory.targets]
        for near in (run, run - 1, run + 1):
            if 0 <= near < len(local):
                a = [
                    [x + y for x, y in zip(*rows, strict=True)]
                    for rows in zip(a, local[near][0], strict=True)
                ]
                t = [x + y for x, y in zip(t, local[near][1], strict=True)]
        for k in range(size):
            a[k][k] += 0.1
        t[-1] += 0.1
        self.fits[0] = solution(a, t, self.fits[0])
        if run % 2 == 0:
            a, t = [list(row) for row in memory.products], list(memory.targets)
            for k in range(size):
                a[k][k] += 0.1
            t[-1] += 0.1
            self.fits[1] = solution(a, t, self.fits[1])

    def sample(
        self,
        reader: Reader,
        i: int,
        j: int,
        mixture: tuple[Ints, Ints, Ints],
        sums: tuple[list[Table], Table],
    ) -> int:
        c, memory, phase = self.c, self.memory, self.phase
        grain, top, shift = (
            self.block.mixer.grain,
            self.block.mixer.grey_levels,
            self.block.mixer.shift,
        )
        y, x = phase.row + 2 * i, phase.column + 2 * j
        samples, big_m = self.block.samples, self.block.magnitudes[c]
        # Predictions
        logits, locations, scales = (part.tolist() for part in mixture)
        w = [WEIGHTS[min(max(logits) - one, 512)] for one in logits]
        m = [one / 16 * grain for one in locations]
        a = [min(max(one, -48), 128) + 48 for one in scales]
        v = [INVERSE[one] for one in a]
        t = 1 / total(w)
        mean = total(p * q for p, q in zip(w, m, strict=True)) * t
        spread = total(p * q for p, q in zip(w, a, strict=True)) * t
        scale = 1 / between(INVERSE, min(spread, 176 - 0.001))
        w = [one * t for one in w]
        components = range(len(w))
        own = [*phase.nearest, *phase.further]
        r = len(phase.nearest)
        u: Table = []
        base = 0.0
        for q in range(c, -1, -1):
            level = total(samples[q][y + p, x + o] for p, o in phase.nearest) * (1 / r)
            if q == c:
                base = level
            u += [samples[q][y + p, x + o] - level for p, o in (own if q == c else phase.others)]
        cross = ((0, 0), (0, 1), (1, 0), (0, -1), (-1, 0))
        wider = (*cross, (-1, -1), (-1, 1), (1, -1), (1, 1), (0, 2), (0, -2), (2, 0), (-2, 0))
        big_q = self.block.frames
        if big_q:
            for q in range(c, -1, -1):
                level = total(samples[q][y + p, x + o] for p, o in phase.nearest) * (1 / r)
                u += [big_q[0][q][y + p, x + o] - level for p, o in (wider if q == c else cross)]
        if len(big_q) > 1:
            u += [big_q[1][c][y + p, x + o] - base for p, o in cross]
        u += [0.0] * (len(memory.targets) - 2 - len(u))
        u += [1.0, mean - base]
        e, limit = self.e, 4 * scale + 2
        s = self.surprises[c]
        p = [0.25 * scale]
        p += [
            clip(e[at], -limit, limit)
            for at in ((i, j - 1), (i - 1, j), (i - 1, j - 1), (i - 1, j + 1))
        ]
        places = ((i, j - 1), (i - 1, j), (i - 1, j - 1), (i - 1, j + 1), (i, j - 2), (i - 2, j))
        g = [1.0, *(s[at] for at in places)]
        for q in range(c):
            p.append(self.residuals[q][i, j])
            other = self.surprises[q]
            g += [other[i, j], (other[i + 1, j] + other[i, j + 1]) * 0.5]
        big_b = total(f * h for f, h in zip(memory.bias, p, strict=True))
        gain = clip(total(f * h for f, h in zip(memory.gain, g, strict=True)), -4.0, 2.5)
        z = between(POWER, (gain + 4.0) * 64)
        wide = scale / z
        reach = 6 * scale + 4
        big_p = [mean + clip(product(f, u) + base - mean, -reach, reach) for f in self.fits]
        big_p.append(mean + big_b)
        errors = [
            2 * (f[i, j - 1] + f[i - 1, j]) + f[i - 1, j - 1] + f[i - 1, j + 1] + f[i, j - 2]
            for f in self.f
        ]
        b = [1 / (one + 0.5) for one in errors]
        b = [one * one for one in b]
        best = total(f * h for f, h in zip(b, big_p, strict=True)) / total(b)
        least = min(errors)
        if self.block.then is not None:
            big_o = self.block.then[c]
            then = 2 * big_o[y, x] + total(big_o[y + f, x + h] for f, h in phase.nearest)
            least = least + 0.4 * (then * (7 / (2 + r)) - least)
        around = 2 * (big_m[y, x - 2] + big_m[y - 2, x])
        around += big_m[y - 2, x - 2] + big_m[y - 2, x + 2] + big_m[y, x - 4]
        beside = total(big_m[y + f, x + h] for f, h in phase.nearest)
        typical = (around + 2.8 * wide) * 0.0667 + 0.03
        t_beside = (beside + 2.8 * wide) * (0.6 / (r + 2)) + 0.03
        t_least = (least + 2.8 * wide) * 0.0667 + 0.03
        start = int(clip(math.floor(best + 0.5), 1, top - 1))
        unit = min(wide, t_least)
        halves = min(31, int(2.2 * unit)) if 1.1 * unit > 1 else 0
        fraction = int(clip(math.floor((best - start) * 8) + 8, 0, 15))
        # Contexts
        before = int(samples[0][y, x]) if c > 0 else 0
        middle = int(samples[1][y, x]) if c > 1 else 0
        error = self.residuals[c - 1][i, j] if c > 0 else 0.0
        miss = math.floor(error + 0.5)
        near_by = [int(samples[c][y + f, x + h]) for f, h in own[:4]]
        kinds = [magnitude_class(unit), 0, 0, 0]
        kinds[3] = magnitude_class(0.7 * abs(error) if c > 0 else t_beside)
        pair = hashed(c + 1, before, middle)
        near = hashed(c + 1, near_by[0], near_by[1])
        contexts = [
            pair,
            hashed(near, before),
            hashed(
                c + 1,
                math.floor((big_p[1] - start) * 4),
                math.floor((mean - start) * 4),
                kinds[0],
            ),
            hashed(c + 1, *(one - start for one in near_by), miss),
            hashed(c + 1, miss, fraction, math.floor((big_p[0] - start) * 4)),
        ]
        if big_q:
            latest, second = big_q[0][c], big_q[-1][c]
            tag = hashed(c + 1, math.floor(latest[y, x]) - start)
            contexts.append(hashed(tag, 1, math.floor(second[y, x]) - start, fraction))
            then_by = [math.floor(latest[y + f, x + h]) for f, h in own[:4]]
            contexts.append(
                hashed(tag, 2, *(one - other for one, other in zip(near_by, then_by, strict=True)))
            )
        keys = [
            pair if c > 0 else near,
            hashed(near, before) if c < 2 else hashed(pair, math.floor(best)),
        ]
        slots: list[list[Any]] = []
        recent: list[Table] = []
        widths: Table = []
        for table, key in zip(self.block.mixer.recent[c], keys, strict=True):
            slot = table.setdefault(key >> 49, [0, 0, [0] * 8])
            if slot[0] != (key >> 20) % 2**23:
                slot[0], slot[1] = (key >> 20) % 2**23, 0
            last = slot[2][: min(slot[1], 8)]
            known = len(last)
            apart = total(abs(one - best) for one in last)
            slots.append(slot)
            recent.append(last)
            widths.append(known / (0.3 * known + 0.35 * apart) if known else 1.0)
        kinds[2] = 4 * (len(recent[0]) // 3) + len(recent[1]) // 3
        # Decisions
        low, high, below, above = 0, top, [0.0] * 7, [1.0] * 7
        lower_bits = shift
        steps, side, tries, form = 0, 0, 0, 0
        threshold = start
        while high - low > 1 or lower_bits:
            node = 0
            is_level = high - low > 1
            if not is_level:
                low, high, start = 2 * low, 2 * high, 2 * start
                lower_bits, form = lower_bits - 1, 2
            if form == 1:
                away = max(1, int(max(1, halves * 0.5) * 2**steps))
                threshold = start + away if side else start - away
                node = 1 + 2 * min(steps, 6) + side
                if not low < threshold < high:
                    form = 2
            if form == 2:
                threshold = (low + high) // 2
                node = 15 + 4 * min(steps, 5) + 2 * min(tries, 1) + side
            if not is_level:
                node = 39 + shift - 1 - lower_bits
            big_t = (2**lower_bits * threshold - 0.5) * grain
            shapes = ((0.0, 1.0), (big_b, z), (best - mean, z))
            d = [
                total(w[k] * logistic((big_t - m[k] - by) * v[k] * f) for k in components)
                for by, f in shapes
            ]
            d.append(logistic((big_t - big_p[0]) * (1 / t_least)))
            d.append(logistic((big_t - big_p[1]) * (1 / (0.7 * t_least + 0.5 * t_beside))))
            for last, width in zip(recent, widths, strict=True):
                mass = 0.5 * d[1]
                for one in last:
                    mass = mass + logistic((big_t - one) * width)
                d.append(mass / (len(last) + 0.5))
            inputs = [
                clip(ln((above[k] - d[k] + 1e-7) / (d[k] - below[k] + 1e-7)), -12, 12)
                for k in range(7)
            ]
            absolute = hashed(node, threshold, low)
            relative = hashed(node, threshold - start, halves, low - start if form == 2 else 0)
            counts: list[list[int]] = []
            for q in range(len(contexts)):
                decision = absolute if q < 2 else relative
                key = (contexts[q] ^ decision) * 0xD6E8FEB86659FD93 % 2**64
                count = self.block.mixer.counts[c][q].setdefault(key >> 47, [0, 0, 0])
                if count[0] != (key >> 30) % 2**10:
                    count[:] = (key >> 30) % 2**10, 0, 2**15
                counts.append(count)
                inputs.append(STRETCH[count[2] // 16] if count[1] else 0.0)
            sure = [sum(counts[q][1] >= least_count for least_count in (1, 4, 12)) for q in (0, 1)]
            kinds[1] = 4 * sure[0] + sure[1]
            inputs.insert(12, 0.3)
            inputs += [0.0] * (15 - len(inputs))
            rows = [node * 16 + kind for kind in kinds]
            weights = [memory.weights[k][row] for k, row in enumerate(rows)]
            final = memory.final[node]
            outputs = [
                clip(total(f * h for f, h in zip(row, inputs, strict=True)), -14, 14)
                for row in weights
            ]
            chances = [logistic(one) for one in outputs]
            odds = clip(total(f * h for f, h in zip(final, outputs, strict=True)), -14, 14)
            mixed = logistic(odds)
            maps = memory.maps[0][node * 16 + kinds[0]], memory.maps[1][node * 16 + fraction]
            share = (odds + 15) * 2
            at = int(share)
            share = share - at
            parts = [row[at] * (1 - share) + row[at + 1] * share for row in maps]
            chance = 0.5 * mixed + 0.25 * (parts[0] + parts[1])
            bit = reader.bit(min(max(int((1 - chance) * 2**24), 2), 2**24 - 2))
            for row in maps:
                row[at] += (bit - row[at]) * (0.015 * (1 - share))
                row[at + 1] += (bit - row[at + 1]) * (0.015 * share)
            for k in range(4):
                final[k] += (bit - mixed) * 0.0005 * outputs[k]
                updates = memory.updates[k]
                rate = (bit - chances[k]) * max(0.004, 0.05 / (1 + 0.02 * updates[rows[k]]))
                updates[rows[k]] += 1
                for q, value in enumerate(inputs):
                    weights[k][q] += rate * value
            for count in counts:
                count[2] += ((65535 * bit - count[2]) * RATES[count[1]]) >> 16
                count[1] = min(count[1] + 1, 30)
            if bit:
                low, below = threshold, d
            else:
                high, above = threshold, d
            if form == 0:
                form, side = 1, bit
            elif form == 2:
                tries += 1
            elif bit == side:
                steps += 1
            else:
                form = 2
        # After a sample
        value = low * grain
        slopes = [one * z for one in v]
        over = [((low + 0.5) * grain - m[k] - big_b) * slopes[k] for k in components]
        under = [((low - 0.5) * grain - m[k] - big_b) * slopes[k] for k in components]
        upper = [logistic(one) if low < top * 2**shift - 1 else 1.0 for one in over]
        lower = [logistic(one) if low > 0 else 0.0 for one in under]
        chance = 1 / (total(w[k] * (upper[k] - lower[k]) for k in components) + 0.000001)
        upper = [one * (1 - one) for one in upper]
        lower = [one * (1 - one) for one in lower]
        by_bias = by_gain = 0.0
        for k in components:
            by_bias = by_bias - w[k] * (upper[k] - lower[k]) * slopes[k]
            by_gain = by_gain - w[k] * (upper[k] * over[k] - lower[k] * under[k]) * 0.6931
        for slope, by, learned, powers in (
            (by_bias, p, memory.bias, memory.bias_power),
            (by_gain, g, memory.gain, memory.gain_power),
        ):
            for k, part in enumerate(by):
                step = slope * chance * part
                powers[k] = 0.999 * powers[k] + 0.001 * step * step
                learned[k] += 0.0005 * step / math.sqrt(powers[k] + 0.000001)
        samples[c][y, x] = value
        size = abs(value - best)
        big_m[y, x] = size
        e[i, j] = value - mean
        for f, prediction in zip(self.f, big_p, strict=True):
            f[i, j] = abs(value - prediction)
        self.residuals[c][i, j] = clip(value - best, -99, 99)
        s[i, j] = (ln(size + 0.3 * scale + 0.1) - ln(1.1 * scale + 0.1)) * 1.4427
        for slot in slots:
            slot[2][slot[1] % 8] = value
            slot[1] = slot[1] + 1 if slot[1] != 248 else 241
        weight = 1 / (typical * typical + 0.1)
        for k, factor in enumerate(weight * part for part in u):
            sums[1][k] += factor * (value - base)
            row = sums[0][k]
            for h in range(k, len(u)):
                row[h] += factor * u[h]
        return low


class TwinRows:
    def __init__(self, plane: TwinPlane, first: int, mixture: LogisticMixture) -> None:
        self.plane, self.first, self.mixture = plane, first, mixture

    def decode(self, reader: Reader) -> list[int]:
        rows = range(self.first, self.first + len(self.mixture.logits) // self.plane.columns)
        return [
            sample for i in rows for sample in self.plane.row(reader, i, self.first, self.mixture)
        ]
