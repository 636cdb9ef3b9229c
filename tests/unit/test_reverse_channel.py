"""Reverse channel coding: the search, the samples' distribution, their price, and both sides."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from noisepress.bitstream import _kernels, reverse_channel
from noisepress.bitstream.coders import Decoder, Encoder, Tally
from noisepress.bitstream.errors import CorruptError
from noisepress.bitstream.information import BIT
from noisepress.bitstream.noise import normals, words
from noisepress.bitstream.reverse_channel import (
    LONGEST,
    Float32s,
    Pfr,
    Plan,
    ReverseCoder,
    Target,
    Trellis,
)

Kernel = Callable[..., None]
Floats = NDArray[np.float64]


def both(kernel: Any) -> list[Any]:
    """Parameters for the compiled kernel and the Python function it was made of."""
    return [pytest.param(kernel, id="compiled"), pytest.param(kernel.py_func, id="python")]


class BitTrellis(Trellis):
    """Branches of one bit, which are easy to count."""

    branch = BIT


class ShortPfr(Pfr):
    """Short branches and, for them, far more codewords than the divergence asks for."""

    branch = 2 * BIT
    INDEX_BITS = 12


CODERS: list[Any] = [pytest.param(BitTrellis(5), id="trellis"), pytest.param(ShortPfr(), id="pfr")]


def plan_of(informations: list[int], count: int, coder: ReverseCoder, seed: int = 7) -> Plan:
    return Plan(np.array(informations, np.int64), count, seed, 3, coder.branch)


def target_of(plan: Plan, seed: int = 0) -> Target:
    """A posterior whose mean is as likely as the plan's informations say."""
    information = plan.spread(plan.information.astype(np.float32)) / BIT
    variance = np.exp2(-2 * information)
    unit = np.random.default_rng(seed).normal(size=len(variance))
    mean = unit * np.sqrt(1 - variance)
    return Target(mean.astype(np.float32), variance.astype(np.float32))


def send(coder: ReverseCoder, target: Target, plan: Plan) -> tuple[Float32s, bytes]:
    encoder = Encoder()
    return coder.code(target, plan, encoder), encoder.finish()


def receive(coder: ReverseCoder, data: bytes, plan: Plan) -> Float32s:
    """From the bytes and the plan's own fields alone."""
    reverse_channel._book.cache_clear()
    reverse_channel._sums.cache_clear()
    return coder.code(None, replace(plan), Decoder(data))


def sent_bits(coder: ReverseCoder, target: Target, plan: Plan) -> float:
    tally = Tally()
    coder.code(target, plan, tally)
    return tally.bits


def log_ratio(sample: NDArray[Any], target: Target) -> Floats:
    """log q/p of each sample, up to a constant for each."""
    mean, variance = target.mean.astype(float), target.variance.astype(float)
    ratio: Floats = (sample**2 - (sample - mean) ** 2 / variance) / 2
    return ratio


# The search ----------------------------------------------------------------------------------


def paths(width: int, branches: int) -> Iterator[list[int]]:
    """The states of every path of a shift register of some bits."""
    for bits in itertools.product("01", repeat=width + branches - 1):
        yield [int("".join(bits[i : i + width]), 2) for i in range(branches)]


