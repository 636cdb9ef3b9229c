"""The U-Net: what an estimate depends on, and that its file holds it."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from noisepress.bitstream.errors import ModelError
from noisepress.models import registry
from noisepress.models.card import read_card
from noisepress.models.diffusion import joined, x_from_v
from noisepress.models.storage import build, read_network, write_network
from noisepress.models.unet import Known, UNet, UNetConfig

TINY = UNetConfig(width0=4, width1=6, width2=8, width3=10, down=1, up=1)


def network(config: UNetConfig = TINY) -> UNet:
    """Random weights, float64, large enough that everything that is connected matters."""
    torch.manual_seed(0)
    net = UNet(config).double()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.randn_like(parameter) / math.sqrt(parameter[0].numel()))
    return net.eval()


def noise(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.mark.parametrize(("h", "w"), [(16, 16), (48, 32)])
def test_estimates_have_the_shape_and_type_of_the_images(h: int, w: int) -> None:
    net, z = UNet(TINY), noise(3, 3, h, w).float()
    with torch.inference_mode():
        x = net(z, torch.tensor([-9.0, 0.0, 9.0]))
    assert x.shape == z.shape and x.dtype == z.dtype and x.isfinite().all()


def test_every_weight_is_trained() -> None:
    torch.manual_seed(0)
    net, z = UNet(TINY), noise(2, 3, 32, 32).float().requires_grad_()
    net(z, torch.tensor([-1.0, 2.0])).square().mean().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all() and parameter.grad.abs().max() > 0, name
    assert z.grad is not None and (z.grad != 0).all()


def test_network_predicts_v() -> None:
    net, z = network(), noise(2, 3, 16, 16)
    logsnr = torch.tensor([-1.0, 3.0], dtype=torch.float64)
    with torch.inference_mode():
        net.leave.weight.zero_()
        assert net.leave.bias is not None
        net.leave.bias.fill_(0.25)
        assert torch.allclose(net(z, logsnr), x_from_v(z, torch.tensor(0.25), logsnr))


def test_images_of_a_batch_have_levels_of_their_own() -> None:
    net, z = network(), noise(1, 3, 16, 16).repeat(2, 1, 1, 1)
    logsnr = torch.tensor([-1.0, 3.0], dtype=torch.float64)
    with torch.inference_mode():
        both = net(z, logsnr)
        for index in range(2):
            alone = net(z[:1], logsnr[index : index + 1])
            assert torch.allclose(both[index], alone[0], rtol=0, atol=1e-9)


def test_level_reaches_the_blocks() -> None:
    net, z, logsnr = network(), noise(1, 3, 16, 16), torch.zeros(1)
    with torch.inference_mode():
        sighted = net(z, logsnr)
        for parameter in net.embedding[0].parameters():
            parameter.zero_()
        assert not torch.allclose(net(z, logsnr), sighted, atol=0.01)


def test_a_conditioned_copy_takes_the_error_of_the_condition_for_noise() -> None:
    net, z, logsnr = network().float(), noise(2, 3, 16, 32).float(), torch.tensor([-1.0, 3.0])
    copy, other = net.conditioned(), noise(2, 3, 16, 32).flip(1).float()
    known = Known(other, torch.tensor([4.0, 2.0]))
    assert copy.config == replace(TINY, condition=3) and net.config == TINY
    with torch.inference_mode():
        found = copy(z, logsnr, known)
        expected = net(*joined(z, logsnr, *known))
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


def test_a_conditioned_copy_learns_of_the_condition() -> None:
    net, z = network().float(), noise(1, 3, 16, 16).float()
    copy = net.conditioned()
    known = Known(noise(1, 3, 16, 16).flip(2).float(), torch.tensor([4.0]))
    copy(z, torch.zeros(1), known).square().mean().backward()
    seen = copy.enter.weight.grad
    assert seen is not None and (seen.abs().amax((0, 2, 3)) > 0).all()
    assert all(parameter.grad is None for parameter in net.parameters())
    with torch.no_grad():
        copy.enter.weight.add_(0.1)
    assert not torch.equal(copy.enter.weight[:, :12], net.enter.weight)


def test_conditions_matter_as_the_weights_say(tmp_path: Path) -> None:
    net = network(replace(TINY, condition=3))
    z, logsnr = noise(1, 3, 16, 16), torch.zeros(1)
    known = Known(z.flip(2), torch.tensor([3.0]))
    others = known._replace(image=-known.image), known._replace(level=-known.level)
    with torch.inference_mode():
        found = net(z, logsnr, known)
        assert all((net(z, logsnr, other) - found).abs().mean() > 0.01 for other in others)
        with pytest.raises(RuntimeError):
            net(z, logsnr)
    path = tmp_path / "unet.safetensors"
    write_network(net, path, name="tiny", number=2000, tables={}, facts={})
    restored = registry.load(read_card(path))
    assert isinstance(restored, UNet) and restored.config == net.config
    with torch.inference_mode():
        again = restored(z.float(), logsnr, known._replace(image=known.image.float()))
        torch.testing.assert_close(again, found.float(), rtol=0, atol=0.02)


def test_details_pass_beside_the_coarse_resolutions() -> None:
    net, z, logsnr = network(), noise(2, 3, 16, 16), torch.zeros(2)
    with torch.inference_mode():
        for parameter in net.grow.parameters():
            parameter.zero_()
        v = z - net(z, logsnr) * math.sqrt(2)
    assert (v[0] - v[1]).abs().mean() > 0.1


@pytest.mark.parametrize(("down", "up"), [(1, 1), (2, 1), (1, 2)])
@pytest.mark.parametrize("axis", [2, 3])
def test_reach_bounds_what_an_estimate_depends_on(down: int, up: int, axis: int) -> None:
    net = network(UNetConfig(width0=2, width1=2, width2=2, width3=2, down=down, up=up))
    middle = net.MULTIPLE * math.ceil(net.reach / net.MULTIPLE + 1)
    farthest = 0
    for position in range(middle, middle + net.MULTIPLE):
        z = torch.zeros(1, 3, 2 * middle + net.MULTIPLE, 16, dtype=torch.float64)
        z[:, :, position] = math.nan  # spreads to whatever depends on it, and to nothing else
        with torch.inference_mode():
            x = net(z.transpose(2, axis), torch.zeros(1)).transpose(2, axis)
        touched = x.isnan().any(3)[0, 0].nonzero().flatten()
        farthest = max(farthest, position - int(touched.min()), int(touched.max()) - position)
    assert net.reach - net.MULTIPLE < farthest <= net.reach


def test_interior_of_a_tile_equals_that_of_the_image() -> None:
    net, reach = network(), network().reach
    z, logsnr = noise(1, 3, 32, 352), torch.zeros(1)
    with torch.inference_mode():
        whole = net(z, logsnr)[..., 96:256]
        tile = net(z[..., 96:256], logsnr)
    differences = (whole - tile).abs().amax((0, 1, 2))
    assert tile.shape[3] > 2 * reach
    assert differences[reach:-reach].max() < 1e-9
    assert differences[0] > 1e-3 and differences[-1] > 1e-3


# Files


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file of a tiny network."""
    path = tmp_path / "unet.safetensors"
    write_network(network(), path, name="tiny", number=2000, tables={"t": [1]}, facts={"a": "b"})
    return path


