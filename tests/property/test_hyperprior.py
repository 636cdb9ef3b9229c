"""hfd's latents of any size go through files unchanged, and damage is noticed or harmless."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from torch import Tensor, from_numpy

from noisepress.bitstream.coders import Decoder, Encoder, Tally
from noisepress.bitstream.errors import CorruptError
from noisepress.codec.hfd import hyperprior
from noisepress.codec.hfd.hyperprior import SECTIONS, Hyperprior
from noisepress.models import registry
from noisepress.models.autoencoder import HYPER_LATENTS, RATE_UNITS, Autoencoder

QUICK = settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
RATES = st.integers(0, 2 * RATE_UNITS)
SIDES = st.integers(1, 2).map(lambda count: count * HYPER_LATENTS)


def network(path: str) -> Autoencoder:
    found = registry.load(registry.find(path))
    assert isinstance(found, Autoencoder)
    return found


@st.composite
def latents(draw: st.DrawFn) -> Tensor:
    """Zero to absurdly large, of one size or a size for each channel, a few of them outliers."""
    height, width = draw(SIDES), draw(SIDES)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    size = draw(st.sampled_from([0.0, 0.05, 1.0, 30.0, 600.0, 1e5, 1e12]))
    x = size * rng.standard_normal((1, 48, height, width))
    if draw(st.booleans()):
        x *= 2.0 ** rng.integers(-8, 4, (1, 48, 1, 1))
    if draw(st.booleans()):
        x[rng.random(x.shape) < 0.05] *= 1e4
    return from_numpy(x.astype(np.float32))


def send(coder: Autoencoder, rate: int, x: Tensor) -> tuple[list[Tensor], list[bytes]]:
    """What the sender expects the receiver to know, and the sections."""
    encoders = [Encoder() for _ in range(SECTIONS)]
    known = list(Hyperprior(coder, rate).run(x, x.shape[2], x.shape[3], iter(encoders)))
    return known, [encoder.finish() for encoder in encoders]


def receive(
    coder: Autoencoder, rate: int, payloads: Sequence[bytes], height: int, width: int
) -> list[Tensor]:
    decoders = (Decoder(payload) for payload in payloads)
    return list(Hyperprior(coder, rate).run(None, height, width, decoders))


@given(x=latents(), rate=RATES, count=st.integers(1, SECTIONS))
@QUICK
def test_the_receiver_knows_what_the_sender_thinks(
    x: Tensor, rate: int, count: int, autoencoder_model: str
) -> None:
    coder, (height, width) = network(autoencoder_model), x.shape[2:]
    known, payloads = send(coder, rate, x)
    assert len(known) == SECTIONS and all(bool(latents.isfinite().all()) for latents in known)
    for part in (payloads, payloads[:count]):
        found = receive(coder, rate, part, height, width)
        assert len(found) == len(part)
        assert all(a.equal(b) for a, b in zip(found, known, strict=False))
    tallies = [Tally() for _ in range(SECTIONS)]
    for _ in Hyperprior(coder, rate).run(x, height, width, iter(tallies)):
        pass
    # Zero bytes at the end are not stored, so that files may also have less.
    for tally, payload in zip(tallies, payloads, strict=True):
        assert 8 * len(payload) <= tally.bits + 64


@given(
    payloads=st.lists(st.binary(max_size=200), min_size=1, max_size=SECTIONS),
    rate=RATES,
    height=SIDES,
    width=SIDES,
)
@example(payloads=[b"\xff" * 100] * SECTIONS, rate=0, height=4, width=4)
@example(payloads=[b""] * SECTIONS, rate=32, height=4, width=8)
@QUICK
def test_any_bytes_are_latents_or_an_error(
    payloads: list[bytes], rate: int, height: int, width: int, autoencoder_model: str
) -> None:
    try:
        found = receive(network(autoencoder_model), rate, payloads, height, width)
    except CorruptError as error:
        assert "\n" not in str(error)
        return
    assert len(found) == len(payloads)
    for latents in found:
        assert latents.shape == (1, 48, height, width) and bool(latents.isfinite().all())


@given(x=latents(), rate=RATES, changes=st.lists(st.integers(0, 2**32 - 1), min_size=1))
@QUICK
def test_changed_bytes_are_latents_or_an_error(
    x: Tensor, rate: int, changes: list[int], autoencoder_model: str
) -> None:
    coder, (height, width) = network(autoencoder_model), x.shape[2:]
    _, payloads = send(coder, rate, x)
    damaged = [bytearray(payload) for payload in payloads]
    for change in changes:
        payload = damaged[change % SECTIONS]
        if payload:
            payload[(change >> 10) % len(payload)] ^= 1 + (change >> 2) % 255
    try:
        found = receive(coder, rate, [bytes(payload) for payload in damaged], height, width)
    except CorruptError as error:
        assert "\n" not in str(error)
        return
    assert all(bool(latents.isfinite().all()) for latents in found)


@given(
    rows=st.lists(st.lists(st.integers(-640, 640), min_size=3, max_size=3), min_size=1, max_size=5),
    place=st.floats(0, 1),
)
@QUICK
def test_numbers_between_rates_are_between_their_rows(rows: list[list[int]], place: float) -> None:
    table = np.array(rows)
    rate = round(place * (len(rows) - 1) * RATE_UNITS)
    found = hyperprior._at(table, rate)
    assert np.issubdtype(found.dtype, np.integer)
    low, high = rate // RATE_UNITS, -(-rate // RATE_UNITS)
    pair = np.sort([table[low], table[high]], axis=0)
    assert (pair[0] <= found).all() and (found <= pair[1]).all()


def test_rates_cover_all_that_the_model_has(autoencoder_model: str) -> None:
    coder = network(autoencoder_model)
    assert coder.last_rate == 2 * RATE_UNITS
    x = from_numpy(np.random.default_rng(0).standard_normal((1, 48, 4, 4)).astype(np.float32))
    rates = [*range(0, coder.last_rate, 5), coder.last_rate]
    sizes = [sum(map(len, send(coder, rate, x)[1])) for rate in rates]
    assert sizes[-1] > sizes[0] and len(set(sizes)) > 3
    assert all(b - a > -40 for a, b in itertools.pairwise(sizes))
