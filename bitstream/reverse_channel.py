"""Reverse channel coding: sending a sample of q in about KL(q || p) bits.

Sender and receiver know the distribution p and share random numbers; only the sender knows the
distribution q. It sends the number of a shared codeword that is distributed nearly as a sample of
q (Theis and Yosri, arXiv 2110.12805). Samples are in units of p throughout: p is standard normal, q
normal with some mean and a smaller variance.

Samples are coded in branches of about equal information. `Plan` says which samples form a branch
and in which order; it depends only on integers and shared random numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from . import _kernels
from ._kernels import RUN
from .coders import Coder
from .entropy import Categorical, Ints, Uniform
from .errors import CorruptError
from .information import BIT, Int64s
from .noise import normals, words

Float32s = NDArray[np.float32]
Product = Callable[[Float32s, Float32s], Float32s]
"""Computes a @ b.T, (n, s), from matrices a (n, v) and b (s, v).

A sender spends most of its time there, so it may be run on another device.
"""

LONGEST = 256
"""Largest number of samples for a bit: those of less information are drawn from p, not coded."""

# Second counters of the shared random numbers, by use; the first counter is the number of the step.
_FLIPS, _SIGNS, _DRAWN, _BOOK = range(4)
_PAIRS = 6  # codec/diffc/chain.py takes 4 and 5


@dataclass(frozen=True)
class Target:
    """The distribution q of samples, in units of p.

    Attributes:
        mean: (n,) float32, in coding order (see `Plan`).
        variance: (n,) float32, above 0 and at most 1.
    """

    mean: Float32s
    variance: Float32s


@dataclass(frozen=True)
class Plan:
    """Which samples of a step are coded, how they are mixed, and their order and branches.

    Samples belong to c classes of equal size; all samples of a class have the same expected
    information. The n samples of the classes that are coded are in coding order: class by class,
    those of most information first.

    Attributes:
        information: (c,) expected information of a sample of each class, in 1/BIT bit.
        count: samples of a class.
        seed: of the shared random numbers, 0 to 2^64 - 1.
        step: number of the step in its chain, 1 or more; steps have different random numbers.
        branch: expected information of a branch, in 1/BIT bit.
    """

    information: Int64s
    count: int
    seed: int
    step: int
    branch: int

    @cached_property
    def classes(self) -> Int64s:
        """The classes that are coded, those of most information first, (k,)."""
        order = np.argsort(-self.information, kind="stable")
        coded: Int64s = order[self.information[order] >= BIT // LONGEST]
        return coded

    @cached_property
    def flips(self) -> Float32s:
        """Shared random signs of a class's samples, for the mixing; the same for all, (count,)."""
        return _shared_signs(self, _FLIPS, self.count)

    @cached_property
    def starts(self) -> Int64s:
        """The first sample of each branch and the end of the last, in coding order, (b + 1,)."""
        each = np.repeat(self.information[self.classes], self.count)
        before = np.cumsum(each) - each
        branch = before // self.branch
        first = np.flatnonzero(np.diff(branch, prepend=-1))
        return np.append(first, len(each))

    @cached_property
    def branches(self) -> Int64s:
        """The branch of each sample in coding order, (n,)."""
        lengths = np.diff(self.starts)
        return np.repeat(np.arange(len(lengths)), lengths)

    @cached_property
    def offsets(self) -> Int64s:
        """The position of each sample in its branch, (n,)."""
        offsets: Int64s = np.arange(self.starts[-1]) - self.starts[:-1][self.branches]
        return offsets

    @cached_property
    def signs(self) -> Float32s:
        """Shared random signs, so that each branch sees different codewords, (n,)."""
        return _shared_signs(self, _SIGNS, int(self.starts[-1]))

    @property
    def bits(self) -> int:
        """Expected information of all coded samples, in 1/BIT bit."""
        return int(self.information[self.classes].sum()) * self.count

    def arrange(self, values: Float32s) -> Float32s:
        """The samples that are coded, mixed, in coding order.

        Each mixed sample is a weighted sum of all samples of its class, with random signs. That is
        a rotation, under which p and q remain normal, and it spreads the divergence evenly over the
        branches, however unevenly it is spread over the image.

        Args:
            values: (c, count) float32, all samples.

        Returns:
            (n,) float32.
        """
        return _mix(values[self.classes] * self.flips).reshape(-1)

    def spread(self, values: Float32s) -> Float32s:
        """The values (c,) of classes, repeated for each coded sample in coding order, (n,)."""
        return np.repeat(values[self.classes], self.count)

    def restore(self, coded: Float32s) -> Float32s:
        """The inverse of `arrange`; samples that are not coded are shared draws from p.

        Args:
            coded: (n,) float32, mixed, in coding order.

        Returns:
            All samples, (c, count) float32.
        """
        shape = (len(self.information), self.count)
        values = np.empty(shape, np.float32)
        rest = np.setdiff1d(np.arange(shape[0]), self.classes)
        drawn = normals(self.seed, self.step, _DRAWN, n=len(rest) * self.count)
        values[rest] = drawn.reshape(-1, self.count)
        values[self.classes] = _mix(coded.reshape(-1, self.count)) * self.flips
        return values


