"""The chain of images: sender and receiver, its rate and noise, and what steers it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from gaussian import GaussianDenoiser
from torch import Tensor

from noisepress.bitstream import reverse_channel
from noisepress.bitstream.coders import Decoder, Encoder, Tally
from noisepress.bitstream.errors import CorruptError
from noisepress.bitstream.information import BIT, OCTAVE
from noisepress.bitstream.noise import normals
from noisepress.bitstream.reverse_channel import Pfr, ReverseCoder, Trellis
from noisepress.codec.diffc import chain as module
from noisepress.codec.diffc.chain import LONGEST_STEP, Chain, Errors, Estimate
from noisepress.codec.protocol import Decoding
from noisepress.models.dct import BLOCK, CLASSES, to_blocks
from noisepress.models.diffusion import noisy

NATS = math.log(2) / OCTAVE
SIDE = 64
LOWEST = -10 * OCTAVE
FIRST_ROW, LAST_ROW = -13, 11
UNIT = OCTAVE // 2
"""The unit of gains."""


def spectrum() -> Tensor:
    """Variances (3, 8, 8) that fall with frequency, as those of photographs do."""
    u, v = torch.meshgrid(torch.arange(8.0), torch.arange(8.0), indexing="ij")
    falling = 30 / (1 + u + v) ** 3
    return torch.stack([falling, falling / 8, falling / 30])


IDEAL = GaussianDenoiser(torch.zeros(3), spectrum())
IMAGE = IDEAL.sample(1, SIDE, SIDE, torch.Generator().manual_seed(0))


def ideal(z: Tensor, logsnr: float) -> Tensor:
    return IDEAL(z, torch.tensor([logsnr]))


def errors_of(factor: float = 1) -> Errors:
    """The variances of the ideal denoiser's errors, or a multiple of them."""
    snrs = np.exp2(np.arange(FIRST_ROW, LAST_ROW + 1))[:, None]
    prior = spectrum().numpy().reshape(CLASSES)
    tables = (factor * prior / (1 + snrs * prior), factor * prior)
    rows, flat = (np.rint(np.log2(table) * OCTAVE).astype(np.int64) for table in tables)
    return Errors(FIRST_ROW * OCTAVE, rows, flat)


def chain_of(
    estimate: Estimate = ideal,
    errors: Errors | None = None,
    coder: ReverseCoder | None = None,
    seed: int = 5,
    side: int = SIDE,
) -> Chain:
    return Chain(estimate, errors or errors_of(), side, side, coder or Trellis(8), seed)


LEVELS = [LOWEST, *range(LOWEST + LONGEST_STEP, 4 * OCTAVE + 1, OCTAVE)]


@dataclass(frozen=True)
class Sent:
    """The result of sending, and z after every step."""

    chain: Chain
    data: bytes
    states: list[Tensor]


def send(chain: Chain, image: Tensor, levels: Sequence[int]) -> Sent:
    encoder = Encoder()
    states = []
    for level in levels:
        chain.advance(image, level, LOWEST - 1, encoder)
        states.append(chain.z)
    return Sent(chain, encoder.finish(), states)


def skip(chain: Chain, level: int) -> float:
    """Take a step as an ideal coder would, with fresh noise; its expected information in bits."""
    bits = chain.plan(chain.gains(IMAGE), level).bits / BIT
    noise = torch.from_numpy(normals(2, chain.steps, n=IMAGE.numel())).view_as(IMAGE)
    chain.z, chain.level = noisy(IMAGE, noise, torch.tensor([level * NATS])), level
    chain._estimate = None
    chain.steps += 1
    return bits


# Errors --------------------------------------------------------------------------------------


def tables(rows: int = 3, **changes: Any) -> dict[str, Any]:
    errors = [[100 * row + column for column in range(CLASSES)] for row in range(rows)]
    return {"first": -64, "errors": errors, "prior": [7] * CLASSES, **changes}


