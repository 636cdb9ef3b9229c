"""Entropy coding in symbols per second, against constriction and CompressAI's rANS."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import constriction
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import norm

from noisepress.bitstream.coders import Decoder, Encoder, Stack, Tally
from noisepress.bitstream.entropy import Ints, LogisticMixture

pytestmark = pytest.mark.slow
Benchmark = Any
PRECISION = 16
SCALES = np.exp(np.linspace(np.log(0.5), np.log(20), 64))
REACH = 127


def note(benchmark: Benchmark, count: int) -> None:
    """Put the throughput beside the times."""
    benchmark.extra_info["symbols per second"] = round(count / benchmark.stats["median"])


@pytest.mark.benchmark(group="encode 200,000 symbols")
def test_encode(benchmark: Benchmark, mixture: LogisticMixture, symbols: Ints) -> None:
    def run() -> bytes:
        encoder = Encoder()
        encoder.code(symbols, mixture)
        return encoder.finish()

    assert benchmark(run)
    note(benchmark, len(symbols))


@pytest.mark.benchmark(group="decode 200,000 symbols")
def test_decode(benchmark: Benchmark, mixture: LogisticMixture, symbols: Ints) -> None:
    encoder = Encoder()
    encoder.code(symbols, mixture)
    data = encoder.finish()
    decoded = benchmark(lambda: Decoder(data).code(None, mixture))
    assert np.array_equal(decoded, symbols)
    note(benchmark, len(symbols))


@pytest.mark.benchmark(group="count the bits of 200,000 symbols")
def test_tally(benchmark: Benchmark, mixture: LogisticMixture, symbols: Ints) -> None:
    benchmark(lambda: Tally().code(symbols, mixture))
    note(benchmark, len(symbols))


@pytest.mark.benchmark(group="push and pop 200,000 symbols")
def test_stack(benchmark: Benchmark, mixture: LogisticMixture, symbols: Ints) -> None:
    def run() -> Ints:
        stack = Stack()
        stack.push(symbols, mixture)
        return stack.pop(mixture)

    assert np.array_equal(benchmark(run), symbols)
    note(benchmark, len(symbols))


def deviations(mixture: LogisticMixture) -> NDArray[np.float64]:
    """Standard deviations of Gaussians about as wide as the first logistics."""
    found: NDArray[np.float64] = np.exp2(mixture.scales[:, 0] / 16) * 1.8
    return found


@pytest.fixture(scope="module")
def gaussians(mixture: LogisticMixture) -> tuple[Any, ...]:
    """Constriction's model of the symbols: a family, its means and standard deviations."""
    family = constriction.stream.model.QuantizedGaussian(0, 255)
    return family, mixture.locations[:, 0] / 16, deviations(mixture)


@pytest.mark.benchmark(group="encode 200,000 symbols")
def test_constriction_gaussian_encode(
    benchmark: Benchmark, gaussians: tuple[Any, ...], symbols: Ints
) -> None:
    def run() -> Any:
        coder = constriction.stream.queue.RangeEncoder()
        coder.encode(symbols, *gaussians)
        return coder.get_compressed()

    assert len(benchmark(run))
    note(benchmark, len(symbols))


@pytest.mark.benchmark(group="decode 200,000 symbols")
def test_constriction_gaussian_decode(
    benchmark: Benchmark, gaussians: tuple[Any, ...], symbols: Ints
) -> None:
    coder = constriction.stream.queue.RangeEncoder()
    coder.encode(symbols, *gaussians)
    words = coder.get_compressed()

    def run() -> Any:
        return constriction.stream.queue.RangeDecoder(words).decode(*gaussians)

    assert np.array_equal(benchmark(run), symbols)
    note(benchmark, len(symbols))


def gaussian_tables() -> tuple[list[list[int]], list[int], list[int]]:
    """Cumulative frequencies, lengths and offsets of zero-mean Gaussians, as rANS wants them."""
    tables = []
    for scale in SCALES:
        edges = norm.cdf((np.arange(-REACH, REACH + 2) - 0.5) / scale)
        mass = np.maximum(1, np.floor(np.diff(edges) * (2**PRECISION - 2 * REACH - 8)))
        mass = np.append(mass, 1)  # the escape symbol
        mass[REACH] += 2**PRECISION - mass.sum()
        tables.append([0, *np.cumsum(mass).astype(int).tolist()])
    return tables, [len(table) for table in tables], [-REACH] * len(tables)


def residuals(mixture: LogisticMixture, symbols: Ints) -> tuple[list[int], list[int]]:
    """Symbols less their location, and which table each is coded with."""
    values = np.clip(symbols - mixture.locations[:, 0] // 16, -REACH, REACH)
    wanted = np.log(deviations(mixture))
    indexes = np.abs(np.log(SCALES)[None] - wanted[:, None]).argmin(1)
    return values.tolist(), indexes.tolist()


@dataclass(frozen=True)
class Rans:
    """CompressAI's coder, what it codes, and its model: the indexes and the tables."""

    module: Any
    values: list[int]
    model: tuple[Any, ...]

    def encode(self) -> bytes:
        data: bytes = self.module.RansEncoder().encode_with_indexes(self.values, *self.model)
        return data


@pytest.fixture(scope="module")
def rans(mixture: LogisticMixture, symbols: Ints) -> Rans:
    module = pytest.importorskip("compressai.ans")
    values, indexes = residuals(mixture, symbols)
    return Rans(module, values, (indexes, *gaussian_tables()))


@pytest.mark.benchmark(group="encode 200,000 symbols")
def test_compressai_rans_encode(benchmark: Benchmark, rans: Rans) -> None:
    assert benchmark(rans.encode)
    note(benchmark, len(rans.values))


@pytest.mark.benchmark(group="decode 200,000 symbols")
def test_compressai_rans_decode(benchmark: Benchmark, rans: Rans) -> None:
    data, decoder = rans.encode(), rans.module.RansDecoder
    decoded = benchmark(lambda: decoder().decode_with_indexes(data, *rans.model))
    assert decoded == rans.values
    note(benchmark, len(rans.values))
