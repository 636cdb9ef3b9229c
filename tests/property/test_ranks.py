"""Maps of values, and images that have few of them."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

import noisepress
from noisepress.bitstream.errors import CorruptError
from noisepress.codec.ardm import ranks

QUICK = settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
SIDES = st.one_of(st.integers(1, 4), st.integers(1, 40))
CHANNELS = st.integers(1, 4)


@given(used=arrays(np.bool_, st.tuples(st.sampled_from([1, 3]), st.just(256))))
@QUICK
def test_maps_come_back(used: NDArray[np.bool_]) -> None:
    np.testing.assert_array_equal(ranks.unpack(ranks.pack(used), len(used)), used)


@given(payload=st.binary(max_size=120), seed=st.integers(0, 99))
@QUICK
def test_other_maps_give_values_or_are_refused(payload: bytes, seed: int) -> None:
    places = np.random.default_rng(seed).integers(0, 1 + seed, (4, 5, 3)).astype(np.uint8)
    with suppress(CorruptError):
        used = ranks.unpack(payload, 3)
        np.testing.assert_array_equal(ranks.to_ranks(ranks.to_values(places, used), used), places)


@given(
    seed=st.integers(0, 2**32 - 1),
    channels=st.sampled_from([1, 3]),
    share=st.one_of(st.sampled_from([0.0, 1.0]), st.floats(0, 1)),
    shift=st.integers(0, 8),
)
@QUICK
def test_maps_of_16_bits_come_back(seed: int, channels: int, share: float, shift: int) -> None:
    rng = np.random.default_rng(seed)
    used = rng.random((channels, 1 << 16)) < share
    used[:, rng.integers(0, 1 << 16)] = True
    found, depth = ranks.unpack_deep(ranks.pack_deep(used, shift), channels)
    np.testing.assert_array_equal(found, used)
    assert (depth.values, depth.shift) == (used.sum(1).max(), shift)


@given(payload=st.binary(max_size=120), seed=st.integers(0, 99))
@QUICK
def test_other_maps_of_16_bits_give_values_or_are_refused(payload: bytes, seed: int) -> None:
    places = np.random.default_rng(seed).integers(0, 1 + seed, (4, 5, 3)).astype(np.uint16)
    with suppress(CorruptError):
        used, depth = ranks.unpack_deep(payload, 3)
        assert 1 <= depth.values <= 1 << 16 and 0 <= depth.shift <= 8
        np.testing.assert_array_equal(ranks.to_ranks(ranks.to_values(places, used), used), places)


@given(
    shape=st.tuples(SIDES, SIDES, CHANNELS),
    seed=st.integers(0, 2**32 - 1),
    share=st.floats(0, 1),
    effort=st.sampled_from([0, 1]),
)
@QUICK
def test_sparse_images_come_back(
    shape: tuple[int, int, int], seed: int, share: float, effort: int, lattice_model: str
) -> None:
    rng = np.random.default_rng(seed)
    palette = np.flatnonzero(np.append(rng.random(255) < share, True)).astype(np.uint8)
    row, column, channel = np.ogrid[: shape[0], : shape[1], : shape[2]]
    places = row + column // 2 + 9 * channel + rng.integers(0, 3, shape)
    image = palette[places % len(palette)]
    data = noisepress.encode(image, "ardm", model=lattice_model, effort=effort, fallback=False)
    decoded = noisepress.decode(data, model=lattice_model)
    np.testing.assert_array_equal(decoded.reshape(shape), image)
