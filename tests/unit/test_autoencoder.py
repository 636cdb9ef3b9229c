"""hfd's autoencoder: shapes, the transform that it starts as, reach, rates, and files."""

from __future__ import annotations

import math
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from noisepress.bitstream.errors import ModelError
from noisepress.models import registry
from noisepress.models.autoencoder import (
    CHANNELS,
    HYPER_LATENTS,
    HYPER_MAX,
    LATENT_PIXELS,
    MULTIPLE,
    RATE_UNITS,
    Autoencoder,
    AutoencoderConfig,
    between,
)
from noisepress.models.card import read_card
from noisepress.models.exact import convolutions, freeze
from noisepress.models.storage import build, read_network, write_network

TINY = AutoencoderConfig(
    width0=4, width1=6, width2=8, latents=5, hyper=3, exact=4, blocks=1, rates=3
)
WIDE = replace(TINY, width0=48, width1=192, width2=768, latents=768)
"""As many latents as samples: the transform that it starts as keeps everything."""


def network(config: AutoencoderConfig = TINY) -> Autoencoder:
    """A network of random weights, gains and priors."""
    torch.manual_seed(0)
    net = Autoencoder(config)
    with torch.no_grad():
        for numbers in (net.gains, net.prior_mean, net.prior_scale):
            numbers.copy_(torch.randn_like(numbers))
    return net.eval()


def transform(latents: int) -> Autoencoder:
    torch.manual_seed(0)
    net = Autoencoder(replace(WIDE, width2=latents, latents=latents))
    net.start_as_transform()
    return net.eval()


