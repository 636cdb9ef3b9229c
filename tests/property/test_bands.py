"""Bands of any size and content come back, in streams that the specification describes."""

from __future__ import annotations

import numpy as np
import pytest
from bands_twin import Twin
from chances import range_coded
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from noisepress.bitstream import _bands
from noisepress.bitstream.bands import Bands
from noisepress.bitstream.binary import BinaryDecoder, BinaryEncoder, BinaryTally
from noisepress.bitstream.wavelet import Place, places
from noisepress.codec.hfd.first_stage import Coefficients

Content = dict[Place, NDArray[np.int32]]


@st.composite
def contents(draw: st.DrawFn, most: int = 40) -> tuple[int, int, int, Content]:
    """Bands of images of some size: of clusters, of zeros, and with large coefficients."""
    height, width = draw(st.integers(1, most)), draw(st.integers(1, most))
    colours = draw(st.sampled_from([1, 3]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    bands, filled = Bands(height, width), {}
    for place in places(colours):
        shape = bands.shape(place)
        scale = draw(st.sampled_from([0.0, 0.4, 3.0, 30.0, 10**6]))
        rough = rng.standard_exponential((-(-shape[0] // 4), -(-shape[1] // 4)))
        local = scale * rough.repeat(4, 0).repeat(4, 1)[: shape[0], : shape[1]] ** 2
        values = rng.laplace(0, 1, shape) * local
        filled[place] = values.clip(-(2**20), 2**20).astype(np.int32)
    return height, width, colours, filled


def written(height: int, width: int, given_bands: Content) -> bytes:
    bands, encoder = Bands(height, width), BinaryEncoder()
    for place, band in given_bands.items():
        bands.code(encoder, place, band)
    return encoder.finish()


def same(found: Coefficients, expected: Content) -> bool:
    return all(
        np.array_equal(found[place], band) if place in found else not band.any()
        for place, band in expected.items()
    )


@settings(deadline=None, max_examples=60)
@given(contents())
def test_bands_come_back_at_the_size_of_the_tally(drawn: tuple[int, int, int, Content]) -> None:
    height, width, _, given_bands = drawn
    data = written(height, width, given_bands)
    bands, decoder = Bands(height, width), BinaryDecoder(data)
    counted, tally = Bands(height, width), BinaryTally()
    for place, band in given_bands.items():
        bands.code(decoder, place, None)
        counted.code(tally, place, band)
    assert same(bands.known(), given_bands) and same(counted.known(), given_bands)
    assert tally.bits - 8 <= 8 * len(data) <= tally.bits + 64


@settings(deadline=None, max_examples=8)
@given(contents(most=13))
def test_streams_are_those_of_the_specification(drawn: tuple[int, int, int, Content]) -> None:
    height, width, _, given_bands = drawn
    twin = Twin()
    bits = [
        bit
        for place, band in given_bands.items()
        for bit in twin.bits(place.level, place.orientation, place.colour, band.astype(np.int64))
    ]
    assert range_coded(bits) == written(height, width, given_bands)


@settings(deadline=None, max_examples=30)
@given(contents(), st.sampled_from([0.0, 0.1, 0.5]), st.sampled_from([0.3, 1.0, 7.0]))
def test_what_is_chosen_is_what_is_written(
    drawn: tuple[int, int, int, Content], worth: float, step: float
) -> None:
    height, width, _, given_bands = drawn
    bands, encoder = Bands(height, width), BinaryEncoder()
    for place, band in given_bands.items():
        wanted = (band / step).clip(-(2**20), 2**20).astype(np.float32)
        bands.choose(encoder, place, wanted, worth)
        chosen = bands.known().get(place)
        if chosen is None:
            assert np.abs(wanted).max(initial=0) < 0.5
            continue
        off = np.abs(chosen) - np.abs(wanted)
        assert off.max() <= 0.5 and off.min() >= (-0.5 if worth == 0 else -2.5)
        if worth == 0:
            assert np.abs(chosen - wanted).max() <= 0.5
    other, decoder = Bands(height, width), BinaryDecoder(encoder.finish())
    for place in given_bands:
        other.code(decoder, place, None)
    found = other.known()
    assert all(np.array_equal(found[place], band) for place, band in bands.known().items())


def test_bits_are_worth_errors() -> None:
    rng = np.random.default_rng(0)
    wanted = {place: rng.laplace(0, 0.4, Bands(64, 64).shape(place)) for place in places(1)}
    sizes, errors = [], []
    for worth in (0.0, 0.1, 0.3):
        bands, tally = Bands(64, 64), BinaryTally()
        for place, band in wanted.items():
            bands.choose(tally, place, band.astype(np.float32), worth)
        known = bands.known()
        sizes.append(tally.bits)
        errors.append(
            sum(float(((known.get(place, 0) - band) ** 2).sum()) for place, band in wanted.items())
        )
    assert sizes == sorted(sizes, reverse=True) and errors == sorted(errors)
    assert sizes[1] < 0.9 * sizes[0] and errors[1] < 1.3 * errors[0]


def test_coefficients_that_are_too_large_are_refused() -> None:
    place = next(places(1))
    with pytest.raises(ValueError, match="too large"):
        Bands(9, 9).code(BinaryEncoder(), place, np.full((1, 1), 2**24 + 1, np.int32))


def test_damaged_streams_end() -> None:
    """As coefficients within bounds, or as an error."""
    for filler in (b"\xff", b"\0", b"\x37"):
        bands, decoder = Bands(50, 70), BinaryDecoder(filler * 300)
        try:
            for place in places(3):
                bands.code(decoder, place, None)
        except Exception as error:
            assert "damaged" in str(error)
        assert all(np.abs(band).max() <= _bands.WIDEST for band in bands.known().values())
