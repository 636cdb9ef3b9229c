"""Information of Gaussian steps: integer tables against the formulas that they round."""

from __future__ import annotations

import math
from decimal import Decimal, localcontext

import numpy as np
import pytest
from numpy.typing import NDArray

from noisepress.bitstream import information as module
from noisepress.bitstream.information import (
    BIT,
    LEVEL_HIGH,
    LEVEL_LOW,
    OCTAVE,
    information,
    snr_rise,
)
from noisepress.models.diffusion import posterior

Floats = NDArray[np.float64]

REACH = 16 * OCTAVE
NATS = math.log(2) / OCTAVE


def bits(ratio: int) -> int:
    """Information at one ratio of variances, in 1/OCTAVE octave."""
    return int(information(np.array([ratio]), 0)[0])


def test_tables_are_the_rounded_formulas() -> None:
    with localcontext() as context:
        context.prec = 40
        ln2, half, octave = Decimal(2).ln(), Decimal("0.5"), Decimal(OCTAVE)
        ratios = [1 + 2 ** (i / octave) for i in range(-REACH, REACH + 1)]
        informations = [math.floor(ratio.ln() / ln2 / 2 * BIT + half) for ratio in ratios]
        steps = [i / octave for i in range(1, LEVEL_HIGH - LEVEL_LOW + 1)]
        logarithms = [(1 - Decimal(2) ** -step).ln() / ln2 for step in steps]
        rises = [
            math.floor((step + logarithm) * OCTAVE + half)
            for step, logarithm in zip(steps, logarithms, strict=True)
        ]
    tables = module._tables()
    assert tables.information.tolist() == informations
    assert tables.rise.tolist() == rises


def test_a_wrong_table_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_TABLE_CRC", module._TABLE_CRC ^ 1)
    with pytest.raises(RuntimeError, match="checksum 0x2C24C9C1 instead of 0x2C24C9C0"):
        module._tables.__wrapped__()


@pytest.mark.parametrize("table", ["information", "rise"])
def test_the_checksum_covers_every_entry(table: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A logarithm that is off by one unit at one place only is noticed."""
    rint = np.rint
    calls = iter(["information", "rise"])

    def off_by_one(values: Floats) -> Floats:
        rounded: Floats = rint(values)
        rounded[-1] += next(calls) == table
        return rounded

    monkeypatch.setattr(np, "rint", off_by_one)
    with pytest.raises(RuntimeError, match="tables"):
        module._tables.__wrapped__()


def test_information_of_ratios() -> None:
    """No error of the denoiser, no information; an error as large as the rest, half a bit."""
    assert bits(0) == BIT // 2
    assert bits(-REACH) == 1
    assert bits(REACH) == 8 * BIT + 1
    assert information(np.zeros(0, np.int64), 5).shape == (0,)


def test_information_rises_with_the_variance() -> None:
    found = information(np.arange(-REACH - 5, REACH + 6), 0)
    assert found.dtype == np.int64
    assert (np.diff(found) >= 0).all()
    assert (np.diff(found[REACH // 2 : -5]) > 0).all()


def test_information_of_variances_beyond_the_table_is_that_of_its_ends() -> None:
    far = np.array([-(2**40), -REACH - 1, -REACH, REACH, REACH + 1, 2**40])
    assert information(far, 0).tolist() == [bits(-REACH)] * 3 + [bits(REACH)] * 3
    assert information(np.array([3]), 2 * REACH).tolist() == [bits(REACH)]
    assert information(np.array([3]), -2 * REACH).tolist() == [bits(-REACH)]


def test_information_depends_on_variance_times_rise() -> None:
    variances = np.arange(-100, 100, 7)
    for rise in (-90, 0, 1, 55):
        expected = [bits(int(variance) + rise) for variance in variances]
        assert information(variances, rise).tolist() == expected


@pytest.mark.parametrize("noisier", [LEVEL_LOW, -13 * OCTAVE, -1, 0, 77, LEVEL_HIGH - 2 * OCTAVE])
def test_snr_rise_is_the_difference_of_two_ratios(noisier: int) -> None:
    for cleaner in (*range(noisier + 1, noisier + 2 * OCTAVE + 1), LEVEL_HIGH):
        difference = 2 ** (cleaner / OCTAVE) - 2 ** (noisier / OCTAVE)
        assert abs(snr_rise(noisier, cleaner) - OCTAVE * math.log2(difference)) <= 0.501
    assert snr_rise(noisier, noisier + OCTAVE) == noisier  # twice as much less once as much
    assert snr_rise(LEVEL_LOW, LEVEL_HIGH) == LEVEL_HIGH


def test_snr_rise_of_steps_to_the_same_level() -> None:
    rises = [snr_rise(noisier, 100) for noisier in range(99, LEVEL_LOW - 1, -1)]
    assert rises == sorted(rises)
    assert rises[-1] == 100
    with pytest.raises(IndexError):
        snr_rise(LEVEL_LOW, LEVEL_HIGH + 1)


@pytest.mark.parametrize(("noisier", "cleaner"), [(-400, -340), (-50, -49), (0, 64), (200, 233)])
@pytest.mark.parametrize("log_variance", [-100, 0, 150])
def test_information_is_the_divergence_of_a_step(
    noisier: int, cleaner: int, log_variance: int
) -> None:
    """On average over estimates whose error has the given variance."""
    step = posterior(noisier * NATS, cleaner * NATS)
    error = 2 ** (log_variance / OCTAVE) * step.of_x**2
    prior = step.variance + error
    shift = error  # mean square of the distance of the two means
    nats = 0.5 * (math.log(prior / step.variance) + (step.variance + shift) / prior - 1)
    found = information(np.array([log_variance]), snr_rise(noisier, cleaner))[0] / BIT
    # Both logarithms are rounded to 1/32 octave, of which information changes by half at most.
    assert found == pytest.approx(nats / math.log(2), rel=0.03, abs=2 / BIT)
