"""Exceptions: any differences come back, sparse ones cost little, and any bytes can be read."""

from __future__ import annotations

from inspect import unwrap

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noisepress.bitstream import _binary, _planes
from noisepress.bitstream.binary import BinaryDecoder, BinaryEncoder, BinaryTally
from noisepress.bitstream.errors import CorruptError
from noisepress.bitstream.exceptions import Samples, code_differences


@st.composite
def differences(draw: st.DrawFn) -> Samples:
    """Differences (h, w, 3), few or many, small or of any size."""
    height, width = draw(st.integers(1, 20)), draw(st.integers(1, 20))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    largest = draw(st.sampled_from([1, 3, 128]))
    chosen = rng.random((height, width, 1)) < draw(st.sampled_from([0, 0.01, 0.3, 1]))
    values = rng.integers(-largest, largest, (height, width, 3), endpoint=largest < 128)
    return (values * chosen).astype(np.uint8)


def shape_of(given: Samples) -> tuple[int, int, int]:
    height, width, channels = given.shape
    return height, width, channels


def packed(given: Samples) -> bytes:
    encoder = BinaryEncoder()
    code_differences(given, shape_of(given), encoder)
    return encoder.finish()


@settings(deadline=None)
@given(differences())
def test_differences_come_back(given: Samples) -> None:
    data = packed(given)
    found = code_differences(None, shape_of(given), BinaryDecoder(data))
    np.testing.assert_array_equal(found, given)
    tally = BinaryTally()
    code_differences(given, shape_of(given), tally)
    assert abs(8 * len(data) - tally.bits) <= 64


def test_few_exceptions_cost_little() -> None:
    """About what their places take, and a few bits for their values."""
    rng = np.random.default_rng(0)
    given = np.zeros((1000, 1000, 3), np.uint8)
    assert len(packed(given)) <= 12
    places = rng.integers(0, 1000, (2, 100))
    given[*places] = rng.integers(0, 2, (100, 3)) * 2 - 1
    ideal = 100 * (np.log2(10**6 / 100) + 1.44 + 3)
    assert 8 * len(packed(given)) < 1.25 * ideal


@settings(deadline=None)
@given(st.binary(max_size=60), st.integers(1, 12), st.integers(1, 12))
def test_any_bytes_are_differences_or_damaged(data: bytes, height: int, width: int) -> None:
    try:
        found = code_differences(None, (height, width, 3), BinaryDecoder(data))
    except CorruptError:
        return
    assert found.shape == (height, width, 3)


def test_the_kernel_is_that_of_plain_python(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    given = (rng.integers(-3, 4, (6, 9, 3)) * (rng.random((6, 9, 1)) < 0.4)).astype(np.uint8)
    expected = packed(given)
    monkeypatch.setattr(_planes, "code_learned", unwrap(_binary.code_learned))
    monkeypatch.setattr(_planes, "code_row", unwrap(_planes.code_row))
    assert packed(given) == expected
