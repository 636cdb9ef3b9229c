"""hfd's latents as sections: what is in which, how they are rounded, and the numbers' integers."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from noisepress.bitstream.coders import Coder, Encoder, Tally
from noisepress.bitstream.entropy import (
    DEVIATION_LOW,
    DEVIATION_UNITS,
    EntropyModel,
    GaussianMixture,
    Ints,
    Repeated,
)
from noisepress.codec.hfd import hyperprior
from noisepress.codec.hfd.hyperprior import SECTIONS, Hyperprior
from noisepress.models import autoencoder as autoencoder_module
from noisepress.models import registry
from noisepress.models.autoencoder import RATE_UNITS, Autoencoder
from noisepress.models.latents import FURTHEST, PASSES


@pytest.fixture
def network(autoencoder_model: str) -> Autoencoder:
    found = registry.load(registry.find(autoencoder_model))
    assert isinstance(found, Autoencoder)
    return found


def latents(height: int, width: int, size: float = 2.0, seed: int = 0) -> Tensor:
    """Of the small model's 48 channels, the first ones larger."""
    generator = torch.Generator().manual_seed(seed)
    falling = size * 20 ** -torch.linspace(0, 1, 48)[None, :, None, None]
    return falling * torch.randn(1, 48, height, width, generator=generator)


def sent(network: Autoencoder, rate: int, x: Tensor, coders: Iterator[Coder]) -> list[Tensor]:
    return list(Hyperprior(network, rate).run(x, x.shape[2], x.shape[3], coders))


def without_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Always the nearest whole number."""
    for price in ("NOT_ORTHOGONAL", "HYPER_WORTH"):
        monkeypatch.setattr(autoencoder_module, price, 1e9)


# Sections ------------------------------------------------------------------------------------


def test_a_section_holds_its_share_of_the_channels(network: Autoencoder) -> None:
    """1/16, 1/4 and then all of 48: 3, 12 and 48, those of the largest energies first."""
    x = latents(8, 4)
    known = sent(network, 16, x, itertools.repeat(Tally()))
    assert len(known) == SECTIONS
    assert all(latents.shape == x.shape for latents in known)
    changed = [
        {int(channel) for channel in (b != a).any(3).any(2)[0].nonzero()}
        for a, b in itertools.pairwise(known)
    ]
    assert len(changed[0]) <= 3 and len(changed[1]) <= 9 and len(changed[2]) <= 36
    assert len(changed[0]) == 3 and len(changed[2]) > 10
    together = set.union(*changed)
    assert len(together) == sum(map(len, changed))
    expected = deviations(network, 16, x)
    energies = {channel: float((4 ** expected[channel]).sum()) for channel in range(48)}
    ordered = sorted(energies, key=lambda channel: -energies[channel])
    assert changed[0] < set(ordered[:5]) and not changed[2] & set(ordered[:9])


def deviations(network: Autoencoder, rate: int, x: Tensor) -> NDArray[np.float64]:
    """log2 of the standard deviations of latents, after their gains: (c, n)."""
    trained = torch.tensor([float(rate)])
    gain = network.gain(trained).detach()
    with torch.inference_mode():
        hyper = network.whole(network.hyper_analysis(x * gain), trained)
        scale = network.hyper_synthesis(hyper)[1][0].flatten(1)
    octaves: NDArray[np.float64] = (scale / 64 + gain[0, :, :, 0].log2()).double().numpy()
    return octaves


def test_sections_bring_the_latents_nearer(network: Autoencoder) -> None:
    x = latents(8, 8)
    errors = [float((latents - x).square().sum()) for latents in sent(network, 20, x, tallies())]
    assert errors == sorted(errors, reverse=True)
    assert errors[0] > 2 * errors[-1]


def tallies() -> Iterator[Tally]:
    return (Tally() for _ in range(SECTIONS))


@pytest.mark.parametrize("rate", [0, 7, 32])
def test_the_last_latents_are_within_a_step(rate: int, network: Autoencoder) -> None:
    """Half a step where it is the nearest, one more where rates weigh in."""
    x = latents(4, 4)
    gain = network.gain(torch.tensor([float(rate)])).detach()
    off = ((sent(network, rate, x, tallies())[-1] - x) * gain).abs()
    assert off.max() <= 1.5001 and (off > 0.5001).any()
    assert (off <= 0.5001).float().mean() > 0.65


def test_all_are_rounded_to_the_nearest_without_a_price(
    network: Autoencoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_choice(monkeypatch)
    x, rate = latents(4, 8), torch.tensor([11.0])
    gain = network.gain(rate).detach()
    off = (sent(network, 11, x, tallies())[-1] - x) * gain
    assert off.abs().max() < 0.501 and off.abs().mean() > 0.1


def test_choosing_saves_bits_for_a_little_error(
    network: Autoencoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, lowest = latents(8, 8), torch.zeros(1)
    gain, worth = network.gain(lowest).detach(), network.worth(lowest)
    found = []
    for priced in (True, False):
        if not priced:
            without_choice(monkeypatch)
        tally = Tally()
        last = sent(network, 0, x, itertools.repeat(tally))[-1]
        found.append((tally.bits, float((worth * ((last - x) * gain).square()).sum())))
    (less, lost), (bits, least) = found
    assert less < 0.97 * bits and lost > least
    assert less + lost < bits + least


@pytest.mark.parametrize("size", [1e4, 1e9, 1e15])
def test_latents_out_of_range_are_taken_as_far_as_it_reaches(
    size: float, network: Autoencoder
) -> None:
    x = latents(4, 4, size)
    gain = network.gain(torch.tensor([16.0])).detach()
    known = sent(network, 16, x, tallies())
    moved = ((known[-1] - known[0]) * gain).abs()
    assert FURTHEST <= moved.max() < 4 * FURTHEST  # those around may be as far
    assert all(latents.isfinite().all() for latents in known)


def test_sections_may_be_empty(network: Autoencoder, monkeypatch: pytest.MonkeyPatch) -> None:
    """As is the first section of a model of few channels."""
    monkeypatch.setattr(hyperprior, "_SHARES", (0, 1 / 4, 1))
    encoders = [Encoder() for _ in range(SECTIONS)]
    known = sent(network, 16, latents(4, 4), iter(encoders))
    assert encoders[1].finish() == b"" and torch.equal(known[0], known[1])
    assert not torch.equal(known[1], known[2])


class Recorder(Tally):
    """Keeps the models that it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.models: list[tuple[Ints, EntropyModel]] = []

    def code(self, symbols: Ints | None, model: EntropyModel) -> Ints:
        assert symbols is not None
        self.models.append((symbols, model))
        return super().code(symbols, model)


