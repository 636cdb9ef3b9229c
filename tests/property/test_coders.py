"""Coders give back what they were given, at the size that a tally predicts."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from chances import WHOLE, Chances, range_coded
from hypothesis import given, settings
from hypothesis import strategies as st

from noisepress.bitstream.binary import BinaryDecoder, BinaryEncoder, BinaryTally
from noisepress.bitstream.coders import Decoder, Encoder, Stack, Tally
from noisepress.bitstream.entropy import (
    Categorical,
    EntropyModel,
    Frequencies,
    GaussianMixture,
    Ints,
    LogisticMixture,
    MixtureDigit,
    Repeated,
    Uniform,
)
from noisepress.bitstream.errors import CorruptError

quick = settings(max_examples=60, deadline=None)

MIXTURES = (LogisticMixture, GaussianMixture)

counts = st.integers(0, 40)
seeds = st.integers(0, 2**32 - 1)


@st.composite
def categorical(draw: st.DrawFn) -> tuple[Ints, EntropyModel]:
    """Rows from flat to as skewed as a sum below 2^24 allows, symbols likely and unlikely."""
    n, m = draw(counts), draw(st.integers(2, 70))
    rng = np.random.default_rng(draw(seeds))
    octaves = draw(st.sampled_from([0.0, 3.0, 16.0]))
    rows = np.floor(2 ** rng.uniform(0, octaves, (n, m)))
    if draw(st.booleans()) and n:
        rows[np.arange(n), rng.integers(0, m, n)] = 2**23 - 1
    symbols = rng.integers(0, m, n)
    if draw(st.booleans()) and n:
        symbols = rows.argmax(1)
    return symbols.astype(np.int32), Categorical(rows.astype(np.float32))


@st.composite
def uniform(draw: st.DrawFn) -> tuple[Ints, EntropyModel]:
    n, digits = draw(counts), draw(st.integers(1, 8))
    rng = np.random.default_rng(draw(seeds))
    return rng.integers(0, 4**digits, n).astype(np.int32), Uniform(n, digits)


@st.composite
def mixture(
    draw: st.DrawFn, families: tuple[type[LogisticMixture | GaussianMixture], ...] = MIXTURES
) -> tuple[Ints, EntropyModel]:
    n, k, digits = draw(counts), draw(st.integers(1, 4)), draw(st.integers(1, 6))
    rng = np.random.default_rng(draw(seeds))
    top = 4**digits
    logits = rng.integers(-600, 600, (n, k))
    locations = rng.integers(-100_000, 100_000, (n, k))
    if draw(st.booleans()):
        locations = rng.integers(0, 16 * top, (n, k))
    scales = rng.integers(-300, 700, (n, k))
    symbols = rng.integers(0, top, n)
    first, second, third = (part.astype(np.int32) for part in (logits, locations, scales))
    family = draw(st.sampled_from(families))
    return symbols.astype(np.int32), family(first, second, third, digits)


@st.composite
def mixture_digit(draw: st.DrawFn) -> tuple[Ints, EntropyModel]:
    symbols, model = draw(mixture((LogisticMixture,)))
    assert isinstance(model, LogisticMixture)
    left = draw(st.integers(0, model.digits - 1))
    size = 4 ** (left + 1)
    digits = (symbols >> (2 * left)) & 3
    return digits, MixtureDigit(model, symbols // size * size, left)


@st.composite
def repeated(draw: st.DrawFn) -> tuple[Ints, EntropyModel]:
    _, model = draw(mixture())
    assert isinstance(model, LogisticMixture | GaussianMixture)
    kinds, n = len(model.logits), draw(counts)
    rng = np.random.default_rng(draw(seeds))
    which = rng.integers(0, max(kinds, 1), n if kinds else 0).astype(np.int32)
    symbols = rng.integers(0, 4**model.digits, len(which)).astype(np.int32)
    return symbols, Repeated(model, which)


pairs = st.one_of(categorical(), uniform(), mixture(), mixture_digit(), repeated())
messages = st.lists(pairs, max_size=5)
stack_bytes = st.binary(min_size=5, max_size=80).filter(lambda data: data[-1] != 0)


def rows_of(symbols: Ints, model: EntropyModel) -> list[tuple[int, list[int]]]:
    """The digits of a message with the row of frequencies that each was coded with."""
    seen: list[tuple[int, list[int]]] = []

    def collect(digits: Ints | None, frequencies: Frequencies) -> Ints:
        assert digits is not None
        rows = frequencies.astype(np.int64).tolist()
        seen.extend(zip(digits.tolist(), rows, strict=True))
        return digits

    model.run(symbols, collect)
    return seen


@given(shared=repeated())
@quick
def test_shared_distributions_are_the_same_distributions(
    shared: tuple[Ints, EntropyModel],
) -> None:
    symbols, model = shared
    assert isinstance(model, Repeated)
    of, which = model.mixture, model.which
    apart = type(of)(of.logits[which], of.locations[which], of.scales[which], of.digits)
    assert rows_of(symbols, model) == rows_of(symbols, apart)


def edges(row: list[int]) -> list[int]:
    """Where each symbol starts in units of 2^-24, in float32 arithmetic done with fractions."""

    def rounded(value: Fraction) -> Fraction:
        if not value:
            return value
        exponent = 0
        while value * Fraction(2) ** -exponent >= 2**24:
            exponent += 1
        while value * Fraction(2) ** -exponent < 2**23:
            exponent -= 1
        return round(value * Fraction(2) ** -exponent) * Fraction(2) ** exponent

    scale = rounded(Fraction(2**24 - len(row), sum(row)))
    sums = [sum(row[:i]) for i in range(len(row))]
    return [int(rounded(total * scale)) + i for i, total in enumerate(sums)] + [2**24]


@quick
@given(messages)
def test_decoder_undoes_encoder(message: list[tuple[Ints, EntropyModel]]) -> None:
    encoder, tally = Encoder(), Tally()
    for symbols, model in message:
        np.testing.assert_array_equal(encoder.code(symbols, model), symbols)
        np.testing.assert_array_equal(tally.code(symbols, model), symbols)
    data = encoder.finish()
    assert data[-1:] != b"\0"
    # No bound from below: a message of first symbols only is all zero bits, which are dropped.
    assert 8 * len(data) <= 64 + 1.005 * tally.bits
    decoder = Decoder(data)
    for symbols, model in message:
        np.testing.assert_array_equal(decoder.code(None, model), symbols)


@settings(max_examples=25, deadline=None)
@given(st.lists(pairs, max_size=2))
def test_encoder_writes_the_specified_bytes(message: list[tuple[Ints, EntropyModel]]) -> None:
    encoder = Encoder()
    flat: list[tuple[int, list[int]]] = []
    for symbols, model in message:
        encoder.code(symbols, model)
        flat += rows_of(symbols, model)
    assert encoder.finish() == range_coded((digit, edges(row)) for digit, row in flat)


def test_tally_holds_for_long_streams() -> None:
    rng = np.random.default_rng(1)
    n = 30_000
    scales = rng.integers(-48, 80, (n, 2))
    locations = rng.integers(0, 16 * 256, (n, 2))
    logits = rng.integers(-100, 100, (n, 2))
    centre = locations[:, 0] / 16 + rng.logistic(size=n) * 2 ** (scales[:, 0] / 16)
    symbols = np.clip(np.rint(centre), 0, 255).astype(np.int32)
    first, second, third = (part.astype(np.int32) for part in (logits, locations, scales))
    model = LogisticMixture(first, second, third)
    encoder, tally = Encoder(), Tally()
    encoder.code(symbols, model)
    tally.code(symbols, model)
    data = encoder.finish()
    assert tally.bits > 3 * n
    assert abs(8 * len(data) - tally.bits) <= 0.0005 * tally.bits + 64
    np.testing.assert_array_equal(Decoder(data).code(None, model), symbols)


def test_nothing_takes_no_bytes() -> None:
    encoder = Encoder()
    empty = np.zeros(0, np.int32)
    flat = np.zeros((0, 3), np.int32)
    models: list[EntropyModel] = [
        Categorical(np.ones((0, 4), np.float32)),
        Uniform(0, 4),
        LogisticMixture(flat, flat, flat),
    ]
    for model in models:
        assert encoder.code(empty, model).shape == (0,)
        assert Decoder(b"").code(None, model).shape == (0,)
    assert encoder.finish() == b""


@pytest.mark.parametrize("coder", [Encoder(), Tally()])
def test_symbols_out_of_range_are_refused(coder: Encoder | Tally) -> None:
    for symbol in (-1, 256):
        with pytest.raises(ValueError, match="255"):
            coder.code(np.array([3, symbol], np.int32), Uniform(2, 4))


def test_coders_refuse_the_other_direction() -> None:
    with pytest.raises(ValueError, match="needs"):
        Encoder().code(None, Uniform(1, 1))
    with pytest.raises(ValueError, match="needs"):
        Tally().code(None, Uniform(1, 1))
    with pytest.raises(ValueError, match="takes no"):
        Decoder(b"").code(np.zeros(1, np.int32), Uniform(1, 1))


@quick
@given(pairs, st.binary(max_size=60))
def test_any_bytes_decode_to_symbols_or_an_error(
    pair: tuple[Ints, EntropyModel], data: bytes
) -> None:
    symbols, model = pair
    try:
        decoded = Decoder(data).code(None, model)
    except CorruptError:
        return
    assert decoded.shape == symbols.shape
    encoder = Encoder()
    encoder.code(decoded, model)
    np.testing.assert_array_equal(Decoder(encoder.finish()).code(None, model), decoded)


@pytest.mark.parametrize("symbol", [-1, 4, 2**31 - 1])
def test_a_symbol_without_a_frequency_is_an_error(symbol: int) -> None:
    model = Categorical(np.ones((2, 4), np.float32))
    symbols = np.array([0, symbol], np.int32)
    for code in (Encoder().code, Tally().code, Stack().push):
        with pytest.raises(ValueError, match="0 to 3"):
            code(symbols, model)


def test_a_point_outside_the_range_is_an_error() -> None:
    with pytest.raises(CorruptError, match="damaged"):
        Decoder(b"\xff" * 8).code(None, Uniform(1, 1))


@st.composite
def bits(draw: st.DrawFn) -> tuple[Ints, Chances]:
    """Bits, likely ones and not, with chances from 2^-24 to 1 - 2^-24."""
    n = draw(st.integers(0, 200))
    rng = np.random.default_rng(draw(seeds))
    octaves = draw(st.sampled_from([0.5, 4.0, 25.0]))
    small = np.maximum(1, (WHOLE / 2 ** rng.uniform(0.5, 0.5 + octaves, n)).astype(np.int64))
    zeros = np.where(rng.integers(0, 2, n), small, WHOLE - small)
    kind = draw(st.sampled_from(["drawn", "fair", "unlikely"]))
    chosen = {
        "drawn": rng.integers(0, WHOLE, n) >= zeros,
        "fair": rng.integers(0, 2, n) == 1,
        "unlikely": zeros > WHOLE // 2,
    }[kind]
    return chosen.astype(np.int32), Chances(zeros)


@quick
@given(st.lists(bits(), max_size=4))
def test_binary_coder_writes_the_specified_bytes(message: list[tuple[Ints, Chances]]) -> None:
    encoder, tally = BinaryEncoder(), BinaryTally()
    flat: list[tuple[int, list[int]]] = []
    for symbols, model in message:
        encoder.code(symbols, model)
        tally.code(symbols, model)
        rows = [[0, zero, WHOLE] for zero in model.zeros.tolist()]
        flat += zip(symbols.tolist(), rows, strict=True)
    data = encoder.finish()
    assert data == range_coded(flat)
    assert 8 * len(data) <= 64 + 1.005 * tally.bits + 0.006 * len(flat)
    decoder = BinaryDecoder(data)
    for symbols, model in message:
        np.testing.assert_array_equal(decoder.code(None, model), symbols)


@quick
@given(bits(), st.data())
def test_damaged_bits_decode_or_are_an_error(
    pair: tuple[Ints, Chances], data: st.DataObject
) -> None:
    symbols, model = pair
    encoder = BinaryEncoder()
    encoder.code(symbols, model)
    stream = bytearray(encoder.finish())
    at = data.draw(st.integers(0, len(stream)))
    stream[at : at + data.draw(st.integers(0, 9))] = data.draw(st.binary(max_size=9))
    try:
        decoded = BinaryDecoder(bytes(stream)).code(None, model)
    except CorruptError:
        return
    assert decoded.shape == symbols.shape and np.isin(decoded, (0, 1)).all()
    again = BinaryEncoder()
    again.code(decoded, model)
    np.testing.assert_array_equal(BinaryDecoder(again.finish()).code(None, model), decoded)


@quick
@given(messages, stack_bytes)
def test_stack_pops_what_was_pushed(message: list[tuple[Ints, EntropyModel]], data: bytes) -> None:
    for stack in (Stack(), Stack(data)):
        before = stack.seal()
        for symbols, model in message:
            stack.push(symbols, model)
        again = Stack(stack.seal())
        assert again.bits == stack.bits
        for symbols, model in reversed(message):
            np.testing.assert_array_equal(again.pop(model), symbols)
        assert again.seal() == before


@quick
@given(messages, stack_bytes)
def test_stack_gets_back_the_bytes_it_popped(
    message: list[tuple[Ints, EntropyModel]], data: bytes
) -> None:
    stack = Stack(data)
    popped: list[tuple[Ints, EntropyModel]] = []
    for _, model in message:
        before = Stack(stack.seal())
        try:
            popped.append((stack.pop(model), model))
        except CorruptError:
            stack = before
            break
    for symbols, model in reversed(popped):
        stack.push(symbols, model)
    assert stack.seal() == data


@quick
@given(pairs)
def test_tally_is_exact(pair: tuple[Ints, EntropyModel]) -> None:
    symbols, model = pair
    tally = Tally()
    tally.code(symbols, model)
    exact = 0.0
    for symbol, row in rows_of(symbols, model):
        bounds = edges(row)
        exact += 24 - math.log2(bounds[symbol + 1] - bounds[symbol])
    assert tally.bits == pytest.approx(exact, rel=1e-9, abs=1e-9)


@quick
@given(pairs, stack_bytes)
def test_pushed_bits_are_the_tally(pair: tuple[Ints, EntropyModel], data: bytes) -> None:
    symbols, model = pair
    tally, stack = Tally(), Stack(data)
    tally.code(symbols, model)
    before = stack.bits
    stack.push(symbols, model)
    assert stack.bits - before == pytest.approx(tally.bits, rel=0.005, abs=2)


def test_popping_too_much_is_an_error_at_once() -> None:
    data = bytes(range(1, 25))
    stack = Stack(data)
    available = stack.bits - 32
    stack.pop(Uniform(available // 2 - 1, 1))
    with pytest.raises(CorruptError, match="fewer bits"):
        stack.pop(Uniform(2, 1))
    for count in (available // 2 + 2, 10_000):
        with pytest.raises(CorruptError, match="fewer bits"):
            Stack(data).pop(Uniform(count, 1))


def test_an_empty_stack_holds_nothing() -> None:
    stack = Stack()
    assert stack.bits == 32
    with pytest.raises(CorruptError, match="fewer bits"):
        stack.pop(Categorical(np.array([[1, 3]], np.float32)))


@pytest.mark.parametrize("data", [b"", b"\1", bytes(8), b"\xff\xff\xff\xff", b"abcdefgh\0"])
def test_bytes_that_are_no_stack(data: bytes) -> None:
    with pytest.raises(CorruptError, match="stack"):
        Stack(data)
