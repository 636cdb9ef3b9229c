"""The binary range coder writes the words of the format, which are also constriction's."""

from __future__ import annotations

import constriction
import numpy as np
import pytest
from chances import WHOLE, Chances, range_coded
from numpy.typing import NDArray

from noisepress.bitstream.binary import (
    BinaryDecoder,
    BinaryEncoder,
    BinaryModel,
    BinaryTally,
    Even,
)
from noisepress.bitstream.coders import bytes_of_words
from noisepress.bitstream.entropy import Ints
from noisepress.bitstream.errors import CorruptError


def encoded(symbols: Ints, model: BinaryModel) -> bytes:
    encoder = BinaryEncoder()
    encoder.code(symbols, model)
    return encoder.finish()


def drawn(rng: np.random.Generator, zeros: NDArray[np.int64]) -> Ints:
    """Bits with these chances of 0."""
    return (rng.integers(0, WHOLE, len(zeros)) >= zeros).astype(np.int32)


def by_constriction(bits: Ints, zeros: NDArray[np.int64]) -> bytes:
    """The same bits as digits of constriction's range coder."""
    coder = constriction.stream.queue.RangeEncoder()
    rows = np.stack([zeros - 1, WHOLE - 1 - zeros], 1).astype(np.float32)
    coder.encode(bits, constriction.stream.model.Categorical(perfect=False), rows)
    return bytes_of_words(coder.get_compressed())


@pytest.mark.parametrize("likely", [True, False])
@pytest.mark.parametrize("octaves", [0.0, 4.0, 22.9])
def test_words_are_those_of_constriction(octaves: float, likely: bool) -> None:
    """A bit is a digit whose row's sum is 2^24 - 2, so that its edges are not rounded."""
    rng = np.random.default_rng(int(octaves))
    small = np.maximum(2, (WHOLE / 2 / 2 ** rng.uniform(0, octaves, 5000)).astype(np.int64))
    zeros = np.where(rng.integers(0, 2, 5000), small, WHOLE - small)
    bits = drawn(rng, zeros) if likely else rng.integers(0, 2, 5000).astype(np.int32)
    assert encoded(bits, Chances(zeros)) == by_constriction(bits, zeros)


def straddling(words: int) -> tuple[list[int], list[int]]:
    """Bits and chances after which the next 1 carries over a number of words, all 0xFFFFFFFF.

    The interval contains the middle of the numbers all the time, so its lower end is just below
    it: words 0x7FFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF and so on.
    """
    lower, size, middle, written = 0, 2**64 - 1, 2**63, 0
    bits: list[int] = []
    zeros: list[int] = []
    while written < words:
        unit, zero = size >> 24, WHOLE // 3
        bit = int(middle > lower + unit * zero)
        lower += unit * zero * bit
        size = unit * ((WHOLE - zero) if bit else zero)
        bits.append(bit)
        zeros.append(zero)
        if size < 2**32:
            lower, size, middle, written = lower << 32, size << 32, middle << 32, written + 1
    assert lower < middle < lower + (size >> 24) * (WHOLE - 1)
    return bits, zeros


@pytest.mark.parametrize("words", [1, 2, 50])
def test_a_carry_runs_over_many_words(words: int) -> None:
    bits, zeros = straddling(words)
    before = np.array(bits, np.int32), Chances(np.array(zeros))
    after = np.array([1], np.int32), Chances(np.array([WHOLE - 1]))
    encoder = BinaryEncoder()
    encoder.code(*before)
    kept = encoder._words[:words].copy()
    assert kept.tolist() == [0x7FFFFFFF] + [0xFFFFFFFF] * (words - 1)
    encoder.code(*after)
    assert encoder._words[:words].tolist() == [0x80000000] + [0] * (words - 1)
    data = encoder.finish()
    rows = [[0, zero, WHOLE] for zero in (*zeros, WHOLE - 1)]
    assert data == range_coded(zip((*bits, 1), rows, strict=True))
    decoder = BinaryDecoder(data)
    for symbols, model in (before, after):
        np.testing.assert_array_equal(decoder.code(None, model), symbols)


@pytest.mark.parametrize("low", [1, WHOLE // 4])
def test_length_is_the_ideal_one(low: int) -> None:
    """For chances of all sizes, and for those of decisions that cost about a bit."""
    rng = np.random.default_rng(3)
    zeros = rng.integers(low, WHOLE - low, 200_000)
    bits = drawn(rng, zeros)
    tally = BinaryTally()
    tally.code(bits, Chances(zeros))
    assert tally.bits > 140_000
    assert abs(8 * len(encoded(bits, Chances(zeros))) - tally.bits) <= 0.0002 * tally.bits + 64


@pytest.mark.parametrize("bits", [1, 8, 24, 31])
def test_even_symbols_cost_their_bits(bits: int) -> None:
    rng = np.random.default_rng(bits)
    symbols = rng.integers(0, 2**bits, 1000).astype(np.int32)
    symbols[:2] = 0, 2**bits - 1
    model = Even(len(symbols), bits)
    data = encoded(symbols, model)
    digits = [int(symbol) >> place & 1 for symbol in symbols for place in reversed(range(bits))]
    assert data == range_coded((digit, [0, WHOLE // 2, WHOLE]) for digit in digits)
    np.testing.assert_array_equal(BinaryDecoder(data).code(None, model), symbols)
    tally = BinaryTally()
    tally.code(symbols, model)
    assert tally.bits == 1000 * bits


def test_an_encoder_leaves_its_symbols_as_they_are() -> None:
    symbols = np.arange(256, dtype=np.int32)
    for coder in (BinaryEncoder(), BinaryTally()):
        np.testing.assert_array_equal(coder.code(symbols, Even(256, 8)), np.arange(256))


def test_nothing_takes_no_bytes() -> None:
    empty = np.zeros(0, np.int32)
    for model in (Even(0, 8), Chances(np.zeros(0, np.int64))):
        assert encoded(empty, model) == b""
        assert BinaryDecoder(b"").code(None, model).shape == (0,)


@pytest.mark.parametrize("symbol", [-1, 256])
def test_symbols_out_of_range_are_refused(symbol: int) -> None:
    for coder in (BinaryEncoder(), BinaryTally()):
        with pytest.raises(ValueError, match="outside 0 to 255"):
            coder.code(np.array([3, symbol], np.int32), Even(2, 8))


def test_coders_refuse_the_other_direction() -> None:
    for coder in (BinaryEncoder(), BinaryTally()):
        with pytest.raises(ValueError, match="needs symbols"):
            coder.code(None, Even(1, 1))
    with pytest.raises(ValueError, match="takes no symbols"):
        BinaryDecoder(b"").code(np.zeros(1, np.int32), Even(1, 1))


def test_a_point_outside_the_range_is_an_error() -> None:
    """No number below 2^64 is larger; constriction refuses it too."""
    with pytest.raises(CorruptError, match="data is damaged"):
        BinaryDecoder(b"\xff" * 8).code(None, Even(1, 1))