def test_what_is_written_is_read_up_to_rounding(file: Path) -> None:
    card = read_card(file)
    assert (card.name, card.number, card.architecture) == ("tiny", 2000, "unet")
    assert (dict(card.tables), dict(card.facts)) == ({"t": [1]}, {"a": "b"})
    restored, original = registry.load(card), network().float()
    assert isinstance(restored, UNet) and restored.config == TINY and not restored.training
    written, loaded = original.state_dict(), restored.state_dict()
    assert written.keys() == loaded.keys() == load_file(file).keys()
    for name, value in written.items():
        assert loaded[name].dtype == torch.float32
        assert torch.equal(loaded[name], value.half().float()), name
    z, logsnr = noise(1, 3, 32, 32).float(), torch.tensor([1.0])
    with torch.inference_mode():
        assert torch.allclose(restored(z, logsnr), original(z, logsnr), atol=0.02)
    assert file.stat().st_size < 2 * sum(value.numel() for value in written.values()) + 8000


def test_writing_changes_nothing(tmp_path: Path) -> None:
    net = network()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    write_network(net, tmp_path / "a", name="tiny", number=2000, tables={}, facts={})
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


@pytest.mark.parametrize("damage", ["missing", "extra", "shape", "nan", "infinite"])
def test_damaged_tensors_are_refused(file: Path, damage: str) -> None:
    tensors = load_file(file)
    name = "down.0.0.spatial.weight"
    if damage == "missing":
        del tensors[name]
    elif damage == "extra":
        tensors["other"] = torch.zeros(1)
    elif damage == "shape":
        tensors[name] = tensors[name][:1].contiguous()
    else:
        tensors[name][0, 0, 0, 0] = math.nan if damage == "nan" else -math.inf
    save_file(tensors, file)
    with pytest.raises(ModelError) as error:
        read_network(file, "unet", vars(TINY))
    text = str(error.value)
    assert str(file) in text and "\n" not in text


@pytest.mark.parametrize("change", [{"width0": 5}, {"down": 2}, {"up": 2}, {"up": 0}])
def test_files_of_other_sizes_are_refused(file: Path, change: dict[str, int]) -> None:
    with pytest.raises(ModelError):
        read_network(file, "unet", {**vars(TINY), **change})


@pytest.mark.parametrize("config", [{}, {**vars(TINY), "heads": 2}, {**vars(TINY), "width0": -4}])
def test_configurations_of_other_networks_are_refused(config: dict[str, int]) -> None:
    with pytest.raises(ModelError, match="unsuitable unet configuration"):
        build("unet", config)
