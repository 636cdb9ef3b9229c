"""Integer-exact networks: the same integers however and wherever they are computed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from noisepress.models import exact
from noisepress.models.exact import (
    ACTIVATION_FRAC,
    ACTIVATION_MAX,
    RESIDUAL_FRAC,
    RESIDUAL_LIMIT,
    ExactBlock,
    ExactConv,
    ExactnessError,
    convolutions,
    freeze,
    set_quantise,
)
from noisepress.models.lattice import (
    PHASES,
    LatticeConfig,
    LatticeNet,
    PhaseNet,
    input_planes,
    interpolate,
    neighbours,
)
from noisepress.models.masked import MaskedConfig, MaskedNet
from noisepress.models.vdm import LOG_SIGMA_MAX, LOG_SIGMA_MIN, PLANES, UNSEEN, VdmConfig, VdmNet

Ints = NDArray[np.int64]
LAYOUTS = (torch.contiguous_format, torch.channels_last)


def integers(*shape: int, low: int = 0, high: int = ACTIVATION_MAX, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(low, high + 1, shape, generator=generator).float()


def shift_right(total: Ints, shift: Ints) -> Ints:
    """floor(total 2^-shift + 1/2) for each channel of (c, h, w)."""
    out = np.empty_like(total)
    for channel, bits in enumerate(shift.tolist()):
        if bits > 0:
            out[channel] = (total[channel] + (1 << (bits - 1))) >> bits
        else:
            out[channel] = total[channel] << -bits
    return out


def reference_conv(conv: ExactConv, x: Ints) -> Ints:
    """A frozen convolution of (c, h, w) in int64, one kernel tap at a time."""
    weight = conv.weight.detach().numpy().astype(np.int64)
    outputs, _, side, _ = weight.shape
    pad, height, width = conv.padding, x.shape[1], x.shape[2]
    padded = np.pad(x, ((0, 0), (pad, pad), (pad, pad)))
    total = np.zeros((outputs, height, width), np.int64)
    for row in range(side):
        for column in range(side):
            top, left = row * conv.dilation, column * conv.dilation
            seen = padded[:, top : top + height, left : left + width]
            total += np.einsum("oc,chw->ohw", weight[:, :, row, column], seen)
    total += conv.bias.detach().numpy().astype(np.int64)[:, None, None]
    return shift_right(total, conv.shift.numpy().astype(np.int64))


def reference_relu(x: Ints, frac: int) -> Ints:
    by = np.full(len(x), frac - ACTIVATION_FRAC)
    clipped: Ints = np.clip(shift_right(x, by), 0, ACTIVATION_MAX)
    return clipped


def reference_block(block: ExactBlock, h: Ints) -> Ints:
    inner = reference_conv(block.spatial, reference_relu(h, RESIDUAL_FRAC))
    change = reference_conv(block.pointwise, reference_relu(inner, ACTIVATION_FRAC))
    clipped: Ints = np.clip(h + change, -RESIDUAL_LIMIT, RESIDUAL_LIMIT)
    return clipped


def randomise(network: nn.Module, seed: int = 0) -> None:
    """Weights as large as trained ones, with biases, so that clamps and shifts all matter."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for _, conv in convolutions(network):
            conv.weight.mul_(1.5).add_(torch.randn_like(conv.weight) * 2e-3)
            conv.bias.add_(torch.randn_like(conv.bias) * 0.3)


@torch.no_grad()
def lattice_outputs(network: nn.Module, dtype: torch.dtype, layout: Any) -> list[Tensor]:
    """All distribution parameters of one level for fixed random images."""
    assert isinstance(network, LatticeNet)
    parts = {name: integers(1, 3, 13, 11, seed=i) for i, name in enumerate("EDAB")}
    parts = {name: part.to(dtype).contiguous(memory_format=layout) for name, part in parts.items()}
    outputs = []
    carried = None
    for phase in PHASES:
        around = neighbours(phase, parts)
        base = interpolate(around[:4])
        net = network.phase(0, phase)
        planes = input_planes(around, base)
        carried, features = net.features(planes, carried)
        known = (parts[phase] - base).clamp(-127, 127)
        outputs += [net.parameters_of(c, features, known[:, :c]) for c in range(3)]
    return outputs


