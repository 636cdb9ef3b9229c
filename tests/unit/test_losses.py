"""The losses that models train with are the bits that the coders spend."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from noisepress.bitstream.coders import Tally
from noisepress.bitstream.entropy import EntropyModel, Ints
from noisepress.bitstream.noise import words
from noisepress.codec.ardm.groups import GRID, equal
from noisepress.codec.ardm.lattice import Lattice
from noisepress.codec.ardm.random_order import RandomOrder
from noisepress.models import registry
from noisepress.models.diffusion import to_unit
from noisepress.models.exact import freeze
from noisepress.models.lattice import CODING_ORDER, LatticeConfig, LatticeNet
from noisepress.models.masked import STAGES, MaskedConfig, MaskedNet
from noisepress.models.storage import read_network
from noisepress.models.unet import RESTORING_LOGSNR, Known, UNet, UNetConfig
from noisepress.models.wavelet import TRAINED_STEPS, known_level
from noisepress.training.losses import (
    diffusion_loss,
    lattice_bits,
    lattice_level_bits,
    masked_bits,
    masked_digit_bits,
    score_loss,
)

Samples = NDArray[np.uint8]


def picture(height: int, width: int, seed: int = 0) -> Samples:
    """Smooth shades, edges that saturate, and noise, shape (height, width, 3)."""
    rng = np.random.default_rng(seed)
    row, column = np.mgrid[:height, :width]
    shade = 128 + 120 * np.sin(row / 7 + np.arange(3)[:, None, None]) * np.cos(column / 9)
    noisy = shade + rng.normal(0, 6, shade.shape)
    noisy[:, : height // 4, : width // 4] = 300
    noisy[:, height // 2 :, : width // 8] = -50
    image: Samples = np.clip(noisy, 0, 255).astype(np.uint8).transpose(1, 2, 0)
    return image


def as_batch(image: Samples) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))[None].float()


@pytest.mark.parametrize("level", [0, 1])
def test_lattice_loss_is_the_coded_size(lattice_model: str, level: int) -> None:
    network = registry.load(registry.find(lattice_model))
    assert isinstance(network, LatticeNet)
    image = picture(64, 48)
    tally = Tally()
    with torch.inference_mode():
        Lattice(network, 512)._level(image, (64, 48, 3), image[::2, ::2], level, tally, None)
        loss = lattice_level_bits(network, level, as_batch(image)[:, list(CODING_ORDER)])
    assert tally.bits > image.size  # more than a bit a sample: the test weighs something
    assert float(loss) == pytest.approx(tally.bits, rel=0.01)


def test_lattice_bits_adds_the_levels(lattice_model: str) -> None:
    network = registry.load(registry.find(lattice_model))
    assert isinstance(network, LatticeNet)
    batch = torch.cat([as_batch(picture(32, 32, seed)) for seed in (1, 2)])
    ordered = batch[:, list(CODING_ORDER)]
    with torch.inference_mode():
        total = sum(
            float(
                lattice_level_bits(network, level, ordered[..., :: 1 << level, :: 1 << level]).sum()
            )
            for level in range(network.config.levels)
        )
        loss = float(lattice_bits(network, batch, torch.Generator()))
    assert loss == pytest.approx(total / batch.numel(), rel=1e-5)


class _Recorder(Tally):
    """A tally that remembers the bits of each call."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[float] = []

    def code(self, symbols: Ints | None, model: EntropyModel) -> Ints:
        before = self.bits
        coded = super().code(symbols, model)
        self.calls.append(self.bits - before)
        return coded


def confident_network() -> MaskedNet:
    """A frozen masked network of narrow distributions at the known values: all bounds matter."""
    torch.manual_seed(3)
    k = 2
    network = MaskedNet(MaskedConfig(width=8, blocks=1, components=k))
    bias = torch.cat([torch.zeros(k), torch.zeros(k), torch.tensor([0.0, 0.8])])
    with torch.no_grad():
        network.heads.bias.copy_(bias.repeat(3))
    freeze(network)
    return network


