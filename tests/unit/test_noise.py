"""Shared noise: known answers, moments, and independence of the order of calls."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import pytest

from noisepress.bitstream import noise
from noisepress.bitstream.noise import normals, words


def philox(counter: list[int], key: list[int]) -> list[int]:
    """One block of Philox 4x32-10, in Python integers, after Salmon et al., figure 4."""
    for round_ in range(10):
        k0 = (key[0] + round_ * 0x9E3779B9) % 2**32
        k1 = (key[1] + round_ * 0xBB67AE85) % 2**32
        high0, low0 = divmod(0xD2511F53 * counter[0], 2**32)
        high1, low1 = divmod(0xCD9E8D57 * counter[2], 2**32)
        counter = [high1 ^ counter[1] ^ k0, low1, high0 ^ counter[3] ^ k1, low0]
    return counter


def reference(seed: int, counter: tuple[int, ...], n: int) -> list[int]:
    upper = [*counter, 0, 0][:2]
    key = [seed % 2**32, seed >> 32]
    blocks = [philox([block, 0, *upper], key) for block in range(-(-n // 4))]
    return [word for block in blocks for word in block][:n]


def test_the_reference_gives_the_known_answers_of_random123() -> None:
    pi = [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344]
    assert philox([0] * 4, [0] * 2) == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]
    ones = [2**32 - 1] * 4
    assert philox(ones, ones[:2]) == [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]
    key = [0xA4093822, 0x299F31D0]
    assert philox(pi, key) == [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1]


@pytest.mark.parametrize(
    ("seed", "counter"),
    [
        (0, ()),
        (1, (2,)),
        (2**32, (0, 1)),
        (2**64 - 1, (2**32 - 1, 2**32 - 1)),
        (0x299F31D0A4093822, (0x13198A2E, 0x03707344)),
    ],
)
@pytest.mark.parametrize("n", [0, 1, 4, 7, 40])
def test_words(seed: int, counter: tuple[int, ...], n: int) -> None:
    drawn = words(seed, *counter, n=n)
    assert drawn.dtype == np.uint32
    assert drawn.tolist() == reference(seed, counter, n)


def test_words_never_change() -> None:
    expected = [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]
    assert words(0, n=4).tolist() == expected


def test_longer_streams_begin_with_shorter_ones() -> None:
    long_words, long_normals = words(5, 6, n=1000), normals(5, 6, n=1000)
    for n in (0, 1, 2, 3, 5, 998, 999):
        np.testing.assert_array_equal(words(5, 6, n=n), long_words[:n])
        np.testing.assert_array_equal(normals(5, 6, n=n), long_normals[:n])


def test_streams_do_not_depend_on_the_order_of_asking() -> None:
    names = [(1, 0), (1, 1), (2, 0), (1, 0, 1), (2**32, 0), (1, 2**31)]
    forward = [words(*name, n=8).tolist() for name in names]
    backward = [words(*name, n=8).tolist() for name in reversed(names)]
    assert forward == backward[::-1]
    assert len({tuple(stream) for stream in forward}) == len(names)


@pytest.mark.parametrize(
    ("seed", "counter", "n"),
    [
        (-1, (), 1),
        (2**64, (), 1),
        (0, (-1,), 1),
        (0, (0, 2**32), 1),
        (0, (0, 0, 0), 1),
        (0, (), -1),
    ],
)
def test_out_of_range(seed: int, counter: tuple[int, ...], n: int) -> None:
    with pytest.raises(ValueError, match="supported"):
        words(seed, *counter, n=n)
    with pytest.raises(ValueError, match="supported"):
        normals(seed, *counter, n=n)


def test_normals_are_words_through_the_quantiles() -> None:
    n = 301
    halves = [part for word in reference(9, (3, 1), n) for part in (word & 0xFFFF, word >> 16)]
    quantiles = [NormalDist().inv_cdf((half + 0.5) / 2**16) for half in halves[:n]]
    drawn = normals(9, 3, 1, n=n)
    assert drawn.dtype == np.float32
    assert np.abs(drawn - np.array(quantiles)).max() <= 2.0**-21
    steps = drawn.astype(np.float64) * 2**20
    np.testing.assert_array_equal(steps, np.rint(steps))


def test_every_table_entry_can_be_drawn_and_the_table_is_symmetric() -> None:
    table = noise._normal_table()
    assert table.shape == (2**16,)
    assert (np.diff(table) > 0).all()
    np.testing.assert_array_equal(table, -table[::-1])
    assert len(np.unique(normals(0, n=2**20))) > 0.99 * 2**16


def test_a_wrong_table_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(noise, "_TABLE_CRC", noise._TABLE_CRC ^ 1)
    with pytest.raises(RuntimeError, match="noise tables computed on this machine do not match"):
        noise._normal_table.__wrapped__()


def test_moments() -> None:
    n = 1_000_000
    drawn = normals(1234, 5, n=n).astype(np.float64)
    moments = [np.mean(drawn**power) for power in range(1, 5)]
    # Four standard errors; the 2 p-th moment of a standard normal is (2 p - 1)!!.
    errors = [4 * math.sqrt(spread / n) for spread in (1, 2, 15, 96)]
    for moment, ideal, error in zip(moments, (0, 1, 0, 3), errors, strict=True):
        assert abs(moment - ideal) < error
    lagged = np.mean(drawn[:-1] * drawn[1:])
    assert abs(lagged) < 4 / math.sqrt(n)


def test_kolmogorov_smirnov_distance() -> None:
    n = 200_000
    drawn = np.sort(normals(77, n=n).astype(np.float64))
    cdf = np.array([NormalDist().cdf(x) for x in drawn[::50]])
    ranks = (np.arange(n)[::50] + 0.5) / n
    # 1.95 / sqrt(n) is exceeded by one sample in a thousand; 1 / n is the coarseness of the
    # ranks, 2^-16 that of the table.
    assert np.abs(cdf - ranks).max() < 1.95 / math.sqrt(n) + 1 / n + 2.0**-16