def test_hyper_latents_have_distributions_of_their_channels_and_latents_of_their_own(
    network: Autoencoder,
) -> None:
    recorders = [Recorder() for _ in range(SECTIONS)]
    x = latents(4, 8)
    sent(network, 16, x, iter(recorders))
    ((symbols, model),) = recorders[0].models
    assert isinstance(model, Repeated)
    assert model.mixture.digits == 4 and model.which.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    mean, scale = network.prior_mean.detach(), network.prior_scale.detach()[1]
    locations = model.mixture.locations[:, 0] / 16 - 128
    np.testing.assert_allclose(locations, mean, atol=1 / 32)
    np.testing.assert_allclose(model.mixture.scales[:, 0] / 64, scale, atol=1 / 128)
    assert ((symbols >= 1) & (symbols <= 255)).all()
    seen: list[list[float]] = [[] for _ in PASSES]
    for recorder in recorders[1:]:
        assert len(recorder.models) == len(PASSES)
        for found, (symbols, model) in zip(seen, recorder.models, strict=True):
            assert isinstance(model, Repeated) and isinstance(model.mixture, GaussianMixture)
            assert model.mixture.digits == 5 and len(symbols) == len(model.which)
            assert (model.mixture.locations == 16 * 512).all()
            found += (model.mixture.scales[model.which, 0] / 64).tolist()
    octaves = deviations(network, 16, x).reshape(48, 4, 8)
    for found, part in zip(seen, PASSES, strict=True):
        row = part.narrowing
        surer = 0 if row is None else network.surer[row, :, None, None].detach().numpy()
        expected = (octaves[:, part.row :: part.stride, part.column :: part.stride] - surer).ravel()
        np.testing.assert_allclose(sorted(found), sorted(expected.clip(-4, 10)), atol=2.5 / 64)