@pytest.mark.parametrize("confident", [False, True])
def test_masked_loss_is_the_coded_size(masked_model: str, confident: bool) -> None:
    """First and second half of each stage, in the coder's order."""
    network = confident_network() if confident else registry.load(registry.find(masked_model))
    assert isinstance(network, MaskedNet)
    # Last digits of 3 lie to one side of the distributions: a shifted bound shows.
    image = picture(20, 16) | np.uint8(3 if confident else 0)
    seed = 5
    recorder = _Recorder()
    coder = RandomOrder(network, seed, [[GRID // 2, GRID]] * STAGES)
    for _ in coder.run(image, (20, 16, 3), itertools.repeat(recorder)):
        pass
    assert len(recorder.calls) == 2 * STAGES
    batch = as_batch(image)
    for stage in range(STAGES):
        order = np.argsort(words(seed, stage, n=image.size), kind="stable")
        known = np.zeros(image.size, np.float32)
        for call in range(2):
            mask = torch.from_numpy(known.copy()).view_as(batch)
            group = torch.zeros(image.size)
            chosen = order[call * image.size // 2 : (call + 1) * image.size // 2]
            group[torch.from_numpy(chosen)] = 1
            with torch.inference_mode():
                bits = masked_digit_bits(network, batch, mask, torch.tensor([stage]))
            assert float((bits.flatten() * group).sum()) == pytest.approx(
                recorder.calls[2 * stage + call], rel=0.01
            )
            known[chosen] = 1


def test_masked_bits_estimates_the_cost_of_one_sample(masked_model: str) -> None:
    """The stratified estimate over fractions is near the cost of coding with many calls."""
    network = registry.load(registry.find(masked_model))
    assert isinstance(network, MaskedNet)
    image = picture(8, 8)
    tally = Tally()
    for _ in RandomOrder(network, 0, equal(STAGES, 4 * 64)).run(
        image, (8, 8, 3), itertools.repeat(tally)
    ):
        pass
    batch = as_batch(image).repeat(256, 1, 1, 1)
    with torch.inference_mode():
        loss = float(masked_bits(network, batch, torch.Generator().manual_seed(0)))
    assert loss == pytest.approx(tally.bits / image.size, rel=0.05)


def test_losses_have_gradients() -> None:
    torch.manual_seed(0)
    batch = torch.cat([as_batch(picture(16, 16, seed)) for seed in range(4)])
    lattice = LatticeNet(LatticeConfig(width=8, blocks=1, components=2, levels=2))
    masked = MaskedNet(MaskedConfig(width=8, blocks=1, components=2))
    denoiser = UNet(UNetConfig(width0=8, width1=8, width2=8, width3=8, down=1, up=1))
    for network, loss in (
        (lattice, lattice_bits),
        (masked, masked_bits),
        (denoiser, diffusion_loss),
    ):
        value = loss(network, batch, torch.Generator().manual_seed(0))
        assert 0 < float(value.detach()) < 16
        value.backward()  # type: ignore[no-untyped-call]
        for name, weight in network.named_parameters():
            assert weight.grad is not None and torch.isfinite(weight.grad).all(), name


# hfd -----------------------------------------------------------------------------------------


def test_score_decoders_see_coded_pictures() -> None:
    known: list[tuple[Tensor, Known]] = []

    class Shown(nn.Module):
        def forward(self, z: Tensor, logsnr: Tensor, given: Known) -> Tensor:
            known.append((logsnr, given))
            return given.image

    batch = as_batch(picture(64, 64)).repeat(90, 1, 1, 1)
    loss = score_loss(Shown(), batch, torch.Generator().manual_seed(0))
    (nothing, restored), (levels, drawn) = known
    assert set(nothing.tolist()) == {RESTORING_LOGSNR} and len(nothing) == 30
    assert len(levels) == len(set(levels.tolist())) == 60 and levels.min() < 0 < levels.max()
    coded, level = (torch.cat(parts) for parts in zip(restored, drawn, strict=True))
    x = to_unit(batch)
    assert 0.25 < loss < 25 and not loss.requires_grad
    assert coded.shape == x.shape and coded.dtype == x.dtype and not coded.requires_grad
    cleanest, noisiest = (float(known_level(torch.tensor(step))) for step in TRAINED_STEPS)
    assert noisiest < level.min() < noisiest + 0.5 and cleanest - 0.5 < level.max() < cleanest
    errors = (coded - x).square().mean((1, 2, 3))
    order = level.argsort()
    assert errors[order[:20]].mean() > 10 * errors[order[-20:]].mean() > 0


@pytest.mark.parametrize("low", [-1, 1, 4, 7])
def test_score_loss_counts_an_error_by_its_noise_level(low: int) -> None:
    x = to_unit(as_batch(picture(64, 64)))

    class Off(nn.Module):
        """A network whose estimates are wrong at a range of levels."""

        def __init__(self, error: float) -> None:
            super().__init__()
            self.error = error

        def forward(self, z: Tensor, logsnr: Tensor, given: Known) -> Tensor:
            inside = ((low < logsnr) & (logsnr < low + 1)).float()
            return x + self.error * inside[:, None, None, None]

    batch = as_batch(picture(64, 64)).repeat(330, 1, 1, 1)
    wrong, right = (
        score_loss(Off(error), batch, torch.Generator().manual_seed(0)).item()
        for error in (0.1, 0.0)
    )
    level = np.linspace(low, low + 1, 101)
    weight = (np.exp(level) + math.e) / (1 + np.exp(level - 4))
    expected = 2 / 3 * 0.1**2 * weight.mean() / (2 * math.log(2))
    assert wrong - right == pytest.approx(expected, rel=0.05)


def test_score_loss_trains_every_weight(score_model: str) -> None:
    card = registry.find(score_model)
    decoder = read_network(card.path, card.architecture, card.config)
    assert isinstance(decoder, UNet)
    batch = torch.cat([as_batch(picture(64, 64, seed)) for seed in range(6)])
    loss = score_loss(decoder, batch, torch.Generator().manual_seed(0))
    assert 0 < loss.item() < 100
    loss.backward()  # type: ignore[no-untyped-call]
    for name, weight in decoder.named_parameters():
        assert weight.grad is not None and weight.grad.isfinite().all(), name
    seen = decoder.enter.weight.grad
    assert seen is not None and (seen.abs().amax((0, 2, 3)) > 0).all(), "image and condition"
