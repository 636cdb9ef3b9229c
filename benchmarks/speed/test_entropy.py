"""Entropy coding in symbols per second, against constriction and CompressAI's rANS."""

from __future__ import annotations

from typing import Any

import constriction
import numpy as np
import pytest
from compressai.ans import RansDecoder, RansEncoder
from scipy.stats import norm

from noisepress.bitstream.coders import Decoder, Encoder, Stack, Tally
from noisepress.bitstream.entropy import Ints, LogisticMixture

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


@pytest.mark.benchmark(group="encode 200,000 symbols")
def test_constriction_gaussian_encode(
    benchmark: Benchmark, mixture: LogisticMixture, symbols: Ints
) -> None:
    family = constriction.stream.model.QuantizedGaussian(0, 255)
    means = mixture.locations[:, 0] / 16
    deviations = np.exp2(mixture.scales[:, 0] / 16) * 1.8

    def run() -> Any:
        coder = constriction.stream.queue.RangeEncoder()
        coder.encode(symbols, family, means, deviations)
        return coder.get_compressed()

    assert len(benchmark(run))
    note(benchmark, len(symbols))


@pytest.mark.benchmark(group="decode 200,000 symbols")
def test_constriction_gaussian_decode(
    benchmark: Benchmark, mixture: LogisticMixture, symbols: Ints
) -> None:
    family = constriction.stream.model.QuantizedGaussian(0, 255)
    means = mixture.locations[:, 0] / 16
    deviations = np.exp2(mixture.scales[:, 0] / 16) * 1.8
    coder = constriction.stream.queue.RangeEncoder()
    coder.encode(symbols, family, means, deviations)
    words = coder.get_compressed()

    def run() -> Any:
        return constriction.stream.queue.RangeDecoder(words).decode(family, means, deviations)

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
    scale = np.exp2(mixture.scales[:, 0] / 16) * 1.8
    indexes = np.abs(np.log(SCALES)[None] - np.log(scale)[:, None]).argmin(1)
    return values.tolist(), indexes.tolist()


@pytest.mark.benchmark(group="encode 200,000 symbols")
def test_compressai_rans_encode(
    benchmark: Benchmark, mixture: LogisticMixture, symbols: Ints
) -> None:
    values, indexes = residuals(mixture, symbols)
    tables = gaussian_tables()
    assert benchmark(lambda: RansEncoder().encode_with_indexes(values, indexes, *tables))
    note(benchmark, len(symbols))


@pytest.mark.benchmark(group="decode 200,000 symbols")
def test_compressai_rans_decode(
    benchmark: Benchmark, mixture: LogisticMixture, symbols: Ints
) -> None:
    values, indexes = residuals(mixture, symbols)
    tables = gaussian_tables()
    data = RansEncoder().encode_with_indexes(values, indexes, *tables)
    assert benchmark(lambda: RansDecoder().decode_with_indexes(data, indexes, *tables)) == values
    note(benchmark, len(symbols))