@pytest.mark.parametrize("extend", both(_kernels.extend_paths))
@pytest.mark.parametrize("trace", both(_kernels.trace_path))
@pytest.mark.parametrize(
    ("width", "branches"), [(1, 1), (1, 4), (2, 6), (3, 1), (3, 5), (5, 3), (6, 4)]
)
def test_kernels_find_the_best_of_all_paths(
    extend: Kernel, trace: Kernel, width: int, branches: int
) -> None:
    size, run = 2**width, min(2**width, _kernels.RUN)
    rng = np.random.default_rng([width, branches])
    products = rng.integers(-99, 99, (branches, 64)).astype(np.float32)
    starts = rng.integers(0, 64 - run, (2, size // run))
    curvatures = rng.integers(0, 9, branches).astype(np.float32)
    lengths = rng.integers(0, 3, branches)
    energies = rng.integers(0, 9, (3, size + 5)).astype(np.float32)
    cost, spare = np.zeros(size, np.float32), np.empty(size, np.float32)
    choices = np.full((branches, size // 2), 9, np.uint8)
    extend(products, starts, curvatures, lengths, energies, cost, spare, choices)
    assert choices.max() <= 1
    state = np.arange(size)
    first, second = starts[:, state // run] + state % run
    costs = curvatures[:, None] * energies[lengths, :size]
    gains = products[:, first] + products[:, second] - costs
    best: dict[int, float] = {}
    for path in paths(width, branches):
        total = float(sum(gains[branch, state] for branch, state in enumerate(path)))
        best[path[-1]] = max(best.get(path[-1], -math.inf), total)
    assert cost.tolist() == [best[state] for state in range(size)]
    for last in range(size):
        states = np.full(branches, -1, np.int64)
        trace(choices, last, states)
        assert states.tolist() in list(paths(width, branches))
        assert states[-1] == last
        assert sum(gains[branch, state] for branch, state in enumerate(states)) == best[last]


@pytest.mark.parametrize("extend", both(_kernels.extend_paths))
def test_of_equal_paths_the_lower_state_is_kept(extend: Kernel) -> None:
    choices = np.full((3, 4), 9, np.uint8)
    zeros = np.zeros((3, 8), np.float32)
    starts, lengths = np.zeros((2, 1), np.int64), np.zeros(3, np.int64)
    extend(zeros, starts, zeros[:, 0], lengths, zeros, zeros[0].copy(), zeros[1].copy(), choices)
    assert not choices.any()


def codewords(seed: int, state_bits: int) -> Float32s:
    """The codewords of all states, as docs/format.md has them, (states, LONGEST)."""
    parts = 2 ** max(9, 3 + -(-state_bits // 2))
    drawn = normals(seed, 0, 3, n=2 * parts * LONGEST) * np.float32(0.5**0.5)
    table = drawn.reshape(2, parts // 16, 16, LONGEST)
    pairs = np.argsort(words(seed, 0, 6, n=(parts // 16) ** 2), kind="stable")
    found = [
        table[0, pairs[state // 16] // (parts // 16), state % 16]
        + table[1, pairs[state // 16] % (parts // 16), state % 16]
        for state in range(2**state_bits)
    ]
    return np.array(found)


def best_sample(target: Target, plan: Plan, state_bits: int, first: int, last: int) -> Float32s:
    """What a trellis sends for branches of a segment, by trying all paths."""
    book = codewords(plan.seed, state_bits)
    samples = slice(plan.starts[first], plan.starts[last])
    lengths = np.diff(plan.starts[first : last + 1])
    part = Target(target.mean[samples], target.variance[samples])
    candidates = [
        np.concatenate([book[state, :n] for state, n in zip(path, lengths, strict=True)])
        * plan.signs[samples]
        for path in paths(min(state_bits, last - first), last - first)
    ]
    return max(candidates, key=lambda sample: float(log_ratio(sample, part).sum()))


@pytest.mark.parametrize("state_bits", [1, 2, 3, 4, 5, 6])
@pytest.mark.parametrize("count", [1, 30, 70])
def test_trellis_sends_the_best_of_all_paths(state_bits: int, count: int) -> None:
    coder = BitTrellis(state_bits)
    plan = plan_of([BIT // 10], count, coder)
    target = target_of(plan)
    sample, _ = send(coder, target, plan)
    branches = len(plan.starts) - 1
    assert branches == -(-count // 10)
    np.testing.assert_array_equal(sample, best_sample(target, plan, state_bits, 0, branches))


def test_path_is_the_same_in_slices() -> None:
    class Sliced(BitTrellis):
        _SLICE = 3

    plan = plan_of([BIT // 3, BIT // 40], 100, Sliced(4))
    target = target_of(plan)
    for count in (1, 2, 3, 4, 6, 7, 36):
        size = plan.starts[count]
        short = replace(plan)
        short.__dict__["starts"] = plan.starts[: count + 1]
        part = Target(target.mean[:size], target.variance[:size])
        sample, data = send(Sliced(4), part, short)
        whole, same = send(BitTrellis(4), part, short)
        np.testing.assert_array_equal(sample, whole)
        assert data == same


class Segmented(BitTrellis):
    """Paths of a few branches."""

    _SEGMENT = 5
    _SLICE = 2


@pytest.mark.parametrize("branches", [4, 5, 6, 9, 10, 11, 13])
def test_every_segment_is_a_path_of_its_own(branches: int) -> None:
    coder = Segmented(3)
    plan = plan_of([BIT // 4], 4 * branches, coder)
    assert len(plan.starts) - 1 == branches
    target = target_of(plan)
    sample, data = send(coder, target, plan)
    expected = [
        best_sample(target, plan, 3, first, min(first + 5, branches))
        for first in range(0, branches, 5)
    ]
    np.testing.assert_array_equal(sample, np.concatenate(expected))
    np.testing.assert_array_equal(receive(coder, data, plan), sample)


def test_pfr_sends_the_codeword_of_the_smallest_time_by_ratio() -> None:
    coder = ShortPfr()
    coder._SLICE = 2
    plan = plan_of([BIT // 10], 97, coder)
    target = target_of(plan)
    sample, _ = send(coder, target, plan)
    size = 2**coder.INDEX_BITS
    length = -(-plan.branch * LONGEST // BIT)
    book = normals(plan.seed, 0, reverse_channel._BOOK, n=size * length).reshape(size, length)
    branches = len(plan.starts) - 1
    assert branches == 5
    for branch in range(branches):
        first, last = plan.starts[branch : branch + 2]
        left = branch // 2 * 2
        times = np.exp(coder._log_arrivals(plan, left, min(left + 2, branches))[branch - left])
        candidates = book[:, : last - first] * plan.signs[first:last]
        part = Target(target.mean[first:last], target.variance[first:last])
        ratios = np.exp(log_ratio(candidates, part).sum(1))
        np.testing.assert_array_equal(sample[first:last], candidates[np.argmin(times / ratios)])


def test_arrivals_are_poisson_processes_of_their_own() -> None:
    coder, plan = ShortPfr(), plan_of([BIT], 9, ShortPfr())
    rows = [coder._log_arrivals(plan, left, left + 2) for left in (0, 2, 4)]
    rows.append(coder._log_arrivals(replace(plan, step=4), 0, 2))
    rows.append(coder._log_arrivals(replace(plan, seed=8), 0, 2))
    times = np.exp(np.concatenate(rows).astype(float))[:, :1000]
    gaps = np.diff(times)
    assert (gaps >= 0).all()
    assert np.abs(gaps.mean(1) - 1).max() < 4 / math.sqrt(1000)
    assert np.abs(gaps.var(1) - 1).max() < 4 * math.sqrt(8 / 1000)
    spectra = np.fft.fft(gaps - gaps.mean(1, keepdims=True))
    for first, second in itertools.combinations(spectra, 2):
        at_all_shifts = np.fft.ifft(first * second.conj()).real / 1000
        assert np.abs(at_all_shifts).max() < 0.25


@pytest.mark.parametrize("coder", [BitTrellis(4), ShortPfr()])
def test_only_a_sender_multiplies(coder: Trellis | Pfr) -> None:
    calls = []

    def product(a: Float32s, b: Float32s) -> Float32s:
        calls.append(a.shape)
        exact: Float32s = (a.astype(float) @ b.T).astype(np.float32)
        return exact

    given = BitTrellis(4, product) if isinstance(coder, Trellis) else ShortPfr(product)
    plan = plan_of([BIT // 5], 60, coder)
    sample, data = send(given, target_of(plan), plan)
    assert calls
    calls.clear()
    np.testing.assert_array_equal(receive(given, data, plan), sample)
    assert not calls
    np.testing.assert_array_equal(send(coder, target_of(plan), plan)[0], sample)


# Both sides ----------------------------------------------------------------------------------

PLANS: dict[str, tuple[list[int], int]] = {
    "no class": ([], 5),
    "no information": ([0, 0, 255], 16),
    "one sample": ([BIT], 1),
    "one branch": ([BIT // 20], 20),
    "fewer branches than state bits": ([BIT // 4], 16),
    "as many": ([BIT // 4], 20),
    "one more": ([BIT // 4], 24),
    "at the threshold": ([255, 256, 254], 700),
    "above the threshold": ([257], 700),
    "unequal classes": ([300, BIT, 0, 9 * BIT // 10, 20_000, 20_000, 3000], 37),
    "more than a branch": ([8 * BIT + 1, 3 * BIT], 12),
}


@pytest.mark.parametrize("coder", CODERS)
@pytest.mark.parametrize("name", PLANS)
def test_receiver_gets_the_sample_from_the_bytes_alone(name: str, coder: ReverseCoder) -> None:
    plan = plan_of(*PLANS[name], coder)
    target = target_of(plan)
    sample, data = send(coder, target, plan)
    assert sample.shape == (len(plan.classes) * plan.count,)
    assert sample.dtype == np.float32
    np.testing.assert_array_equal(receive(coder, data, plan), sample)
    assert 8 * len(data) <= coder.price(plan) + 32
    if not plan.classes.size:
        assert (data, plan.bits) == (b"", 0)


@pytest.mark.parametrize("coder", CODERS)
def test_any_target_can_be_sent_by_any_plan(coder: ReverseCoder) -> None:
    """A plan says what is expected; what comes may be far from it."""
    plan = plan_of([BIT // 3, 700], 40, coder)
    n = int(plan.starts[-1])
    seen = set()
    for mean, variance in ((0, 1), (0, 1e-4), (50, 0.5), (-3, 1), (1e4, 1e-3)):
        target = Target(np.full(n, mean, np.float32), np.full(n, variance, np.float32))
        sample, data = send(coder, target, plan)
        seen.add(data)
        assert np.isfinite(sample).all()
        np.testing.assert_array_equal(receive(coder, data, plan), sample)
    assert len(seen) > 3


@pytest.mark.parametrize("coder", CODERS)
@pytest.mark.parametrize("change", [{"seed": 8}, {"step": 4}])
def test_seed_and_step_change_the_codewords(coder: ReverseCoder, change: dict[str, Any]) -> None:
    plan = plan_of([BIT // 3, 700], 40, coder)
    sample, data = send(coder, target_of(plan), plan)
    other = coder.code(None, replace(plan, **change), Decoder(data))
    assert (np.abs(other - sample) > 0.01).mean() > 0.4


@pytest.mark.parametrize("coder", CODERS)
def test_any_bytes_are_a_sample_or_an_error(coder: ReverseCoder) -> None:
    plan = plan_of([BIT // 3, 700], 40, coder)
    rng = np.random.default_rng(0)
    outcomes = set()
    for _ in range(40):
        try:
            sample = coder.code(None, plan, Decoder(rng.bytes(int(rng.integers(0, 30)))))
        except CorruptError:
            outcomes.add("error")
        else:
            outcomes.add("sample")
            assert np.isfinite(sample).all() and sample.shape == (80,)
    assert "sample" in outcomes


# Plans ---------------------------------------------------------------------------------------


def starts_of(plan: Plan) -> list[int]:
    """Where branches start, counted sample by sample in unlimited integers."""
    coded = [int(value) for value in plan.information if value >= BIT // LONGEST]
    starts, before, latest = [], 0, -1
    for index in range(len(coded) * plan.count):
        branch = before // plan.branch
        if branch > latest:
            starts.append(index)
            latest = branch
        before += sorted(coded, reverse=True)[index // plan.count]
    return [*starts, len(coded) * plan.count]


@pytest.mark.parametrize("coder", CODERS)
@pytest.mark.parametrize("name", PLANS)
def test_every_sample_is_in_one_branch(name: str, coder: ReverseCoder) -> None:
    plan = plan_of(*PLANS[name], coder)
    assert plan.starts.tolist() == starts_of(plan)
    places = [
        (branch, offset)
        for branch, length in enumerate(np.diff(plan.starts))
        for offset in range(length)
    ]
    assert list(zip(plan.branches.tolist(), plan.offsets.tolist(), strict=True)) == places
    assert plan.offsets.max(initial=0) < -(-plan.branch * LONGEST // BIT)
    assert plan.signs.shape == (len(places),)
    assert set(np.abs(plan.signs).tolist()) <= {1.0}


def test_branches_of_the_least_information_are_the_longest() -> None:
    for informations, length in (([256], 256), ([257], 256), ([512], 128)):
        plan = plan_of(informations, 2000, BitTrellis(5))
        assert np.diff(plan.starts)[:-1].max() == length
    assert plan_of([255], 2000, BitTrellis(5)).starts.tolist() == [0]


@pytest.mark.parametrize(
    ("information", "count", "branch"),
    [(BIT, 33_000, 1), (BIT, 66_000, 1), (8 * BIT + 1, 9000, 8), (3 * BIT // 2, 45_000, 1)],
)
def test_long_plans_are_indexed_right(information: int, count: int, branch: int) -> None:
    """Information in all beyond 2^31 and 2^32 units."""
    plan = Plan(np.array([0, information]), count, 1, 1, branch * BIT)
    assert information * count > 2**31
    assert plan.bits == information * count
    assert plan.starts.tolist() == starts_of(plan)
    coder = BitTrellis(4)
    target = target_of(plan)
    if branch == 1:
        sample, data = send(coder, target, plan)
        np.testing.assert_array_equal(receive(coder, data, plan), sample)
        # One bit a sample halves its distance to a mean that was as far off as p is wide.
        assert 0.3 < np.mean((sample - target.mean) ** 2) < 0.8
        assert (np.abs(sample[-1000:] - target.mean[-1000:]) < 4).all()


def test_classes_of_most_information_come_first() -> None:
    plan = plan_of([300, 9000, 255, 9000, 0, 256], 4, BitTrellis(5))
    assert plan.classes.tolist() == [1, 3, 0, 5]
    assert plan.bits == (300 + 18_000 + 256) * 4
    values = np.arange(6, dtype=np.float32)
    assert plan.spread(values).tolist() == [1] * 4 + [3] * 4 + [0] * 4 + [5] * 4


@pytest.mark.parametrize("count", [1, 2, 3, 16, 97])
def test_restore_undoes_arrange(count: int) -> None:
    plan = plan_of([0, BIT, 300, 255], count, BitTrellis(5))
    values = np.random.default_rng(count).normal(0, 3, (4, count)).astype(np.float32)
    coded = plan.arrange(values)
    assert coded.shape == (2 * count,) and coded.dtype == np.float32
    restored = plan.restore(coded)
    assert restored.dtype == np.float32
    np.testing.assert_allclose(restored[[1, 2]], values[[1, 2]], rtol=0, atol=1e-5)
    energies = [np.square(part).sum() for part in (values[1], values[2])]
    found = [np.square(part).sum() for part in coded.reshape(2, count)]
    assert found == pytest.approx(energies, rel=1e-5)


def test_a_mixed_sample_comes_from_all_of_its_class() -> None:
    count = 32
    plan = plan_of([BIT, 0, BIT], count, BitTrellis(5))
    columns = []
    for place in range(count):
        values = np.zeros((3, count), np.float32)
        values[0, place] = 1
        coded = plan.arrange(values)
        assert not coded[count:].any()
        columns.append(coded[:count])
    mixing = np.array(columns)
    np.testing.assert_allclose(mixing @ mixing.T, np.eye(count), rtol=0, atol=1e-6)
    # A sum of cosine and sine is at most the root of two times its root mean square.
    assert np.abs(mixing).max() <= math.sqrt(2 / count) + 1e-6
    # A flat class, all of whose energy is in one frequency, is spread by the signs.
    flat = plan.arrange(np.ones((3, count), np.float32))
    assert np.abs(flat).max() < 0.75 * math.sqrt(count)


def test_signs_are_shared_fair_and_of_their_own() -> None:
    plan = plan_of([BIT, BIT], 500, BitTrellis(5))
    rows = [plan.flips, plan.signs[:500], plan.signs[500:]]
    rows += [replace(plan, step=4).flips, replace(plan, seed=8).flips]
    for row in rows:
        assert set(row.tolist()) == {-1, 1} and abs(row.mean()) < 4 / math.sqrt(500)
    for first, second in itertools.combinations(rows, 2):
        assert abs((first * second).mean()) < 4 / math.sqrt(500)
    np.testing.assert_array_equal(replace(plan).flips, plan.flips)


def test_classes_that_are_not_coded_are_shared_normals() -> None:
    plan = plan_of([0, BIT, 255], 400, BitTrellis(5))
    first, second = (plan.restore(np.full(400, value, np.float32)) for value in (0, 1))
    assert not np.array_equal(first[1], second[1])
    drawn = first[[0, 2]]
    np.testing.assert_array_equal(drawn, second[[0, 2]])
    np.testing.assert_array_equal(drawn, replace(plan).restore(np.zeros(400, np.float32))[[0, 2]])
    assert distance(drawn.reshape(-1)) < 1.95 / math.sqrt(drawn.size)
    assert abs(np.mean(drawn[0] * drawn[1])) < 4 / math.sqrt(400)
    assert not np.array_equal(replace(plan, step=4).restore(np.zeros(400, np.float32))[0], first[0])


def test_plans_without_classes() -> None:
    plan = plan_of([], 5, BitTrellis(5))
    empty = np.zeros((0, 5), np.float32)
    assert plan.arrange(empty).shape == (0,)
    assert plan.restore(np.zeros(0, np.float32)).shape == (0, 5)
    assert (plan.bits, BitTrellis(5).price(plan)) == (0, 0)


# The distribution of the samples -------------------------------------------------------------


def distance(values: NDArray[Any]) -> float:
    """Kolmogorov and Smirnov's: the largest difference from the normal distribution."""
    cdf = np.array([NormalDist().cdf(value) for value in np.sort(values).tolist()])
    steps = np.arange(len(values) + 1) / len(values)
    return float(max((cdf - steps[:-1]).max(), (steps[1:] - cdf).max()))


def residual_of(sample: Float32s, target: Target) -> Floats:
    """Standard normal if the sample is one of q."""
    residual: Floats = (sample - target.mean.astype(float)) / np.sqrt(target.variance)
    return residual


def slope_of(sample: Float32s, target: Target) -> float:
    """How much of the mean is in the sample: 1 if the sample is one of q."""
    return float(np.dot(sample, target.mean) / np.dot(target.mean, target.mean))


@pytest.mark.parametrize("state_bits", [8, 10, 12])
@pytest.mark.parametrize(
    ("information", "count", "spread"),
    [(0.02, 50_000, 0.04), (0.1, 40_000, 0.04), (0.5, 20_000, 0.15)],
)
def test_distribution_of_the_trellis(
    information: float, count: int, spread: float, state_bits: int
) -> None:
    """Branches carry a little less than a bit, so that what arrives is as good as a sample of q."""
    coder = Trellis(state_bits)
    plan = plan_of([round(information * BIT)], count, coder)
    target = target_of(plan)
    sample, _ = send(coder, target, plan)
    residual = residual_of(sample, target)
    assert abs(residual.mean()) < 4 / math.sqrt(count)
    assert abs(residual.var() - 1) < spread
    assert distance(residual) < 1.95 / math.sqrt(count)
    assert abs(sample.mean()) < 4 / math.sqrt(count)
    assert abs(sample.var() - 1) < 0.15
    assert 0.97 < slope_of(sample, target) < 1.03


def test_longer_registers_find_likelier_samples() -> None:
    plan = plan_of([BIT // 10], 20_000, BitTrellis(5))
    target = target_of(plan)
    gains = [
        float(log_ratio(send(BitTrellis(n), target, plan)[0], target).sum()) for n in (5, 7, 9)
    ]
    slopes = [slope_of(send(BitTrellis(n), target, plan)[0], target) for n in (5, 7, 9)]
    assert gains == sorted(gains)
    assert slopes == sorted(slopes)
    assert slopes[-1] - slopes[0] > 0.03


@pytest.mark.parametrize(("information", "count"), [(0.1, 100), (0.5, 80)])
def test_distribution_of_pfr(
    information: float, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exact where codewords are far more than the divergence asks for.

    Over many seeds: branches of a plan share codewords, the first of which are chosen often.
    """
    monkeypatch.setattr(reverse_channel, "LONGEST", 16)
    coder = ShortPfr()
    targets, samples = [], []
    for seed in range(80):
        plan = plan_of([round(information * BIT)], count, coder, seed)
        targets.append(target_of(plan, seed))
        samples.append(send(coder, targets[-1], plan)[0])
    target = Target(
        np.concatenate([target.mean for target in targets]),
        np.concatenate([target.variance for target in targets]),
    )
    sample = np.concatenate(samples)
    residual = residual_of(sample, target)
    assert abs(residual.mean()) < 4 / math.sqrt(sample.size)
    assert abs(residual.var() - 1) < 0.08
    assert distance(residual) < 1.95 / math.sqrt(sample.size)
    assert abs(sample.var() - 1) < 0.08
    assert abs(slope_of(sample, target) - 1) < 0.08


# Prices --------------------------------------------------------------------------------------


@pytest.mark.parametrize("state_bits", [1, 4, 5, 12])
@pytest.mark.parametrize("branches", [0, 1, 2, 4, 5, 6, 60])
def test_a_trellis_takes_a_bit_a_branch_and_the_first_state(state_bits: int, branches: int) -> None:
    coder = BitTrellis(state_bits)
    plan = plan_of([BIT // 2], 2 * branches, coder) if branches else plan_of([0], 8, coder)
    bits = branches + max(0, min(state_bits, branches) - 1)
    assert coder.price(plan) == bits + bits % 2  # sent in pairs
    assert sent_bits(coder, target_of(plan), plan) == coder.price(plan)


@pytest.mark.parametrize("branches", [5, 6, 7, 8, 9, 10, 11, 24, 25, 26])
def test_every_segment_of_a_trellis_has_a_first_state(branches: int) -> None:
    coder = Segmented(4)
    plan = plan_of([BIT // 2], 2 * branches, coder)
    whole, rest = divmod(branches, 5)
    bits = whole * 8 + (rest and 2 * ((rest + min(rest, 4)) // 2))
    assert coder.price(plan) == bits
    assert sent_bits(coder, target_of(plan), plan) == bits


@pytest.mark.parametrize("informations", [[BIT // 50], [BIT // 5, BIT // 7], [BIT, 400, 20_000]])
def test_code_length_of_the_trellis_is_the_divergence(informations: list[int]) -> None:
    coder = BitTrellis(8)
    plan = plan_of(informations, 3000, coder)
    bits = sent_bits(coder, target_of(plan), plan)
    assert -1 <= bits - plan.bits / BIT <= 8 + 1


@pytest.mark.parametrize(("information", "count"), [(0.1, 4000), (1, 600)])
def test_code_length_of_pfr_is_near_the_divergence(
    information: float, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With branches as long as they are in files, but of fewer samples, which take less memory."""
    monkeypatch.setattr(reverse_channel, "LONGEST", 16)
    coder = Pfr()
    plan = plan_of([round(information * BIT)], count, coder)
    target = target_of(plan)
    tally = Tally()
    sample = coder.code(target, plan, tally)
    assert 1 < tally.bits / (plan.bits / BIT) < 1.45
    assert tally.bits < coder.price(plan)
    assert 0.93 < slope_of(sample, target) < 1.05
    encoder = Encoder()
    coder.code(target, plan, encoder)
    np.testing.assert_array_equal(receive(coder, encoder.finish(), plan), sample)


# Numbers of a Zipf distribution --------------------------------------------------------------


@pytest.mark.parametrize("index_bits", [1, 4, 12])
def test_every_number_comes_back(index_bits: int) -> None:
    numbers = np.random.default_rng(0).permutation(2**index_bits)
    encoder = Encoder()
    coded = reverse_channel._code_zipf(numbers, len(numbers), index_bits, encoder)
    np.testing.assert_array_equal(coded, numbers)
    decoder = Decoder(encoder.finish())
    found = reverse_channel._code_zipf(None, len(numbers), index_bits, decoder)
    np.testing.assert_array_equal(found, numbers)


def test_numbers_take_their_zipf_price() -> None:
    weights = np.arange(1, 2**14 + 1) ** -1.105
    shares = weights / weights.sum()
    rng = np.random.default_rng(0)
    numbers = rng.choice(2**14, 5000, p=shares)
    tally = Tally()
    reverse_channel._code_zipf(numbers, len(numbers), 14, tally)
    entropy = -float(np.log2(shares[numbers]).sum())
    assert entropy < tally.bits < 1.04 * entropy
    for number, most in ((0, 4), (2**13, 19), (2**14 - 1, 19)):
        tally = Tally()
        reverse_channel._code_zipf(np.full(64, number), 64, 14, tally)
        assert tally.bits / 64 < most


def test_no_numbers() -> None:
    encoder = Encoder()
    assert reverse_channel._code_zipf(np.zeros(0, np.int64), 0, 14, encoder).shape == (0,)
    assert encoder.finish() == b""


@pytest.mark.parametrize("number", [2**6, 2**7 - 2])
def test_numbers_without_a_codeword_are_refused(number: int) -> None:
    """The last octave could hold them."""
    numbers = np.array([3, number])
    encoder = Encoder()
    with pytest.raises(CorruptError, match=f"codeword {number} does not exist; there are 64"):
        reverse_channel._code_zipf(numbers, 2, 6, encoder)
    with pytest.raises(CorruptError, match=f"codeword {number} does not exist; there are 64"):
        reverse_channel._code_zipf(None, 2, 6, Decoder(encoder.finish()))