def _shared_signs(plan: Plan, purpose: int, count: int) -> Float32s:
    drawn = words(plan.seed, plan.step, purpose, n=-(-count // 32))
    bits = np.unpackbits(drawn.astype("<u4", copy=False).view(np.uint8), count=count)
    return 1 - 2 * bits.astype(np.float32)


def _mix(rows: Float32s) -> Float32s:
    """The discrete Hartley transform of each row, orthonormal and its own inverse."""
    mixed = np.empty_like(rows)
    for index, row in enumerate(rows):  # row by row: a spectrum takes four times a row's memory
        spectrum = np.fft.fft(row, norm="ortho")
        mixed[index] = spectrum.real - spectrum.imag
    return mixed


def _product(a: Float32s, b: Float32s) -> Float32s:
    return a @ b.T


class ReverseCoder(Protocol):
    """Sends samples of q, branch by branch."""

    @property
    def branch(self) -> int:
        """Expected information of a branch for the plans of this coder, in 1/BIT bit."""
        ...

    def code(self, target: Target | None, plan: Plan, coder: Coder) -> Float32s:
        """Send or receive a sample of each distribution.

        Args:
            target: the distributions q of the samples; None to receive.
            plan: with this coder's `branch`.
            coder: writes or reads the numbers of codewords.

        Returns:
            The samples, (n,) float32 in coding order, the same at sender and receiver.

        Raises:
            CorruptError: the received data is damaged.
        """
        ...

    def price(self, plan: Plan) -> int:
        """Largest number of bits that `code` writes for a plan."""
        ...


@lru_cache(maxsize=2)
def _book(seed: int, size: int, length: int) -> Float32s:
    """Shared codewords, (size, length)."""
    return normals(seed, 0, _BOOK, n=size * length).reshape(size, length)


@lru_cache(maxsize=2)
def _energies(seed: int, size: int, length: int) -> Float32s:
    """Sums of squares of the first 0, 1, ... samples of each codeword, (length + 1, size)."""
    squares = np.cumsum(_book(seed, size, length) ** 2, 1, dtype=np.float64)
    return np.insert(squares, 0, 0, 1).T.astype(np.float32)


def _longest(plan: Plan) -> int:
    """Largest number of samples of a branch."""
    return -(-plan.branch * LONGEST // BIT)


class _Pulls:
    """How the samples of branches pull towards codewords; for some branches at a time.

    log q/p of a codeword is its product with the pull less its energy times the curvature, up to a
    constant for each branch. Within a branch the variance is taken as that of its first sample. An
    encoder may do so: it changes which codeword is chosen, not how a receiver reads the choice.

    Attributes:
        lengths: (b,), samples of each branch.
        curvatures: (b,) float32, of each branch.
    """

    def __init__(self, target: Target, plan: Plan) -> None:
        self._plan = plan
        self._pull = target.mean / target.variance * plan.signs
        variance = target.variance[plan.starts[:-1]]
        self.curvatures: Float32s = ((1 / variance - 1) / 2).astype(np.float32)
        self.lengths = np.diff(plan.starts)

    def __call__(self, first: int, last: int) -> Float32s:
        """The pulls of branches first to last - 1, (last - first, samples), 0 past their ends."""
        inside = slice(self._plan.starts[first], self._plan.starts[last])
        rows = np.zeros((last - first, int(self.lengths[first:last].max())), np.float32)
        rows[self._plan.branches[inside] - first, self._plan.offsets[inside]] = self._pull[inside]
        return rows


class _Sums:
    """Shared codewords of a shift register: each is the sum of a first and a second part.

    Of each kind there are 8 times as many parts as the square root of the states, or more, so that
    products with all codewords cost little more than those with the parts. Shared random numbers
    choose the parts of each run of `RUN` states, no two runs the same ones: if they were bits of
    the state, successive codewords would have parts in common, and paths would be worse samples.

    Args:
        seed: of the shared random numbers.
        state_bits: see `Trellis`.
        length: samples of a codeword.

    Attributes:
        parts: (2 p, length) float32, of variance 1/2, the first parts before the second ones.
        starts: (2, runs) indices of the parts of the first state of each run; those of its other
            states follow.
    """

    def __init__(self, seed: int, state_bits: int, length: int) -> None:
        part_bits = max(9, 3 + -(-state_bits // 2))
        drawn = normals(seed, 0, _BOOK, n=2 * length << part_bits)
        self.parts = (drawn * np.float32(0.5**0.5)).reshape(-1, length)
        groups = (1 << part_bits) // RUN
        order = np.argsort(words(seed, 0, _PAIRS, n=groups**2), kind="stable")
        first, second = np.divmod(order[: max(1, (1 << state_bits) // RUN)], groups)
        self.starts = np.stack([first, groups + second]).astype(np.int64) * RUN

    @cached_property
    def energies(self) -> Float32s:
        """Sums of squares of the first 0, 1, ... samples of codewords, (length + 1, 16 runs)."""
        first, second = self._of(np.arange(RUN * self.starts.shape[1]))
        energies = np.zeros((self.parts.shape[1] + 1, len(first)), np.float32)
        for place, column in enumerate(self.parts.T):
            energies[place + 1] = energies[place] + (column[first] + column[second]) ** 2
        return energies

    def samples(self, states: Int64s, offsets: Int64s) -> Float32s:
        """Samples of the codewords of states, at offsets in them: (n,), as both arguments."""
        first, second = self._of(states)
        samples: Float32s = self.parts[first, offsets] + self.parts[second, offsets]
        return samples

    def _of(self, states: Int64s) -> Int64s:
        """The parts of states (n,): (2, n)."""
        parts: Int64s = self.starts[:, states // RUN] + states % RUN
        return parts


@lru_cache(maxsize=2)
def _sums(seed: int, state_bits: int, length: int) -> _Sums:
    return _Sums(seed, state_bits, length)


class Trellis:
    """Codewords on the paths of a shift register, found by the Viterbi algorithm.

    A branch costs one bit, which is shifted into the register; the register's state is the number
    of the branch's codeword. The path with the largest likelihood ratio of all branches together is
    a far better sample than codewords chosen branch by branch. See `branch` for what is missing to
    a sample of q.

    Args:
        state_bits: bits of the register, 1 to 16.
        product: see `Product`; by default numpy's.
    """

    _SEGMENT = 8192
    """Branches that share a path; bounds the memory of the search."""
    _SLICE = 256
    """Branches whose products with the parts of codewords are computed at once."""

    def __init__(self, state_bits: int, product: Product | None = None) -> None:
        self.state_bits = state_bits
        self._product = product or _product

    @property
    def branch(self) -> int:
        """Expected information of a branch, in 1/BIT bit.

        With b state bits it is 5 b^2 / (5 b^2 + 63) bits: a bit conveys a little less than a bit of
        information if the states are finitely many. The formula is a fit to searches with a
        Gaussian source, which conveyed 0.84, 0.92 and 0.96 bits for b = 8, 12 and 16 (100,000
        samples of 0.02 bits each: the branch whose samples contain q's mean in full); it gives
        0.836, 0.920 and 0.953. `test_distribution_of_the_trellis` in
        tests/unit/test_reverse_channel.py asserts mean and variance.
        """
        return BIT * 5 * self.state_bits**2 // (5 * self.state_bits**2 + 63)

    def code(self, target: Target | None, plan: Plan, coder: Coder) -> Float32s:
        branches = len(plan.starts) - 1
        book = _sums(plan.seed, self.state_bits, _longest(plan))
        pulls = None if target is None else _Pulls(target, plan)
        states = [np.zeros(0, np.int64)]
        for first in range(0, branches, self._SEGMENT):
            last = min(first + self._SEGMENT, branches)
            states.append(self._segment(book, pulls, first, last, coder))
        chosen = np.concatenate(states)[plan.branches]
        samples: Float32s = book.samples(chosen, plan.offsets) * plan.signs
        return samples

    def price(self, plan: Plan) -> int:
        """The exact number of bits that `code` writes for a plan."""
        whole, rest = divmod(len(plan.starts) - 1, self._SEGMENT)
        return whole * self._segment_bits(self._SEGMENT) + self._segment_bits(rest)

    def _segment_bits(self, branches: int) -> int:
        """Bits of the path of a segment; they are sent in pairs."""
        count = min(self.state_bits, branches) + branches - 1
        return count + count % 2

    def _segment(
        self, book: _Sums, pulls: _Pulls | None, first: int, last: int, coder: Coder
    ) -> Int64s:
        """Send or receive a path: its states, (last - first,)."""
        width = min(self.state_bits, last - first)
        bits = None
        if pulls is not None:
            bits = _path_bits(self._search(book, pulls, width, first, last), width)
        count = width + last - first - 1
        received = _code_bits(bits, count, coder)
        weights = 1 << np.arange(width)[::-1]
        states: Int64s = np.lib.stride_tricks.sliding_window_view(received, width) @ weights
        return states

    def _search(self, book: _Sums, pulls: _Pulls, width: int, first: int, last: int) -> Int64s:
        """The states of the best path, (last - first,)."""
        size = 2**width
        best = np.zeros(size, np.float32)
        spare = np.empty(size, np.float32)
        choices = np.empty((last - first, size // 2), np.uint8)
        for left in range(first, last, self._SLICE):
            right = min(left + self._SLICE, last)
            rows = pulls(left, right)
            _kernels.extend_paths(
                self._product(rows, book.parts[:, : rows.shape[1]]),
                book.starts[:, : max(1, size // RUN)],
                pulls.curvatures[left:right],
                pulls.lengths[left:right],
                book.energies,
                best,
                spare,
                choices[left - first : right - first],
            )
        states = np.empty(last - first, np.int64)
        _kernels.trace_path(choices, int(np.argmax(best)), states)
        return states


def _path_bits(states: Int64s, width: int) -> Ints:
    """The bits of the first state, then the bit that each later state shifts in."""
    opening = states[0] >> np.arange(width)[::-1]
    bits: Ints = (np.concatenate([opening, states[1:]]) & 1).astype(np.int32)
    return bits


def _code_bits(bits: Ints | None, count: int, coder: Coder) -> Int64s:
    """Send or receive equally likely bits, two at a time: (count,)."""
    pairs = None
    if bits is not None:
        padded = np.append(bits, np.zeros(count & 1, np.int32))
        pairs = 2 * padded[::2] + padded[1::2]
    coded = coder.code(pairs, Uniform(-(-count // 2), 1)).astype(np.int64)
    flat: Int64s = np.stack([coded >> 1, coded & 1], 1).reshape(-1)[:count]
    return flat


class Pfr:
    """The Poisson functional representation: branches are samples of exactly q (arXiv 1701.02827).

    The codewords have the arrival times of a Poisson process; the number of the one with the
    smallest time divided by its likelihood ratio is sent, with a Zipf distribution. With the first
    2^INDEX_BITS codewords only, it is exact as long as the divergence of a branch stays well below
    INDEX_BITS bits.

    Args:
        product: see `Product`; by default numpy's.
    """

    INDEX_BITS = 14
    """log2 of the number of codewords."""

    _SLICE = 256
    """Branches whose likelihood ratios are computed at once."""

    def __init__(self, product: Product | None = None) -> None:
        self._product = product or _product

    @property
    def branch(self) -> int:
        """Expected information of a branch, in 1/BIT bit: 8 bits."""
        return 8 * BIT

    def code(self, target: Target | None, plan: Plan, coder: Coder) -> Float32s:
        branches = len(plan.starts) - 1
        book = _book(plan.seed, 2**self.INDEX_BITS, _longest(plan))
        numbers = None if target is None else self._choose(book, _Pulls(target, plan), plan)
        received = _code_zipf(numbers, branches, self.INDEX_BITS, coder)
        samples: Float32s = book[received[plan.branches], plan.offsets] * plan.signs
        return samples

    def price(self, plan: Plan) -> int:
        """Largest number of bits that `code` writes for a plan; the mean is about half of it."""
        return (len(plan.starts) - 1) * (self.INDEX_BITS + _ZIPF_BITS) + self.INDEX_BITS

    def _choose(self, book: Float32s, pulls: _Pulls, plan: Plan) -> Int64s:
        branches = len(pulls.lengths)
        energies = _energies(plan.seed, *book.shape)
        numbers = [np.zeros(0, np.int64)]
        for left in range(0, branches, self._SLICE):
            right = min(left + self._SLICE, branches)
            rows = pulls(left, right)
            scores = self._product(rows, book[:, : rows.shape[1]])
            scores -= pulls.curvatures[left:right, None] * energies[pulls.lengths[left:right]]
            numbers.append(np.argmax(scores - self._log_arrivals(plan, left, right), 1))
        return np.concatenate(numbers)

    def _log_arrivals(self, plan: Plan, left: int, right: int) -> Float32s:
        """Logarithms of arrival times of Poisson processes, (right - left, 2^INDEX_BITS)."""
        shape = (right - left, 2**self.INDEX_BITS)
        rng = np.random.Generator(np.random.Philox(key=plan.seed, counter=[0, left, plan.step, 0]))
        times: Float32s = np.log(np.cumsum(rng.standard_exponential(shape), 1)).astype(np.float32)
        return times


def _code_zipf(numbers: Int64s | None, count: int, index_bits: int, coder: Coder) -> Int64s:
    """Send or receive numbers from 0 to 2^index_bits - 1 with P(i) ~ (i + 1)^-1.105.

    The distribution of Li and El Gamal (arXiv 1701.02827, section III) for 8 bits of divergence:
    first the octave of i + 1, then its place among the octave's numbers, all equally likely.

    Args:
        numbers: (count,); None to receive.

    Raises:
        CorruptError: a number is too large.
    """
    octave = rest = None
    if numbers is not None:
        octave = np.frexp((numbers + 1).astype(np.float64))[1].astype(np.int32) - 1
        rest = (numbers + 1 - (1 << octave.astype(np.int64))).astype(np.int32)
    coded = coder.code(octave, Categorical(np.tile(_ZIPF[: index_bits + 1], (count, 1))))
    out = np.empty(count, np.int64)
    for bits in range(index_bits + 1):
        members = np.flatnonzero(coded == bits)
        flat = None
        if rest is not None:
            digits = (rest[members].astype(np.int64)[:, None] >> np.arange(bits)) & 1
            flat = digits.reshape(-1).astype(np.int32)
        low = _code_bits(flat, bits * len(members), coder).reshape(len(members), bits)
        out[members] = (1 << bits) - 1 + (low << np.arange(bits)).sum(1)
    if np.any(out >= 1 << index_bits):
        raise CorruptError(f"codeword {out.max()} does not exist; there are {1 << index_bits}")
    return out


_ZIPF = np.array([round(4096 * 2 ** (-0.105 * octave)) for octave in range(17)], np.float32)
"""Frequencies of the octaves: sums of (i + 1)^-1.105 grow as 2^-0.105 an octave."""
_ZIPF_BITS = 5
"""Largest number of bits of one of 15 octaves."""
