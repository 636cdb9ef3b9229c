"""Every kernel against a slow twin in plain Python integers."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal, localcontext
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest

from noisepress.bitstream import _kernels, entropy
from noisepress.bitstream.entropy import (
    DEVIATION_HIGH,
    DEVIATION_LOW,
    SCALE_HIGH,
    SCALE_LOW,
    GaussianMixture,
    LogisticMixture,
)

Kernel = Callable[..., None]


def both(kernel: Any) -> list[Any]:
    """Parameters for the compiled kernel and the Python function it was made of."""
    return [pytest.param(kernel, id="compiled"), pytest.param(kernel.py_func, id="python")]


def test_tables_are_the_rounded_formulas() -> None:
    tables = entropy._logistic_tables()
    with localcontext() as context:
        context.prec = 40
        two, one, half = Decimal(2), Decimal(1), Decimal("0.5")
        weight = [two ** (16 - Decimal(i) / 32) for i in range(16 * 32 + 1)]
        inverse = [two ** (20 - Decimal(i) / 16) for i in range(SCALE_LOW, SCALE_HIGH + 1)]
        sigmoid = [2**28 / (one + (-Decimal(i) / 64).exp()) for i in range(-16 * 64, 16 * 64 + 1)]
        for exact, table in (
            (weight, tables.weight),
            (inverse, tables.inverse),
            (sigmoid, tables.cdf),
        ):
            assert table.tolist() == [int(value + half) for value in exact]


def test_tables_of_the_normal_are_the_rounded_formulas() -> None:
    tables = entropy._normal_tables()
    below = NormalDist().cdf
    assert tables.cdf.tolist() == [round(2**28 * below(i / 64)) for i in range(-1024, 1025)]
    steps = range(DEVIATION_LOW, DEVIATION_HIGH + 1)
    assert tables.inverse.tolist() == [round(2 ** (20 - i / 64)) for i in steps]


@pytest.mark.parametrize("kind", ["logistic", "normal"])
def test_a_wrong_table_is_an_error(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    crc = f"_{kind.upper()}_CRC"
    monkeypatch.setattr(entropy, crc, getattr(entropy, crc) ^ 1)
    with pytest.raises(RuntimeError, match="tables"):
        getattr(entropy, f"_{kind}_tables").__wrapped__()


KINDS: dict[Any, Callable[[], Any]] = {
    LogisticMixture: entropy._logistic_tables,
    GaussianMixture: entropy._normal_tables,
}
FLOORS = {LogisticMixture: 12, GaussianMixture: 28}
Kind = type[LogisticMixture] | type[GaussianMixture]


def edge(
    kind: Kind, x: int, size: int, logits: list[int], locations: list[int], scales: list[int]
) -> int:
    """Cumulative weight below level x in Python integers, as docs/format.md defines it."""
    tables = KINDS[kind]()
    weights = [int(tables.weight[min(max(logits) - logit, 512)]) for logit in logits]
    total = sum(weights)
    below = 0
    for weight, location, scale in zip(weights, locations, scales, strict=True):
        scale = min(max(scale, tables.low), tables.high)
        argument = (16 * x - 8 - location) * int(tables.inverse[scale - tables.low])
        index, fraction = divmod(min(max(argument, -(2**28)), 2**28 - 1) + 2**28, 2**18)
        low, high = int(tables.cdf[index]), int(tables.cdf[index + 1])
        below += weight * (low + (high - low) * fraction // 2**18)
    if x <= 0:
        below = 0
    if x >= size:
        below = total * 2**28
    floor: int = total * 2 ** (28 - FLOORS[kind]) // size
    return below + x * floor


def frequencies(
    kind: Kind, prefix: int, step: int, size: int, *parameters: list[int]
) -> tuple[list[int], list[int]]:
    """The row of four frequencies and the five edges that it comes from."""
    edges = [edge(kind, prefix + digit * step, size, *parameters) for digit in range(5)]
    unit = (edges[4] - edges[0]) // 2**20 + 1
    return [1 + (edges[d + 1] - edges[d]) // unit for d in range(4)], edges


EXTREMES = {
    "logits": [-(2**31), -(10**6), -513, -512, -1, 0, 1, 512, 513, 10**6, 2**31 - 1],
    "locations": [-(2**31), -100_000, -8, 0, 7, 8, 9, 4088, 100_000, 2**31 - 1],
    "scales": [-(2**31), -257, -256, -49, -48, 0, 40, 128, 129, 640, 641, 2**31 - 1],
}


def parameters(rng: np.random.Generator, n: int, k: int) -> dict[str, entropy.Ints]:
    """Half of them extreme, half of them ordinary."""
    usual = {"logits": (-600, 600), "locations": (-500, 5000), "scales": (SCALE_LOW, SCALE_HIGH)}
    drawn = {}
    for name, (low, high) in usual.items():
        extreme = rng.choice(EXTREMES[name], (n, k))
        plain = rng.integers(low, high, (n, k))
        drawn[name] = np.where(rng.random((n, 1)) < 0.5, extreme, plain).astype(np.int32)
    return drawn


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("kernel", both(_kernels.mixture_frequencies))
@pytest.mark.parametrize(("digits", "k"), [(1, 1), (2, 3), (4, 1), (4, 5), (6, 2), (8, 10)])
def test_mixture_frequencies(
    kind: Kind, kernel: Kernel, digits: int, k: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_kernels, "mixture_frequencies", kernel)
    rng = np.random.default_rng([digits, k])
    n = 40
    drawn = parameters(rng, n, k)
    mixture = kind(**drawn, digits=digits)
    for left in range(digits):
        step = 4**left
        prefixes = (rng.integers(0, 4 ** (digits - left - 1), n) * 4 * step).astype(np.int32)
        prefixes[:2] = 0, 4**digits - 4 * step
        rows = mixture.frequencies(prefixes, step)
        assert rows.dtype == np.float32
        assert rows.shape == (n, 4)
        assert rows.min() >= 1
        assert rows.sum(1, dtype=np.float64).max() < 2**24
        for i in range(n):
            lists = [drawn[name][i].tolist() for name in ("logits", "locations", "scales")]
            expected, edges = frequencies(kind, int(prefixes[i]), step, 4**digits, *lists)
            assert edges == sorted(edges)
            assert max(edges) < 2**63
            assert rows[i].tolist() == expected


def test_a_narrow_mixture_follows_its_location() -> None:
    """The level at the location gets nearly all, levels that it spreads to the logistic's share."""
    zero = np.zeros((1, 1), np.int32)
    location = np.full((1, 1), 16 * 37, np.int32)
    narrow = LogisticMixture(zero, location, np.full((1, 1), SCALE_LOW, np.int32), digits=3)
    for left, digit in ((2, 37 // 16), (1, 37 // 4 % 4), (0, 37 % 4)):
        prefix = np.array([37 // 4 ** (left + 1) * 4 ** (left + 1)], np.int32)
        row = narrow.frequencies(prefix, 4**left)[0].astype(np.float64)
        assert int(row.argmax()) == digit
        assert row[digit] / row.sum() > 0.95


@pytest.mark.parametrize("scale", [0, 16, 40])
def test_level_probabilities_are_the_discretised_logistic(scale: int) -> None:
    n = 64
    size = np.full((n, 1), scale, np.int32)
    location = np.full((n, 1), 16 * 30 + 5, np.int32)
    mixture = LogisticMixture(np.zeros((n, 1), np.int32), location, size, digits=3)
    levels = np.arange(n, dtype=np.int32)
    share = np.ones(n)
    for left in (2, 1, 0):
        prefixes = levels >> (2 * left + 2) << (2 * left + 2)
        rows = mixture.frequencies(prefixes.astype(np.int32), 4**left).astype(np.float64)
        share *= rows[levels, levels >> (2 * left) & 3] / rows.sum(1)
    edges = np.arange(n + 1) - 0.5
    cdf = 1 / (1 + np.exp(-(edges - 30 - 5 / 16) / 2 ** (scale / 16)))
    cdf[0], cdf[-1] = 0, 1
    ideal = (np.diff(cdf) + 2.0**-12 / n) / (1 + 2.0**-12)
    np.testing.assert_allclose(share, ideal, rtol=0.02, atol=2e-6)
    assert share.sum() == pytest.approx(1)


@pytest.mark.parametrize("scale", [0, 100, 256])
def test_level_probabilities_are_the_discretised_normal(scale: int) -> None:
    n = 64
    mixture = GaussianMixture.single(
        np.full(n, 16 * 30 + 5, np.int32), np.full(n, scale, np.int32), digits=3
    )
    levels = np.arange(n, dtype=np.int32)
    share = np.ones(n)
    for left in (2, 1, 0):
        prefixes = levels >> (2 * left + 2) << (2 * left + 2)
        rows = mixture.frequencies(prefixes.astype(np.int32), 4**left).astype(np.float64)
        share *= rows[levels, levels >> (2 * left) & 3] / rows.sum(1)
    normal = NormalDist(30 + 5 / 16, 2 ** (scale / 64))
    cdf = np.array([normal.cdf(level - 0.5) for level in range(n + 1)])
    cdf[0], cdf[-1] = 0, 1
    np.testing.assert_allclose(share, np.diff(cdf), rtol=0.02, atol=4e-6)
    assert share.sum() == pytest.approx(1)


KNOWN = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((2**32 - 1,) * 4, (2**32 - 1,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


@pytest.mark.parametrize("kernel", both(_kernels.philox))
@pytest.mark.parametrize(("counter", "key", "expected"), KNOWN)
def test_philox_gives_the_known_answers_of_random123(
    kernel: Kernel,
    counter: tuple[int, int, int, int],
    key: tuple[int, int],
    expected: tuple[int, ...],
) -> None:
    out = np.empty(4, np.uint32)
    first = np.uint64(counter[0] | counter[1] << 32)
    kernel(np.array(key, np.uint32), np.array(counter[2:], np.uint32), first, out)
    assert tuple(out.tolist()) == expected


@pytest.mark.parametrize("kernel", both(_kernels.philox))
@pytest.mark.parametrize("first", [0, 2**32 - 2, 2**63 - 2])
def test_philox_blocks_are_numbered_through(kernel: Kernel, first: int) -> None:
    key, counter = np.array([1, 2], np.uint32), np.array([3, 4], np.uint32)
    together = np.empty(16, np.uint32)
    kernel(key, counter, np.uint64(first), together)
    for block in range(4):
        alone = np.empty(4, np.uint32)
        kernel(key, counter, np.uint64(first + block), alone)
        assert together[4 * block : 4 * block + 4].tolist() == alone.tolist()
    assert len(set(together.tolist())) == 16
