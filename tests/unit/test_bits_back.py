"""Bits-back coding: images and borrowed bits come back, and no more are needed than stated."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor

from noisepress.bitstream.coders import Stack, Tally
from noisepress.bitstream.entropy import EntropyModel, GaussianMixture, Ints, Repeated
from noisepress.bitstream.errors import CorruptError
from noisepress.bitstream.information import OCTAVE
from noisepress.bitstream.noise import words
from noisepress.codec.vdm import bits_back
from noisepress.codec.vdm.bits_back import MEAN_FRAC, BitsBack
from noisepress.models import registry
from noisepress.models.vdm import LOG_SIGMA_MAX, LOG_SIGMA_MIN, PLANES, UNITS, VdmNet, gauge

MAX_STEPS = LOG_SIGMA_MAX - LOG_SIGMA_MIN

CHAINS = [1, 2, 7, 50]


def filled(bits: int) -> Stack:
    """A stack of at least so many bits."""
    return Stack(words(9, n=bits // 32 + 2).tobytes() + b"\1")


def images(count: int = 2, height: int = 12, width: int = 20) -> tuple[Tensor, Tensor]:
    """Even planes, and hidden pixels from ordinary to the largest possible differences."""
    rng = np.random.default_rng(0)
    even = rng.integers(-255, 256, (count, 3, height, width))
    usual = rng.normal(0, 6, (count, PLANES, height, width)).round()
    extreme = rng.choice([-510, -255, 0, 255, 510], usual.shape)
    pixels = np.where(rng.random(usual.shape) < 0.1, extreme, usual)
    return torch.from_numpy(even).float(), torch.from_numpy(pixels).float()


@pytest.fixture
def network(vdm_model: str) -> VdmNet:
    found = registry.load(registry.find(vdm_model))
    assert isinstance(found, VdmNet)
    return found


@contextmanager
def spied(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, float]]:
    """Bits popped from stacks and pushed, by the models, and the fewest that were left."""
    seen = {"popped": 0.0, "pushed": 0.0, "fewest": np.inf}
    pop, push = Stack.pop, Stack.push

    def counted(symbols: Ints, model: EntropyModel) -> float:
        tally = Tally()
        tally.code(symbols, model)
        return tally.bits

    def counting_pop(stack: Stack, model: EntropyModel) -> Ints:
        symbols = pop(stack, model)
        seen["popped"] += counted(symbols, model)
        seen["fewest"] = min(seen["fewest"], stack.bits)
        return symbols

    def counting_push(stack: Stack, symbols: Ints, model: EntropyModel) -> None:
        seen["pushed"] += counted(symbols, model)
        push(stack, symbols, model)

    with monkeypatch.context() as patch:
        patch.setattr(Stack, "pop", counting_pop)
        patch.setattr(Stack, "push", counting_push)
        yield seen


@pytest.mark.parametrize("steps", CHAINS)
def test_pixels_and_bits_come_back(
    steps: int, network: VdmNet, monkeypatch: pytest.MonkeyPatch
) -> None:
    even, pixels = images()
    chain = BitsBack(network, steps)
    needed = chain.initial_bits(pixels.numel())
    stack = filled(needed)
    start, before = stack.seal(), stack.bits
    with spied(monkeypatch) as seen:
        chain.push(stack, even, pixels)
    assert stack.bits - before == pytest.approx(seen["pushed"] - seen["popped"], abs=1)
    assert 0.7 * needed < before - seen["fewest"] <= needed
    assert torch.equal(chain.pop(stack, even), pixels)
    assert stack.seal() == start


@pytest.mark.parametrize("steps", [*CHAINS, 250, MAX_STEPS])
def test_p_codes_all_that_q_can_draw(steps: int, network: VdmNet) -> None:
    """The least likely values too, of 2^-20 a digit: long files contain them."""
    even, pixels = images(count=1, height=4, width=6)
    chain = BitsBack(network, steps)
    for furthest in (False, True):
        values = pixels.numpy().astype(np.int64).reshape(-1) * 128
        for rung in range(len(chain.levels)):
            q = chain._forward(rung, values)
            assert isinstance(q.model, Repeated)
            last = 4**q.model.mixture.digits - 1
            noisier = (q.first + (last if furthest else 0)) << q.shift
            p = chain._backward(rung, even, noisier)
            assert isinstance(p.model, GaussianMixture)
            symbols = (values >> p.shift) - p.first
            assert symbols.min() >= 0 and symbols.max() < 4**p.model.digits
            values = noisier


def test_a_batch_is_its_images(network: VdmNet) -> None:
    """The network sees each image alone: the values drawn differ, their distributions do not."""
    even, pixels = images(count=1)
    both = torch.cat([even, even.flip(3)])
    chain = BitsBack(network, 4)
    noisy = torch.cat([pixels, pixels.flip(3)]).numpy().astype(np.int64).reshape(-1) << 7
    half = pixels.numel()
    together = chain.prediction(2, both, noisy)
    for part, planes in enumerate((even, even.flip(3))):
        piece = slice(part * half, (part + 1) * half)
        alone = chain.prediction(2, planes.contiguous(), noisy[piece])
        for found, expected in zip(together, alone, strict=True):
            np.testing.assert_array_equal(found[piece], expected)


def test_an_empty_stack_lends_nothing(network: VdmNet) -> None:
    even, pixels = images()
    with pytest.raises(CorruptError, match="fewer bits"):
        BitsBack(network, 4).push(Stack(), even, pixels)
    with pytest.raises(CorruptError, match="fewer bits"):
        BitsBack(network, 4).pop(Stack(), even)


@pytest.mark.parametrize("steps", [*CHAINS, MAX_STEPS])
def test_levels_rise_from_the_cleanest_to_the_noisiest(steps: int) -> None:
    found = bits_back.noise_levels(steps)
    assert (found[0], found[-1], len(found)) == (LOG_SIGMA_MIN, LOG_SIGMA_MAX, steps + 1)
    assert all(low < high for low, high in pairwise(found))


def test_p_is_the_posterior_with_the_error_on_top(network: VdmNet) -> None:
    """Mean and variance in floats, from the network's output."""
    even, pixels = images()
    chain = BitsBack(network, 6)
    noisy = pixels.numpy().astype(np.int64).reshape(-1) * 128 + 5
    rung = 4
    level, cleaner = chain.levels[rung], chain.levels[rung - 1]
    latent = torch.from_numpy(noisy).view(pixels.shape).float()
    with torch.no_grad():
        output, error = network(even, latent, torch.full((2,), level))
    skip, out = gauge(torch.tensor([level]))
    estimate = (skip * latent / 128 + out * output / 32).flatten().numpy()
    deviation = (out * torch.exp2(error / 32)).flatten().numpy()
    below, above = 4.0 ** (cleaner / UNITS), 4.0 ** (level / UNITS)
    share = 1 - below / above
    mean = noisy / 128 + share * (estimate - noisy / 128)
    variance = below * share + (share * deviation) ** 2
    found, scale = chain.prediction(rung, even, noisy)
    np.testing.assert_allclose(found / 2 ** (7 + MEAN_FRAC), mean, atol=0.01)
    np.testing.assert_allclose(scale / UNITS, np.log2(variance) / 2, atol=1.5 / UNITS)
    assert UNITS == 2 * OCTAVE  # a standard deviation's logarithm is half a variance's