def test_errors_are_interpolated_between_octaves() -> None:
    errors = Errors.parse(tables())
    columns = np.arange(CLASSES)
    for level, expected in (
        (-64, 0),
        (-48, 50),
        (-63, 100 // OCTAVE),
        (-33, 31 * 100 // OCTAVE),
        (-32, 100),
        (-1, 100 + 31 * 100 // OCTAVE),
        (0, 200),
    ):
        np.testing.assert_array_equal(errors.at(level), expected + columns)
    np.testing.assert_array_equal(errors.at(None), [7] * CLASSES)


@pytest.mark.parametrize(("level", "row"), [(-65, 0), (-(10**6), 0), (1, 2), (10**6, 2)])
def test_errors_beyond_the_table_are_those_of_its_ends(level: int, row: int) -> None:
    np.testing.assert_array_equal(Errors.parse(tables()).at(level), 100 * row + np.arange(CLASSES))


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        tables(rows=0),
        tables(rows=1),
        tables(errors=[[0] * (CLASSES - 1)] * 3),
        tables(errors=[0] * CLASSES),
        tables(errors=[[0] * CLASSES, [0]]),
        tables(errors=None),
        tables(prior=[0] * (CLASSES + 1)),
        tables(prior=[[0] * CLASSES] * CLASSES),
        tables(first="low"),
        tables(first=None),
    ],
)
def test_other_tables_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises((ValueError, KeyError, TypeError)):
        Errors.parse(wrong)


# Both sides ----------------------------------------------------------------------------------


@pytest.mark.parametrize("coder", [Trellis(6), Pfr()], ids=["trellis", "pfr"])
def test_receiver_follows_the_sender(coder: ReverseCoder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reverse_channel, "LONGEST", 16)  # less memory for pfr
    side = 32
    image = IMAGE[..., :side, :side]
    sent = send(chain_of(coder=coder, side=side), image, LEVELS)
    receiver, decoder = chain_of(coder=coder, side=side), Decoder(sent.data)
    for steps, (level, z) in enumerate(zip(LEVELS, sent.states, strict=True), 1):
        receiver.advance(None, None, LOWEST - 1, decoder)
        assert (receiver.level, receiver.steps) == (level, steps)
        assert torch.equal(receiver.z, z)
    assert torch.equal(receiver.estimate(), sent.chain.estimate())


def test_chain_starts_from_shared_noise() -> None:
    chain = chain_of()
    assert (chain.level, chain.steps) == (None, 0)
    assert torch.equal(chain.z, chain_of().z)
    assert not torch.equal(chain.z, chain_of(seed=6).z)
    assert abs(float(chain.z.mean())) < 4 / math.sqrt(chain.z.numel())
    assert abs(float(chain.z.var()) - 1) < 4 * math.sqrt(2 / chain.z.numel())
    assert not chain.estimate().any()


@pytest.mark.parametrize("last", [-6 * OCTAVE, 0, 4 * OCTAVE])
def test_z_is_the_image_with_the_noise_of_its_level(last: int) -> None:
    chain = send(chain_of(coder=Trellis(10)), IMAGE, [at for at in LEVELS if at <= last]).chain
    assert chain.level == last
    snr = 2 ** (last / OCTAVE)
    signal, deviation = math.sqrt(snr / (1 + snr)), math.sqrt(1 / (1 + snr))
    noise = (chain.z - signal * IMAGE) / deviation
    # The paths of a register of 10 bits hold a little less of the image than they should.
    assert abs(float(noise.mean())) < 0.05
    assert abs(float(noise.var()) - 1) < 0.08
    for part in (noise[..., ::2, :], noise[..., 1::2, :], noise[:, :1], noise[:, 1:]):
        assert abs(float(part.var()) - 1) < 0.12


@pytest.mark.parametrize("last", [0, 4 * OCTAVE])
def test_rate_is_near_the_rate_distortion_function(last: int) -> None:
    """Of independent normal coefficients, whose every bit the ideal denoiser knows to use.

    A chain of short steps comes to log2(1 + snr variance) / 2 bits a coefficient; the steps here
    are an octave long, which costs a few percent, and the register another ten to twenty.
    """
    steps = [at for at in LEVELS if at <= last]
    sent = send(chain_of(), IMAGE, steps)
    snr = 2 ** (last / OCTAVE)
    bits = float((1 + snr * spectrum()).log2().sum()) / 2 * (SIDE // BLOCK) ** 2
    error = float((sent.chain.estimate() - IMAGE).square().mean())
    ideal_error = float((spectrum() / (1 + snr * spectrum())).mean())
    assert bits < 8 * len(sent.data) < 1.25 * bits + 30 * len(steps)
    assert 0.9 * ideal_error < error < 1.25 * ideal_error


def test_more_state_bits_take_fewer_bytes_to_the_same_error() -> None:
    sent = [send(chain_of(coder=Trellis(n)), IMAGE, LEVELS) for n in (6, 8, 10)]
    sizes = [len(run.data) for run in sent]
    assert sizes == sorted(sizes, reverse=True)
    errors = [float((run.chain.estimate() - IMAGE).var()) for run in sent]
    assert max(errors) < 1.15 * min(errors)


@pytest.mark.parametrize("start", [None, -3 * OCTAVE])
def test_forecasts_are_what_a_step_takes_and_leaves(start: int | None) -> None:
    chain = chain_of(coder=Trellis(8))
    send(chain, IMAGE, [] if start is None else [at for at in LEVELS if at <= start])
    gains, level = chain.gains(IMAGE), LOWEST if start is None else start + OCTAVE
    if start is not None:
        plan = chain.plan(gains, level)
        forecast = chain.forecast_bits(gains, [start, level])
        assert forecast == pytest.approx(plan.bits / Trellis(8).branch, rel=0.02)
    error = chain.forecast_error(gains, level)
    send(chain, IMAGE, [level])
    assert float((chain.estimate() - IMAGE).square().mean()) == pytest.approx(error, rel=0.15)


def test_forecasts_add_up_over_steps() -> None:
    chain = chain_of()
    path = [-2 * OCTAVE, -OCTAVE, 0, 2 * OCTAVE]
    gains = np.zeros(6, np.int32)
    each = [chain.forecast_bits(gains, path[at : at + 2]) for at in range(3)]
    assert chain.forecast_bits(gains, path) == pytest.approx(sum(each))
    assert chain.forecast_bits(gains, path[:1]) == 0


# What a step sends beside samples ------------------------------------------------------------


@pytest.mark.parametrize("level", [LOWEST, LOWEST + 63])
def test_first_step_is_counted_from_the_lowest_level(level: int) -> None:
    sent = send(chain_of(), IMAGE, [level])
    receiver = chain_of()
    receiver.advance(None, None, LOWEST - 1, Decoder(sent.data))
    assert receiver.level == level


@pytest.mark.parametrize("level", [LOWEST - 1, LOWEST + LONGEST_STEP])
def test_steps_that_cannot_be_sent_are_refused(level: int) -> None:
    with pytest.raises(ValueError, match="symbols outside"):
        send(chain_of(), IMAGE, [level])


def test_gains_of_the_right_table_are_small() -> None:
    chain = chain_of()
    for level in LEVELS:
        assert np.abs(chain.gains(IMAGE)).max() <= 1
        skip(chain, level)


@pytest.mark.parametrize(
    ("factor", "gain"), [(0.25, 8), (0.5, 4), (8, -12), (2**-9, 16), (2**9, -16)]
)
def test_gains_say_how_far_off_the_table_is(factor: float, gain: int) -> None:
    """In quarters of octaves, up to four octaves."""
    right, wrong = chain_of(), chain_of(errors=errors_of(factor))
    for level in LEVELS[:4]:
        expected = np.clip(right.gains(IMAGE) + gain, -16, 16)
        assert np.abs(wrong.gains(IMAGE) - expected).max() <= (2 if abs(gain) == 16 else 0)
        for chain in (right, wrong):
            skip(chain, level)


def test_gains_of_a_perfect_estimate_are_the_least() -> None:
    chain = chain_of(lambda z, logsnr: IMAGE)
    skip(chain, LOWEST)
    assert set(chain.gains(IMAGE).tolist()) == {-16}


def test_gains_that_stay_take_few_bits() -> None:
    chain = chain_of(errors=errors_of(2**-4))
    costs = []
    for level in LEVELS[:6]:
        gains = chain.gains(IMAGE)
        costs.append(chain.price(gains, level) - Trellis(8).price(chain.plan(gains, level)))
        chain.advance(IMAGE, level, LOWEST - 1, Tally())
        assert (gains > 4).all()
    assert costs[0] > 60 and max(costs[1:]) < 20


def test_gains_make_up_for_a_wrong_table() -> None:
    """The plan of a step is then the same, up to the rounding of the gains."""
    right, wrong = chain_of(), chain_of(errors=errors_of(0.25))
    for level in LEVELS[:6]:
        bits = [skip(chain, level) for chain in (right, wrong)]
        assert bits[1] == pytest.approx(bits[0], rel=0.02)


def test_bands_are_by_colour_and_frequency() -> None:
    bands = module._BANDS.reshape(3, BLOCK, BLOCK)
    assert np.unique(bands).tolist() == list(range(module._BAND_COUNT)) == list(range(6))
    for colour in range(3):
        np.testing.assert_array_equal(bands[colour], bands[colour].T)
        for u, v in ((0, 0), (2, 5), (4, 3)):
            assert bands[colour, u, v] <= bands[colour, u + 1, v]
    assert (bands[0] == 0).sum() == 1
    np.testing.assert_array_equal(bands[1], bands[2])
    assert not set(bands[0].flat) & set(bands[1].flat)


@pytest.mark.parametrize("errors", [errors_of(), errors_of(2**-7)], ids=["right", "wrong"])
@pytest.mark.parametrize("coder", [Trellis(5), Pfr()], ids=["trellis", "pfr"])
def test_steps_take_no_more_than_their_price(
    errors: Errors, coder: ReverseCoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reverse_channel, "LONGEST", 16)  # less memory for pfr
    side = 32
    image = IMAGE[..., :side, :side]
    chain = chain_of(errors=errors, coder=coder, side=side)
    for level in LEVELS[:12]:
        price = chain.price(chain.gains(image), level)
        tally = Tally()
        chain.advance(image, level, LOWEST - 1, tally)
        assert tally.bits <= price + 6
        assert isinstance(coder, Pfr) or tally.bits > price + 6 - 2


def test_plan_depends_on_integers_alone() -> None:
    """Sender and receiver disagree on every float, and still on no bit."""

    def other(z: Tensor, logsnr: float) -> Tensor:
        return ideal(z, logsnr) * 1.5 + 0.1

    sent = send(chain_of(), IMAGE, LEVELS)
    receiver, decoder = chain_of(other), Decoder(sent.data)
    sender = chain_of()
    for level in LEVELS:
        gains = sender.gains(IMAGE)
        plans = [chain.plan(gains, level) for chain in (sender, receiver)]
        assert plans[0].information.tolist() == plans[1].information.tolist()
        for plan in plans:
            expected = ((SIDE // BLOCK) ** 2, 5, sender.steps + 1, Trellis(8).branch)
            assert (plan.count, plan.seed, plan.step, plan.branch) == expected
        sender.advance(IMAGE, level, LOWEST - 1, Tally())
        receiver.advance(None, None, LOWEST - 1, decoder)
        assert receiver.level == level
    assert not torch.allclose(receiver.z, sent.chain.z, atol=0.01)


def test_small_differences_of_the_denoiser_stay_small() -> None:
    sent = send(chain_of(), IMAGE, LEVELS)
    generator = torch.Generator().manual_seed(0)

    def shaken(z: Tensor, logsnr: float) -> Tensor:
        return ideal(z, logsnr) * (1 + 1e-6 * torch.randn(z.shape, generator=generator))

    receiver, decoder = chain_of(shaken), Decoder(sent.data)
    for _ in LEVELS:
        receiver.advance(None, None, LOWEST - 1, decoder)
    difference = (receiver.estimate() - sent.chain.estimate()).abs().max()
    assert 0 < float(difference) < 1e-4


def test_random_bytes_are_steps_or_an_error() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        chain, decoder = chain_of(side=16), Decoder(rng.bytes(60))
        try:
            for _ in range(6):
                chain.advance(None, None, LOWEST - 1, decoder)
        except CorruptError:
            continue
        assert chain.z.isfinite().all()


# Renderings ----------------------------------------------------------------------------------


def image_from(render: Any, detail: float = 1, last: int = -OCTAVE) -> tuple[Tensor, Chain]:
    chain = chain_of()
    for level in LEVELS:
        if level <= last:
            skip(chain, level)
    return chain.picture(Decoding(render=render, detail=detail)), chain


def test_flow_without_detail_is_the_estimate() -> None:
    found, chain = image_from("flow", 0)
    torch.testing.assert_close(found, chain.estimate(), rtol=0, atol=1e-5)


def test_more_detail_gives_the_image_more_of_its_variance() -> None:
    variances = [float(image_from("flow", detail)[0].var()) for detail in (0, 0.3, 0.6, 1)]
    assert variances == sorted(variances)
    assert float(image_from("flow", 0)[0].var()) < 0.95 * float(IMAGE.var())


@pytest.mark.parametrize(("render", "least"), [("flow", 0.75), ("ancestral", 0.55)])
def test_imagined_images_have_the_spectrum_of_images(render: str, least: float) -> None:
    """What z leaves open is filled in with the model's own variance.

    Not quite all of it: ancestral steps leave out what the estimate does not know yet.
    """
    found, chain = image_from(render)
    power = to_blocks(found)[0].square().mean(1)
    known = to_blocks(chain.estimate())[0].square().mean(1)
    wanted = spectrum().reshape(CLASSES)
    high = slice(40, 64)
    assert float(known[high].sum()) < 0.6 * float(wanted[high].sum())
    assert least < float(power[high].sum() / wanted[high].sum()) < 1.25


def test_renderings_are_deterministic_and_leave_the_chain_alone() -> None:
    images = {}
    for render in ("flow", "ancestral"):
        found, chain = image_from(render)
        before = chain.z.clone()
        assert torch.equal(chain.picture(Decoding(render=render, detail=1)), found)
        assert torch.equal(chain.z, before) and chain.level == -OCTAVE
        images[render] = found
    assert not torch.allclose(images["flow"], images["ancestral"], atol=0.1)


@pytest.mark.parametrize("render", ["flow", "ancestral"])
def test_renderings_of_pure_noise_and_of_clean_images_are_the_estimate(render: Any) -> None:
    assert not chain_of().picture(Decoding(render=render, detail=1)).any()
    chain = chain_of()
    level = torch.tensor([11 * OCTAVE * NATS])
    chain.z, chain.level = noisy(IMAGE, chain.z, level), 11 * OCTAVE
    found = chain.picture(Decoding(render=render, detail=1))
    torch.testing.assert_close(found, chain.estimate(), rtol=0, atol=1e-5)


def test_renderings_call_the_denoiser_once_in_two_octaves() -> None:
    calls: list[float] = []

    def spied(z: Tensor, logsnr: float) -> Tensor:
        calls.append(logsnr)
        return ideal(z, logsnr)

    renders: list[tuple[Callable[[Chain], Tensor], int]] = [
        (lambda chain: chain.picture(Decoding(render="flow", detail=1)), 6),
        (lambda chain: chain.picture(Decoding(render="ancestral", detail=0)), 6),
        (lambda chain: chain.picture(Decoding(render="flow", detail=0.5)), 4),
    ]
    for render, count in renders:
        chain = chain_of(spied, side=16)
        chain.level = 0
        calls.clear()
        render(chain)
        assert len(calls) == count
        assert calls == sorted(calls) and calls[0] == 0