@torch.no_grad()
def masked_outputs(network: nn.Module, dtype: torch.dtype, layout: Any) -> list[Tensor]:
    """Distribution parameters for a fixed random mask, at each stage."""
    known = integers(4, 3, 9, 10).to(dtype).contiguous(memory_format=layout)
    mask = integers(4, 3, 9, 10, high=1, seed=1).to(dtype).contiguous(memory_format=layout)
    output: Tensor = network(known, mask, torch.arange(4))
    return [output]


def lattice() -> nn.Module:
    return LatticeNet(LatticeConfig(width=24, blocks=2, components=3, levels=1))


def vdm() -> nn.Module:
    return VdmNet(VdmConfig(width=24, blocks=3))


def vdm_outputs(network: nn.Module, dtype: torch.dtype, layout: Any) -> list[Tensor]:
    """Integers of two images at the cleanest, a middle, the noisiest and no noise level."""
    even = integers(8, 3, 10, 14, low=-255, seed=1)
    latent = integers(8, PLANES, 10, 14, low=-(2**17), high=2**17, seed=2)
    latent[::2].div_(256, rounding_mode="floor")
    levels = [LOG_SIGMA_MIN, 0, LOG_SIGMA_MAX, UNSEEN]
    level = torch.tensor(levels).repeat_interleave(2)
    with torch.no_grad():
        shown = (part.to(dtype).contiguous(memory_format=layout) for part in (even, latent))
        return list(network(*shown, level))


def masked() -> nn.Module:
    return MaskedNet(MaskedConfig(width=24, blocks=3, components=3))


Outputs = Callable[[nn.Module, torch.dtype, Any], list[Tensor]]
NETWORKS = [
    pytest.param(lattice, lattice_outputs, id="lattice"),
    pytest.param(masked, masked_outputs, id="masked"),
    pytest.param(vdm, vdm_outputs, id="vdm"),
]


@pytest.mark.parametrize(("make", "outputs"), NETWORKS)
def test_frozen_networks_give_the_same_integers_everywhere(
    make: Callable[[], nn.Module],
    outputs: Outputs,
    machine: Callable[[int, bool], AbstractContextManager[None]],
) -> None:
    torch.manual_seed(0)
    network = make()
    randomise(network)
    freeze(network)
    expected = outputs(network, torch.float32, torch.contiguous_format)
    assert all(torch.equal(part, part.round()) for part in expected)
    assert all(len(set(part.flatten().tolist())) > 10 for part in expected), (
        "a constant would prove nothing"
    )
    for threads in (1, 2):
        for onednn in (True, False):
            for layout in LAYOUTS:
                for dtype in (torch.float32, torch.float64):
                    network.to(dtype=dtype).to(memory_format=layout)
                    with machine(threads, onednn):
                        found = outputs(network, dtype, layout)
                    setting = (threads, onednn, layout, dtype)
                    for output, reference in zip(found, expected, strict=True):
                        assert torch.equal(output.double(), reference.double()), setting
            network.float()
            with machine(threads, onednn), torch.autocast("cpu", torch.bfloat16):
                found = outputs(network, torch.float32, torch.contiguous_format)
            assert all(map(torch.equal, found, expected)), (threads, onednn, "bfloat16")


@pytest.mark.parametrize(
    ("kernel", "dilation", "frac", "input_frac"),
    [(3, 1, 8, 0), (3, 2, 4, 4), (3, 4, 4, 4), (1, 1, 8, 4), (1, 1, 5, 4), (1, 1, 8, 0)],
)
def test_convolution_equals_int64(kernel: int, dilation: int, frac: int, input_frac: int) -> None:
    torch.manual_seed(3)
    conv = ExactConv(16, 12, kernel, frac, input_frac, dilation)
    randomise(conv)
    with torch.no_grad():  # every output channel has a scale of its own
        conv.weight.mul_(torch.logspace(-4, 2, 12, base=2.0)[:, None, None, None])
    conv.freeze()
    assert len(set(conv.shift.tolist())) > 3
    x = integers(1, 16, 10, 7, low=-127 if input_frac == 0 else 0, high=127)
    with torch.no_grad():
        found = conv(x)[0].numpy()
    assert np.array_equal(found, reference_conv(conv, x[0].numpy().astype(np.int64)))
    if input_frac and exact._bytes_are_exact():
        for layout in LAYOUTS:
            of_bytes = conv(x.to(torch.uint8).contiguous(memory_format=layout))
            assert np.array_equal(of_bytes[0].numpy(), found)