@pytest.mark.parametrize("steps", [50, 250, MAX_STEPS])
def test_the_grid_of_the_cleanest_is_fine_enough_for_p(steps: int, network: VdmNet) -> None:
    """Values of p(y_0 | y_1) cost what its density says, however short the step between them."""
    even, pixels = images()
    chain = BitsBack(network, steps)
    noisier = pixels.numpy().astype(np.int64).reshape(-1) * 128
    mean, scale = chain.prediction(1, even, noisier)
    deviation = np.exp2(scale / UNITS)
    drawn = mean / 2 ** (7 + MEAN_FRAC)
    drawn += deviation * np.random.default_rng(1).standard_normal(len(mean))
    p = chain._backward(1, even, noisier)
    grid = 2.0 ** (p.shift - 7)
    symbols = np.rint(drawn / grid).astype(np.int64)
    distance = (symbols * grid - mean / 2 ** (7 + MEAN_FRAC)) / deviation
    density = np.exp(-(distance**2) / 2) / (deviation * np.sqrt(2 * np.pi))
    tally = Tally()
    tally.code((symbols - p.first).astype(np.int32), p.model)
    assert tally.bits / len(mean) == pytest.approx(-np.log2(density * grid).mean(), abs=0.002)


def test_wrong_tables_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bits_back, "_TABLE_CRC", bits_back._TABLE_CRC ^ 1)
    with pytest.raises(RuntimeError, match="tables"):
        bits_back._tables.__wrapped__()