def noise(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def whole(*shape: int) -> Tensor:
    """Random hyper-latents over their whole range."""
    generator = torch.Generator().manual_seed(2)
    return torch.randint(-HYPER_MAX, HYPER_MAX + 1, shape, generator=generator).float()


# Shapes --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("h", "w"), [(64, 64), (192, 128)])
def test_shapes(h: int, w: int) -> None:
    net, x = network(), noise(2, CHANNELS, h, w)
    assert MULTIPLE == LATENT_PIXELS * HYPER_LATENTS == 64
    with torch.inference_mode():
        latents = net.analysis(x)
        assert latents.shape == (2, TINY.latents, h // 16, w // 16)
        assert net.synthesis(latents).shape == x.shape
        hyper = net.hyper_analysis(latents)
        assert hyper.shape == (2, TINY.hyper, h // 64, w // 64)
        for parameters in net.hyper_synthesis(hyper.round()):
            assert parameters.shape == latents.shape
        shown = net.reconstruction(x, torch.tensor([0.0, 32.0]))
        assert shown.shape == x.shape and shown.dtype == torch.float32


def test_hyper_synthesis_gives_integers() -> None:
    net = network()
    with torch.no_grad():
        net.hyper_synthesis.heads.weight.mul_(20)
    freeze(net)
    with torch.inference_mode():
        mean, scale = net.hyper_synthesis(whole(1, TINY.hyper, 2, 3))
    assert torch.equal(mean, mean.round()) and torch.equal(scale / 2, (scale / 2).round())
    assert len(mean.unique()) > 10 and len(scale.unique()) > 10


def test_images_of_a_batch_have_rates_of_their_own() -> None:
    net, x = transform(48), noise(1, CHANNELS, 64, 64).repeat(2, 1, 1, 1)
    rates = torch.tensor([0.0, 27.0])
    with torch.inference_mode():
        both = net.reconstruction(x, rates)
        for index in range(2):
            alone = net.reconstruction(x[:1], rates[index : index + 1])
            assert (both[index] - alone[0]).abs().mean() < 1e-3
    assert (both[0] - both[1]).abs().mean() > 0.05


def test_hyper_latents_are_lowered_where_their_distributions_are_narrow() -> None:
    """Towards the mean, and within their range. Distributions widen with the rate."""
    net = network()
    with torch.no_grad():
        net.prior_scale.copy_(torch.tensor([-2.0, 0, 0])[:, None])
        net.prior_mean[:2] = torch.tensor([0.0, 3.0])
    values = torch.tensor([0.52, -0.52, 0.9, 300.0])
    hyper = torch.zeros(2, TINY.hyper, 1, 4)
    hyper[:, 0], hyper[:, 1] = values, 3 + values
    narrow, wide = net.whole(hyper, torch.tensor([0.0, 16.0]))
    assert narrow[0, 0].tolist() == [0, 0, 1, HYPER_MAX]
    assert narrow[1, 0].tolist() == [3, 3, 4, HYPER_MAX]
    assert wide[0, 0].tolist() == [1, -1, 1, HYPER_MAX]


# The transform -------------------------------------------------------------------------------


def wave(down: int, across: int, colour: tuple[float, float, float]) -> Tensor:
    """A block (1, 3, 16, 16): the product of two cosines, in a colour."""
    at = (2 * torch.arange(LATENT_PIXELS) + 1) * math.pi / (2 * LATENT_PIXELS)
    shape = torch.cos(down * at)[:, None] * torch.cos(across * at)
    return torch.tensor(colour)[None, :, None, None] * shape


def test_a_full_transform_keeps_every_image() -> None:
    net, x = transform(768), noise(2, CHANNELS, 32, 48)
    with torch.inference_mode():
        latents = net.analysis(x)
        torch.testing.assert_close(net.synthesis(latents), x, rtol=0, atol=1e-4)
    torch.testing.assert_close(latents.square().sum(), x.square().sum())


@pytest.mark.parametrize(
    ("down", "across", "colour"),
    [
        (0, 0, (1, 1, 1)),
        (0, 1, (1, 1, 1)),
        (3, 2, (1, 1, 1)),
        (0, 0, (1, 0, -1)),
        (1, 0, (1, 0, -1)),
        (0, 0, (1, -2, 1)),
    ],
)
def test_a_wave_is_one_latent(down: int, across: int, colour: tuple[float, float, float]) -> None:
    net, x = transform(48), wave(down, across, colour)
    with torch.inference_mode():
        latents = net.analysis(x).flatten()
        torch.testing.assert_close(net.synthesis(net.analysis(x)), x, rtol=0, atol=1e-5)
    held = latents.abs().sort(descending=True).values
    torch.testing.assert_close(held[0], x.norm(), rtol=1e-5, atol=0)
    assert held[1] < 1e-4 * held[0]


@pytest.mark.parametrize("count", [1, 48, 300])
def test_a_part_of_the_transform_is_an_orthogonal_projection(count: int) -> None:
    net, x = transform(count), noise(2, CHANNELS, 32, 64)
    with torch.inference_mode():
        latents = net.analysis(x)
        near = net.synthesis(latents)
        torch.testing.assert_close(net.analysis(near), latents, rtol=0, atol=1e-4)
    lost = (x - near).square().sum()
    torch.testing.assert_close(lost, x.square().sum() - latents.square().sum(), rtol=1e-4, atol=0)
    assert lost > 0.5 * (1 - count / 768) * x.square().sum()


def test_smooth_images_are_kept_by_few_latents() -> None:
    row, column = torch.meshgrid(torch.arange(64.0), torch.arange(96.0), indexing="ij")
    x = torch.stack([row / 64, torch.sin(column / 20), (row + column) / 160])[None]
    with torch.inference_mode():
        net = transform(96)
        error = (net.synthesis(net.analysis(x)) - x).square().mean()
    assert error < 1e-3 * x.var()


def test_the_first_latents_are_expected_to_hold_most() -> None:
    """The standard deviations at the start fall as those of a photograph's coefficients do."""
    net = transform(300)
    with torch.inference_mode():
        mean, scale = net.hyper_synthesis(torch.zeros(1, TINY.hyper, 1, 1))
    assert mean.abs().max() <= 1
    octaves = scale[0, :, 0, 0] / 64
    assert (octaves.diff() <= 2 / 64).all()
    # Brightness: 6 (1 + u^2 + v^2)^-0.65, in which a mean comes first.
    assert float(octaves[0]) == pytest.approx(math.log2(6), abs=0.05)
    assert float(octaves[1]) == pytest.approx(math.log2(6) - 0.65, abs=0.05)


@pytest.mark.parametrize("change", [{"width0": 47}, {"width1": 191}])
def test_narrow_networks_are_no_transform(change: dict[str, int]) -> None:
    net = Autoencoder(replace(WIDE, width2=8, latents=8, **change))
    with pytest.raises(ValueError, match="widths below 48 and 192") as error:
        net.start_as_transform()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("width2", "latents"), [(60, 40), (800, 780)])
def test_wider_networks_are_one_too(width2: int, latents: int) -> None:
    """Also one with more latents than there are waves."""
    torch.manual_seed(0)
    net = Autoencoder(replace(WIDE, width0=50, width1=200, width2=width2, latents=latents))
    net.start_as_transform()
    x = wave(1, 1, (1, 1, 1)) if latents < 768 else noise(1, CHANNELS, 16, 16)
    with torch.inference_mode():
        found = net.analysis(x)
        torch.testing.assert_close(net.synthesis(found), x, rtol=0, atol=1e-4)
    assert found.shape[1] == latents and not found[:, 768:].any()


# Rates ---------------------------------------------------------------------------------------


def test_rows_are_interpolated() -> None:
    rows = torch.tensor([[0.0, 8.0], [1.0, 4.0], [5.0, -4.0]])
    at = torch.tensor([0.0, 0.25, 1.0, 1.5, 2.0])
    found = between(rows, at)
    expected = [[0.0, 8.0], [0.25, 7.0], [1.0, 4.0], [3.0, 0.0], [5.0, -4.0]]
    torch.testing.assert_close(found, torch.tensor(expected))
    assert torch.equal(between(rows[:1], torch.zeros(2)), rows[:1].repeat(2, 1))


def test_gains_double_with_every_unit() -> None:
    net = network()
    assert net.last_rate == 2 * RATE_UNITS
    with torch.inference_mode():
        gain = net.gain(torch.tensor([0.0, RATE_UNITS, 1.5 * RATE_UNITS, net.last_rate]))
    assert gain.shape == (4, TINY.latents, 1, 1)
    rows = net.gains.detach()
    octaves = torch.stack([rows[0], rows[1], (rows[1] + rows[2]) / 2, rows[2]])
    torch.testing.assert_close(gain[..., 0, 0].log2(), octaves, rtol=0, atol=1e-5)


def test_higher_rates_are_nearer() -> None:
    """With the gains of a new network, from rough to fine."""
    net, x = transform(300), noise(1, CHANNELS, 64, 64)
    with torch.inference_mode():
        kept = net.synthesis(net.analysis(x))
        shown = (net.reconstruction(x, torch.tensor([rate])) for rate in (0.0, 16.0, 24.0, 32.0))
        errors = [float((picture - kept).square().mean()) for picture in shown]
    assert errors == sorted(errors, reverse=True)
    assert errors[0] > 8 * errors[-1] > 0


# Reach ---------------------------------------------------------------------------------------


def connected(blocks: int) -> Autoencoder:
    """A network in which NaN spreads to what depends on it and to nothing else."""
    return network(
        AutoencoderConfig(
            width0=2, width1=2, width2=2, latents=2, hyper=2, exact=2, blocks=blocks, rates=2
        )
    )


@pytest.mark.parametrize("blocks", [1, 2, 3])
@pytest.mark.parametrize("axis", [2, 3])
def test_reach_bounds_what_latents_depend_on(blocks: int, axis: int) -> None:
    net = connected(blocks)
    middle = LATENT_PIXELS * math.ceil(net.reach / LATENT_PIXELS + 1)
    farthest = 0
    for position in range(middle, middle + LATENT_PIXELS):
        x = torch.zeros(1, CHANNELS, 2 * middle + LATENT_PIXELS, LATENT_PIXELS)
        x[:, :, position] = math.nan
        with torch.inference_mode():
            latents = net.analysis(x.transpose(2, axis)).transpose(2, axis)
        touched = LATENT_PIXELS * latents.isnan().any(3)[0, 0].nonzero().flatten()
        last = int(touched.max()) + LATENT_PIXELS - 1
        farthest = max(farthest, position - int(touched.min()), last - position)
    assert net.reach - LATENT_PIXELS < farthest <= net.reach


@pytest.mark.parametrize("blocks", [1, 2, 3])
@pytest.mark.parametrize("axis", [2, 3])
def test_reach_bounds_what_pixels_depend_on(blocks: int, axis: int) -> None:
    net = connected(blocks)
    middle = math.ceil(net.reach / LATENT_PIXELS) + 1
    latents = torch.zeros(1, 2, 2 * middle + 1, 1)
    latents[:, :, middle] = math.nan
    with torch.inference_mode():
        x = net.synthesis(latents.transpose(2, axis)).transpose(2, axis)
    touched = x.isnan().any(3)[0, 0].nonzero().flatten()
    first, last = middle * LATENT_PIXELS, (middle + 1) * LATENT_PIXELS - 1
    # From a pixel to the far end of a latent that it depends on.
    farthest = max(last - int(touched.min()), int(touched.max()) - first)
    assert net.reach - LATENT_PIXELS < farthest <= net.reach


# Files ---------------------------------------------------------------------------------------


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file of a tiny network."""
    path = tmp_path / "autoencoder.safetensors"
    write_network(network(), path, name="tiny", number=2000, tables={}, facts={"a": "b"})
    return path


def of_convolutions(net: nn.Module) -> set[str]:
    return {f"{name}.{part}" for name, _ in convolutions(net) for part in ("weight", "bias")}


def test_what_is_written_is_read(file: Path) -> None:
    card = read_card(file)
    assert (card.name, card.number, card.architecture) == ("tiny", 2000, "autoencoder")
    restored, original = registry.load(card), network()
    assert isinstance(restored, Autoencoder) and restored.config == TINY and not restored.training
    freeze(original)
    written, loaded, stored = original.state_dict(), restored.state_dict(), load_file(file)
    assert written.keys() == loaded.keys() == stored.keys()
    exact = of_convolutions(original)
    assert 10 < len(exact) < len(written) / 2
    for name, value in written.items():
        if name in exact or name.endswith(".shift"):
            assert stored[name].dtype in (torch.int8, torch.int32), name
            assert torch.equal(loaded[name], value), name
        else:
            assert stored[name].dtype == torch.float16, name
            assert torch.equal(loaded[name], value.half().float()), name


def test_a_read_network_works_as_the_written_one(file: Path) -> None:
    restored = registry.load(read_card(file))
    original, hyper = network(), whole(1, TINY.hyper, 2, 2)
    assert isinstance(restored, Autoencoder)
    freeze(original)
    x = noise(1, CHANNELS, 64, 64)
    with torch.inference_mode():
        for expected, found in zip(
            original.hyper_synthesis(hyper), restored.hyper_synthesis(hyper), strict=True
        ):
            assert torch.equal(expected, found)
        torch.testing.assert_close(restored.analysis(x), original.analysis(x), rtol=0, atol=0.02)


FLOAT, INTEGERS = "analysis.stages.0.0.spatial.weight", "hyper_synthesis.middle.spatial.weight"


@pytest.mark.parametrize("name", [FLOAT, INTEGERS, "gains", "hyper_synthesis.heads.bias"])
@pytest.mark.parametrize("damage", ["missing", "shape", "type"])
def test_damaged_tensors_are_refused(file: Path, name: str, damage: str) -> None:
    tensors = load_file(file)
    if damage == "missing":
        del tensors[name]
    elif damage == "shape":
        tensors[name] = tensors[name][:1].contiguous()
    else:
        tensors[name] = torch.full(tensors[name].shape, math.nan)
    save_file(tensors, file)
    refused(file)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", [FLOAT, "gains", "prior_mean", "prior_scale"])
def test_numbers_that_are_not_finite_are_refused(file: Path, name: str, value: float) -> None:
    tensors = load_file(file)
    tensors[name].view(-1)[0] = value
    save_file(tensors, file)
    refused(file)


@pytest.mark.parametrize("name", ["other", "hyper_synthesis.other", "hyper_synthesis.heads.scale"])
def test_tensors_of_no_layer_are_refused(file: Path, name: str) -> None:
    save_file({**load_file(file), name: torch.zeros(1)}, file)
    refused(file)


def test_integers_that_could_compute_inexactly_are_refused(file: Path) -> None:
    tensors = load_file(file)
    tensors["hyper_synthesis.heads.bias"][0] = 2**24
    save_file(tensors, file)
    refused(file)


def refused(file: Path) -> None:
    with pytest.raises(ModelError) as error:
        read_network(file, "autoencoder", asdict(TINY))
    text = str(error.value)
    assert str(file) in text and "\n" not in text


@pytest.mark.parametrize("change", [{"latents": 6}, {"blocks": 2}, {"rates": 2}, {"hyper": 4}])
def test_files_of_other_sizes_are_refused(file: Path, change: dict[str, int]) -> None:
    with pytest.raises(ModelError):
        read_network(file, "autoencoder", {**asdict(TINY), **change})


@pytest.mark.parametrize("change", [{"heads": 2}, {"width0": -4}])
def test_configurations_of_other_networks_are_refused(change: dict[str, int]) -> None:
    with pytest.raises(ModelError, match="unsuitable autoencoder configuration"):
        build("autoencoder", {**asdict(TINY), **change})
