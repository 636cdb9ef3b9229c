"""Reverse channel coding gives receivers what senders chose, at no more than its price."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noisepress.bitstream.coders import Decoder, Encoder, Tally
from noisepress.bitstream.errors import CorruptError
from noisepress.bitstream.information import BIT
from noisepress.bitstream.reverse_channel import LONGEST, Pfr, Plan, Target, Trellis

quick = settings(max_examples=60, deadline=None)

THRESHOLD = BIT // LONGEST


class ShortTrellis(Trellis):
    """A trellis whose segments and slices are filled by small plans."""

    _SEGMENT = 17
    _SLICE = 5


class ShortPfr(Pfr):
    """A coder of few codewords, which take little time."""

    branch = 2 * BIT
    INDEX_BITS = 6
    _SLICE = 3


trellises = st.one_of(
    st.builds(Trellis, st.integers(1, 8)), st.builds(ShortTrellis, st.integers(1, 8))
)
coders = st.one_of(trellises, st.just(ShortPfr()))

informations = st.one_of(
    st.integers(0, 2 * THRESHOLD),
    st.integers(0, BIT),
    st.sampled_from([0, THRESHOLD - 1, THRESHOLD, BIT - 1, BIT, BIT + 1, 8 * BIT + 1]),
)


@st.composite
def plans(draw: st.DrawFn, branch: int) -> Plan:
    """Up to 6 classes of 1 to 60 samples, among them ones that are not coded."""
    information = np.array(draw(st.lists(informations, max_size=6)), np.int64)
    seed = draw(st.sampled_from([0, 2**32 - 1]))
    return Plan(information, draw(st.integers(1, 60)), seed, draw(st.integers(1, 1000)), branch)


@st.composite
def targets(draw: st.DrawFn, size: int) -> Target:
    """Near what a plan expects or far from it, of variances from almost zero to the prior's."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    far, octaves = draw(st.sampled_from([0.0, 1.0, 30.0])), draw(st.sampled_from([0.0, 1.0, 16.0]))
    mean = rng.normal(0, far, size)
    return Target(
        mean.astype(np.float32), np.exp2(-rng.uniform(0, octaves, size)).astype(np.float32)
    )


@quick
@given(st.data(), coders)
def test_receivers_get_what_senders_chose(data: st.DataObject, coder: Trellis | Pfr) -> None:
    plan = data.draw(plans(coder.branch))
    target = data.draw(targets(int(plan.starts[-1])))
    encoder = Encoder()
    sample = coder.code(target, plan, encoder)
    assert np.isfinite(sample).all()
    decoder = Decoder(encoder.finish())
    found = coder.code(None, replace(plan), decoder)
    np.testing.assert_array_equal(found, sample)
    restored = plan.restore(sample)
    np.testing.assert_array_equal(replace(plan).restore(sample), restored)
    assert restored.shape == (len(plan.information), plan.count)


@quick
@given(st.data(), trellises)
def test_price_of_a_trellis_is_exact(data: st.DataObject, coder: Trellis) -> None:
    plan = data.draw(plans(coder.branch))
    tally = Tally()
    coder.code(data.draw(targets(int(plan.starts[-1]))), plan, tally)
    assert tally.bits == coder.price(plan)


@quick
@given(st.data())
def test_price_of_pfr_is_never_exceeded(data: st.DataObject) -> None:
    plan = data.draw(plans(ShortPfr().branch))
    tally = Tally()
    ShortPfr().code(data.draw(targets(int(plan.starts[-1]))), plan, tally)
    assert tally.bits <= ShortPfr().price(plan)


@quick
@given(st.data(), coders, st.binary(max_size=60))
def test_any_bytes_are_a_sample_or_an_error(
    data: st.DataObject, coder: Trellis | Pfr, received: bytes
) -> None:
    plan = data.draw(plans(coder.branch))
    try:
        sample = coder.code(None, plan, Decoder(received))
    except CorruptError:
        return
    assert sample.shape == (plan.starts[-1],) and np.isfinite(sample).all()


@quick
@given(st.data(), st.sampled_from([BIT // 2, 58_982, BIT, 8 * BIT]))
def test_branches_hold_every_coded_sample_once(data: st.DataObject, branch: int) -> None:
    plan = data.draw(plans(branch))
    lengths = np.diff(plan.starts)
    assert plan.starts[0] == 0 and (lengths > 0).all()
    assert plan.starts[-1] == (plan.information >= THRESHOLD).sum() * plan.count
    assert lengths.max(initial=0) <= -(-branch * LONGEST // BIT)
    each = plan.spread(plan.information.astype(np.float32)).astype(np.int64)
    assert plan.bits == each.sum()
    number = (np.cumsum(each) - each) // branch
    for first, last in zip(plan.starts[:-1], plan.starts[1:], strict=True):
        assert number[first] == number[last - 1]


@quick
@given(st.data())
def test_mixing_keeps_the_energy_and_can_be_undone(data: st.DataObject) -> None:
    plan = data.draw(plans(1))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    values = rng.normal(0, 2, (len(plan.information), plan.count)).astype(np.float32)
    coded = plan.arrange(values)
    kept = np.square(values[plan.classes]).sum()
    assert np.square(coded).sum() == pytest.approx(kept, rel=1e-4, abs=1e-6)
    restored = plan.restore(coded)[plan.classes]
    np.testing.assert_allclose(restored, values[plan.classes], rtol=0, atol=1e-4)