def test_bytes_are_not_used_where_they_saturate(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on processors that add pairs of products in 16 bits."""
    torch.manual_seed(7)
    block = ExactBlock(16)
    randomise(block)
    freeze(block)
    h = integers(1, 16, 9, 8, low=-(2**13), high=2**13)
    expected = block(h.clone())
    saturating = torch.nn.functional.conv2d
    exact._bytes_are_exact.cache_clear()
    with monkeypatch.context() as patch:

        def conv(self: ExactConv, x: Tensor) -> Tensor:
            return saturating(x.float(), self.weight, padding=self.padding).clamp(-(2**15), 2**15)

        patch.setattr(ExactConv, "_of_bytes", conv)
        assert not exact._bytes_are_exact()
        assert torch.equal(block(h.clone()), expected)
    exact._bytes_are_exact.cache_clear()


@pytest.mark.parametrize("dilation", [1, 2])
def test_block_equals_int64(dilation: int) -> None:
    torch.manual_seed(4)
    block = ExactBlock(16, dilation)
    randomise(block)
    freeze(block)
    h = integers(1, 16, 9, 8, low=-(2**13), high=2**13)
    h[0, 0, 0, 0], h[0, 1, 0, 0] = RESIDUAL_LIMIT, -RESIDUAL_LIMIT
    with torch.no_grad():
        found = block(h.clone())[0].numpy()
    assert np.array_equal(found, reference_block(block, h[0].numpy().astype(np.int64)))


def test_largest_provable_sums_are_exact() -> None:
    """Weights and inputs at their limits, just inside the bound, in float32 as in int64."""
    inputs = 2**24 // (127 * 255) - 1
    conv = ExactConv(inputs, 2, 1, RESIDUAL_FRAC)
    with torch.no_grad():
        conv.weight.fill_(127.0 / 2**12)
        conv.weight[1].neg_()
    conv.freeze()
    x = torch.full((1, inputs, 2, 2), 255.0)
    with torch.no_grad():
        found = conv(x)[0].numpy()
    assert np.array_equal(found, reference_conv(conv, x[0].numpy().astype(np.int64)))
    assert abs(found).max() > 0


def test_freeze_refuses_a_layer_that_could_leave_the_exact_range() -> None:
    network = nn.ModuleDict({"fine": ExactConv(4, 4, 3, 8), "wide": ExactConv(64, 4, 3, 8)})
    wide = network["wide"]
    assert isinstance(wide, ExactConv)
    with torch.no_grad():
        wide.bias.fill_(2.0**12)
    with pytest.raises(ExactnessError, match=r"^wide: .*2\^24"):
        freeze(network)


def test_wide_layers_have_coarser_weights_instead_of_too_large_sums() -> None:
    conv = ExactConv(64, 2, 3, RESIDUAL_FRAC)
    with torch.no_grad():
        conv.weight.fill_(127.0 / 2**7)
        conv.weight[1, 1:] = 0
    conv.freeze()
    assert conv.weight[0].abs().max() < 127 == conv.weight[1].abs().max()
    x = torch.full((1, 64, 3, 3), 255.0)
    with torch.no_grad():
        found = conv(x)[0].numpy()
    assert np.array_equal(found, reference_conv(conv, x[0].numpy().astype(np.int64)))


def test_proof_counts_the_bias_and_the_rounding() -> None:
    """A sum that fits, but not with the bias or half a step of the shift on top."""
    inputs = 2**24 // (127 * 255)  # 518 inputs leave a little less than 2^24
    for bias in (0.0, 2.0**24 - 1 - 127 * 255 * inputs, 2.0**24 - 127 * 255 * inputs):
        conv = ExactConv(inputs, 1, 1, RESIDUAL_FRAC)
        weight = torch.full_like(conv.weight, 127)
        conv.set_integers(weight, torch.tensor([bias]), torch.tensor([8]))
        if bias == 0:
            conv.prove("wide")
        else:
            with pytest.raises(ExactnessError, match="wide"):
                conv.prove("wide")


def training_lattice() -> tuple[PhaseNet, Tensor]:
    torch.manual_seed(5)
    network = PhaseNet(LatticeConfig(width=16, blocks=2, components=3, levels=1), "D")
    return network, integers(2, 15, 12, 12, low=-127, high=127)


def test_training_forward_is_the_frozen_one_up_to_rounding() -> None:
    network, planes = training_lattice()
    _, features = network.features(planes, None)
    trained = network.parameters_of(1, features, planes[:, :1])
    freeze(network)
    with torch.no_grad():
        _, frozen_features = network.features(planes, None)
        frozen = network.parameters_of(1, frozen_features, planes[:, :1])
    assert torch.isfinite(trained).all()
    # bfloat16 keeps 8 bits of each sum: half a percent of the largest parameters.
    scale = float(frozen.abs().mean())
    assert float((trained.detach() - frozen).abs().mean()) < 0.02 * scale + 1
    assert float((trained.detach() - frozen).abs().max()) < 0.1 * float(frozen.abs().max()) + 4
    assert float((features.detach() - frozen_features).abs().max()) <= 4


def test_gradients_reach_every_weight() -> None:
    network, planes = training_lattice()
    _, features = network.features(planes, None)
    total = sum(network.parameters_of(c, features, planes[:, :c]).square().mean() for c in range(3))
    assert isinstance(total, Tensor)
    total.backward()  # type: ignore[no-untyped-call]
    for name, weight in network.named_parameters():
        assert weight.grad is not None and torch.isfinite(weight.grad).all(), name
        assert float(weight.grad.abs().sum()) > 0, name


def test_gradient_of_training_points_downhill() -> None:
    """Straight-through gradients of the rounded network still reduce a loss."""
    network, planes = training_lattice()

    def loss() -> Tensor:
        _, features = network.features(planes, None)
        return (network.parameters_of(0, features, planes[:, :0]) - 40).square().mean()

    optimiser = torch.optim.Adam(network.parameters(), 3e-3)
    first = loss().item()
    for _ in range(20):
        optimiser.zero_grad()
        value = loss()
        value.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    assert loss().item() < 0.8 * first


def test_float_twin_is_close_and_does_not_round() -> None:
    network, planes = training_lattice()
    with torch.no_grad():
        _, features = network.features(planes, None)
        exact = network.parameters_of(0, features, planes[:, :0])
        set_quantise(network, False)
        _, features = network.features(planes, None)
        twin = network.parameters_of(0, features, planes[:, :0])
    assert not torch.equal(twin, twin.round())
    assert not torch.equal(features, features.round())
    error = (twin - exact).abs().mean() / twin.std()
    assert 0 < float(error) < 0.2


def test_freezing_twice_changes_nothing() -> None:
    torch.manual_seed(6)
    conv = ExactConv(8, 8, 3, 8)
    conv.freeze()
    before = conv.weight.clone(), conv.bias.clone(), conv.shift.clone()
    conv.freeze()
    after = conv.weight, conv.bias, conv.shift
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert conv.weight.abs().max() <= 127


def test_thawed_weights_freeze_to_the_same_integers() -> None:
    """Training that continues from a model file starts from exactly that model."""
    torch.manual_seed(5)
    network = MaskedNet(MaskedConfig(width=8, blocks=3, components=2))
    freeze(network)
    before = {name: conv.integers() for name, conv in convolutions(network)}
    for _, conv in convolutions(network):
        conv.thaw()
        assert not conv.frozen and conv.weight.requires_grad and conv.bias.requires_grad
    freeze(network)
    for name, conv in convolutions(network):
        for found, expected in zip(conv.integers(), before[name], strict=True):
            assert torch.equal(found, expected), name
