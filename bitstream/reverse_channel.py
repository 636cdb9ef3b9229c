"""Reverse channel coding: sending a sample of a Gaussian at the price of its divergence.

Sender and receiver know the prior p and share random numbers; the sender alone knows the
posterior q. It sends the number of a shared codeword that looks like a sample of q. Samples are
in units of p throughout: p is standard normal, q normal with a mean and a smaller variance.

Samples are coded in branches of about equal information. `Plan` says which samples form a branch
and in which order; it depends on integers and shared random numbers only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from . import _kernels
from .coders import Coder
from .entropy import Categorical, Ints, Uniform
from .errors import CorruptError
from .information import BIT, Int64s
from .noise import normals, words

Float32s = NDArray[np.float32]
Product = Callable[[Float32s, Float32s], Float32s]
"""a @ b.T of matrices (n, v) and (s, v); what a sender spends most of its time in."""

LONGEST = 256
"""Most samples for a bit: those of less information are not coded but drawn from p."""

# The second counter of the shared random numbers; the first is the step.
_FLIPS, _SIGNS, _DRAWN, _BOOK = range(4)


@dataclass(frozen=True)
class Target:
    """The posterior of samples in units of the prior.

    Attributes:
        mean: (n,) float32.
        variance: (n,) float32, above 0 and at most 1.
    """

    mean: Float32s
    variance: Float32s


@dataclass(frozen=True)
class Plan:
    """Which samples are coded, how they are mixed, and in which order and branches.

    Samples belong to classes of equal size; all samples of a class have the same expected
    information.

    Attributes:
        information: (c,), of a sample of each class, in 1/BIT bit.
        count: samples of a class.
        seed, step: name the shared random numbers.
        branch: expected information of a branch, in 1/BIT bit.
    """

    information: Int64s
    count: int
    seed: int
    step: int
    branch: int

    @cached_property
    def classes(self) -> Int64s:
        """The classes that are coded, those of most information first."""
        order = np.argsort(-self.information, kind="stable")
        coded: Int64s = order[self.information[order] >= BIT // LONGEST]
        return coded

    @cached_property
    def flips(self) -> Float32s:
        """Shared signs of the samples of every class before they are mixed, (count,)."""
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
        """The place of each sample in its branch, (n,)."""
        offsets: Int64s = np.arange(self.starts[-1]) - self.starts[:-1][self.branches]
        return offsets

    @cached_property
    def signs(self) -> Float32s:
        """Shared signs that make the codewords of every branch others, (n,)."""
        return _shared_signs(self, _SIGNS, int(self.starts[-1]))

    @property
    def bits(self) -> int:
        """Expected information of all coded samples, in 1/BIT bit."""
        return int(self.information[self.classes].sum()) * self.count

    def arrange(self, values: Float32s) -> Float32s:
        """The coded ones of all samples (c, count), mixed, in coding order (n,).

        Every mixed sample is a sum of all samples of its class with random signs. That is a
        rotation, under which p and q keep their form, and it spreads what is to be sent evenly
        over the branches, however unevenly it lies in the image.
        """
        return _mix(values[self.classes] * self.flips).reshape(-1)

    def spread(self, values: Float32s) -> Float32s:
        """Values of classes (c,) as those of the coded samples, in coding order (n,)."""
        return np.repeat(values[self.classes], self.count)

    def restore(self, coded: Float32s) -> Float32s:
        """All samples (c, count): the coded ones, and shared draws from p for the others."""
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
    for index, row in enumerate(rows):  # one by one: a spectrum takes four times a row's memory
        spectrum = np.fft.fft(row, norm="ortho")
        mixed[index] = spectrum.real - spectrum.imag
    return mixed


class ReverseCoder(Protocol):
    """Sends samples by their branches."""

    @property
    def branch(self) -> int:
        """Expected information that a branch should have, in 1/BIT bit."""
        ...

    def code(self, target: Target | None, plan: Plan, coder: Coder) -> Float32s:
        """The sample, in coding order (n,), after it was sent or received.

        Args:
            target: the posterior of the samples in coding order; None to receive.
            coder: writes or reads the numbers of codewords.
        """
        ...

    def price(self, plan: Plan) -> int:
        """Bits that the samples take at most."""
        ...


@lru_cache(maxsize=2)
def _book(seed: int, size: int, length: int) -> Float32s:
    """Shared codewords, (size, length)."""
    return normals(seed, 0, _BOOK, n=size * length).reshape(size, length)


@lru_cache(maxsize=2)
def _energies(seed: int, size: int, length: int) -> Float32s:
    """Sums of squares of the first samples of each codeword, (length + 1, size)."""
    squares = np.cumsum(_book(seed, size, length) ** 2, 1, dtype=np.float64)
    return np.insert(squares, 0, 0, 1).T.astype(np.float32)


def _longest(plan: Plan) -> int:
    """Samples that a branch has at most."""
    return -(-plan.branch * LONGEST // BIT)


def _codewords(numbers: Int64s, plan: Plan, size: int) -> Float32s:
    """The samples of the codeword chosen for each branch, in coding order."""
    book = _book(plan.seed, size, _longest(plan))
    chosen: Float32s = book[numbers[plan.branches], plan.offsets] * plan.signs
    return chosen


class _Gains:
    """log q/p of every codeword for a few branches at a time, but for a constant of each.

    Within a branch the variance is taken as that of its first sample. An encoder may do so: it
    changes the choice, not what a choice means.
    """

    def __init__(self, target: Target, plan: Plan, size: int, product: Product) -> None:
        self._plan, self._product = plan, product
        book = plan.seed, size, _longest(plan)
        self._book, self._energies = _book(*book), _energies(*book)
        self._pull = target.mean / target.variance * plan.signs
        self._curvature = (1 / target.variance[plan.starts[:-1]] - 1) / 2
        self._lengths = np.diff(plan.starts)

    def __call__(self, first: int, last: int) -> Float32s:
        """For branches first to last - 1, (last - first, size)."""
        inside = slice(self._plan.starts[first], self._plan.starts[last])
        lengths = self._lengths[first:last]
        rows = np.zeros((last - first, int(lengths.max())), np.float32)
        rows[self._plan.branches[inside] - first, self._plan.offsets[inside]] = self._pull[inside]
        gains = self._product(rows, self._book[:, : rows.shape[1]])
        gains -= self._curvature[first:last, None] * self._energies[lengths]
        return gains


class Trellis:
    """Codewords on the paths of a shift register, found by the Viterbi algorithm.

    A branch costs one bit, which is shifted into the register; the register's state numbers its
    codeword. The path with the largest likelihood ratio of all branches together is a far better
    sample than branches chosen one by one. It is not quite as good as a sample of q for that bit:
    a branch has as much expected information as the search was measured to get across, so that
    what arrives has the mean and the variance of q.

    Args:
        state_bits: bits of the register, 1 to 16.
        product: see `Product`.
    """

    _SEGMENT = 8192
    """Branches that share a path; bounds the memory of the search."""
    _SLICE = 1024
    """Branches whose gains are computed at once."""

    def __init__(self, state_bits: int, product: Product | None = None) -> None:
        self.state_bits = state_bits
        self._product = product or (lambda a, b: a @ b.T)

    @property
    def branch(self) -> int:
        return BIT * 5 * self.state_bits**2 // (5 * self.state_bits**2 + 63)

    def code(self, target: Target | None, plan: Plan, coder: Coder) -> Float32s:
        size, branches = 2**self.state_bits, len(plan.starts) - 1
        gains = None if target is None else _Gains(target, plan, size, self._product)
        numbers = [np.zeros(0, np.int64)]
        for first in range(0, branches, self._SEGMENT):
            numbers.append(self._segment(gains, first, min(first + self._SEGMENT, branches), coder))
        return _codewords(np.concatenate(numbers), plan, size)

    def price(self, plan: Plan) -> int:
        """Bits that the samples take, exactly."""
        whole, rest = divmod(len(plan.starts) - 1, self._SEGMENT)
        return whole * self._segment_bits(self._SEGMENT) + self._segment_bits(rest)

    def _segment_bits(self, branches: int) -> int:
        """Bits of a path, which are sent in pairs."""
        count = min(self.state_bits, branches) + branches - 1
        return count + count % 2

    def _segment(self, gains: _Gains | None, first: int, last: int, coder: Coder) -> Int64s:
        """The states (last - first,) of a path, sent or received."""
        width = min(self.state_bits, last - first)
        bits = None
        if gains is not None:
            bits = _path_bits(self._search(gains, width, first, last), width)
        count = width + last - first - 1
        received = _code_bits(bits, count, coder)
        weights = 1 << np.arange(width)[::-1]
        states: Int64s = np.lib.stride_tricks.sliding_window_view(received, width) @ weights
        return states

    def _search(self, gains: _Gains, width: int, first: int, last: int) -> Int64s:
        size = 2**width
        cost = np.empty(size, np.float32)
        spare = np.empty(size, np.float32)
        choices = np.empty((last - first - 1, size // 2), np.uint8)
        for left in range(first, last, self._SLICE):
            right = min(left + self._SLICE, last)
            found = np.ascontiguousarray(gains(left, right)[:, :size])
            if left == first:
                cost[:] = found[0]
                found = found[1:]
            begin = max(left - first - 1, 0)
            _kernels.extend_paths(found, cost, spare, choices[begin : right - first - 1])
        states = np.empty(last - first, np.int64)
        _kernels.trace_path(choices, int(np.argmax(cost)), states)
        return states


def _path_bits(states: Int64s, width: int) -> Ints:
    """The bits of the first state, then the bit that each later one takes in."""
    opening = states[0] >> np.arange(width)[::-1]
    bits: Ints = (np.concatenate([opening, states[1:]]) & 1).astype(np.int32)
    return bits


def _code_bits(bits: Ints | None, count: int, coder: Coder) -> Int64s:
    """Equally likely bits, sent or received two at a time."""
    pairs = None
    if bits is not None:
        padded = np.append(bits, np.zeros(count & 1, np.int32))
        pairs = 2 * padded[::2] + padded[1::2]
    coded = coder.code(pairs, Uniform(-(-count // 2), 1)).astype(np.int64)
    flat: Int64s = np.stack([coded >> 1, coded & 1], 1).reshape(-1)[:count]
    return flat


class Pfr:
    """The Poisson functional representation: the law of every branch is q (arXiv 1701.02827).

    Of 2^INDEX_BITS shared codewords with the arrival times of a Poisson process, the one with
    the smallest time per likelihood ratio is sent by its number, under a Zipf law. Truncated to
    that many codewords it is exact as long as the divergence of a branch stays well below
    INDEX_BITS.
    """

    INDEX_BITS = 14

    _SLICE = 256

    def __init__(self, product: Product | None = None) -> None:
        self._product = product or (lambda a, b: a @ b.T)

    @property
    def branch(self) -> int:
        return 8 * BIT

    def code(self, target: Target | None, plan: Plan, coder: Coder) -> Float32s:
        branches = len(plan.starts) - 1
        numbers = None if target is None else self._choose(target, plan, branches)
        received = _code_zipf(numbers, branches, self.INDEX_BITS, coder)
        return _codewords(received, plan, 2**self.INDEX_BITS)

    def price(self, plan: Plan) -> int:
        """Bits that the samples take at most; on average it is half as much."""
        return (len(plan.starts) - 1) * (self.INDEX_BITS + _ZIPF_BITS) + self.INDEX_BITS

    def _choose(self, target: Target, plan: Plan, branches: int) -> Int64s:
        gains = _Gains(target, plan, 2**self.INDEX_BITS, self._product)
        found = [np.zeros(0, np.int64)]
        for left in range(0, branches, self._SLICE):
            right = min(left + self._SLICE, branches)
            found.append(np.argmax(gains(left, right) - self._log_arrivals(plan, left, right), 1))
        return np.concatenate(found)

    def _log_arrivals(self, plan: Plan, left: int, right: int) -> Float32s:
        """Logarithms of the times of Poisson processes, (right - left, 2^INDEX_BITS)."""
        shape = (right - left, 2**self.INDEX_BITS)
        rng = np.random.Generator(np.random.Philox(key=plan.seed, counter=[0, left, plan.step, 0]))
        times: Float32s = np.log(np.cumsum(rng.standard_exponential(shape), 1)).astype(np.float32)
        return times


def _code_zipf(numbers: Int64s | None, count: int, index_bits: int, coder: Coder) -> Int64s:
    """Numbers of 0 to 2^index_bits - 1 under P(i) ~ (i + 1)^-1.105, by octaves of i + 1.

    The law of Li and El Gamal (arXiv 1701.02827, section III) for 8 bits of divergence; the
    numbers of an octave are taken as equally likely.

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
        given = None if rest is None else rest[members].astype(np.int64)
        spread = None if given is None else (given[:, None] >> np.arange(bits)) & 1
        flat = None if spread is None else spread.reshape(-1).astype(np.int32)
        low = _code_bits(flat, bits * len(members), coder).reshape(len(members), bits)
        out[members] = (1 << bits) - 1 + (low << np.arange(bits)).sum(1)
    if np.any(out >= 1 << index_bits):
        raise CorruptError("a codeword's number is too large")
    return out


_ZIPF = np.array([round(4096 * 2 ** (-0.105 * octave)) for octave in range(17)], np.float32)
"""Likelihoods of the octaves, as integers."""
_ZIPF_BITS = 5
"""At most what one of 15 octaves takes."""