def test_latents_that_are_like_those_around_take_fewer_bits(network: Autoencoder) -> None:
    """A smooth first plane, where the transform has the mean of brightness."""
    smooth, rough = torch.zeros(1, 48, 16, 16), torch.zeros(1, 48, 16, 16)
    row, column = torch.meshgrid(torch.arange(16.0), torch.arange(16.0), indexing="ij")
    smooth[0, 0] = 8 * torch.sin(row / 5) * torch.cos(column / 6)
    order = torch.randperm(256, generator=torch.Generator().manual_seed(0))
    rough[0, 0] = smooth[0, 0].flatten()[order].view(16, 16)
    found = []
    for x in (smooth, rough):
        counted = [Tally() for _ in range(SECTIONS)]
        sent(network, 32, x, iter(counted))
        found.append(counted[1].bits)
    assert found[0] < 0.95 * found[1]


@pytest.mark.parametrize("rate", [0, 32])
def test_a_tally_counts_the_bits_of_the_sections(rate: int, network: Autoencoder) -> None:
    x, counted = latents(8, 8, 4.0), [Tally() for _ in range(SECTIONS)]
    sent(network, rate, x, iter(counted))
    encoders = [Encoder() for _ in range(SECTIONS)]
    sent(network, rate, x, iter(encoders))
    for tally, encoder in zip(counted, encoders, strict=True):
        assert 8 * len(encoder.finish()) == pytest.approx(tally.bits, abs=64)
    assert sum(tally.bits for tally in counted) > 2000


@pytest.mark.parametrize(("gain", "scale"), [(-900, -256), (2000, 640)])
def test_scales_are_held_to_their_range(gain: int, scale: int, network: Autoencoder) -> None:
    x, recorders = latents(4, 4, 0.1), [Recorder() for _ in range(SECTIONS)]
    coder = Hyperprior(network, 16)
    coder._log_gain = np.full(48, gain)
    for _ in coder.run(x, 4, 4, iter(recorders)):
        pass
    for recorder in recorders[1:]:
        for _, model in recorder.models:
            assert isinstance(model, Repeated)
            assert (model.mixture.scales == scale).all()


# Integers ------------------------------------------------------------------------------------


def test_halves_become_the_nearest_whole_numbers() -> None:
    values = torch.tensor([0.0, 1.0, -1.0, 0.0078125, -0.0078125, 0.5, -2.34375, 4.0])
    found = hyperprior._whole(values.half().float(), 64)
    assert found.dtype == np.int64
    # A number just between two becomes the larger one.
    assert found.tolist() == [0, 64, -64, 1, 0, 32, -150, 256]


def test_numbers_between_rates_are_whole() -> None:
    rng = np.random.default_rng(0)
    rows = rng.integers(-300, 300, (4, 7))
    for rate in range(3 * RATE_UNITS + 1):
        low, between = divmod(rate, RATE_UNITS)
        found = hyperprior._at(rows, rate).tolist()
        if not between:
            assert found == rows[low].tolist()
            continue
        pairs = zip(rows[low].tolist(), rows[low + 1].tolist(), strict=True)
        assert found == [a + math.floor((b - a) * between / RATE_UNITS) for a, b in pairs]
    assert hyperprior._at(rows[:1], 0).tolist() == rows[0].tolist()


@pytest.mark.parametrize("rate", range(0, 33, 3))
def test_gains_in_integers_are_near_those_of_latents(rate: int, network: Autoencoder) -> None:
    gain = network.gain(torch.tensor([float(rate)])).detach().flatten().log2().numpy()
    whole = Hyperprior(network, rate)._log_gain / DEVIATION_UNITS
    assert np.abs(whole - gain).max() <= 1.5 / DEVIATION_UNITS


def test_channels_are_ordered_by_energy() -> None:
    """Of whole powers of 2, so that sums are exact; equal ones by number."""
    low = DEVIATION_LOW
    scales = np.array([[low, low + 63], [low + 64, low], [low + 32, low + 31], [low + 896, low]])
    # 1 + 2, 4 + 1, 2 + 1 and 2^28 + 1 of the smallest energy.
    assert hyperprior._order(scales).tolist() == [3, 1, 0, 2]
    flat = np.full((5, 3), 7)
    assert hyperprior._order(flat).tolist() == [0, 1, 2, 3, 4]
