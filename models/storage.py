"""Model files: tensors and a card in safetensors; never pickle.

Integer-exact convolutions are stored as the integers that they compute with, all else as float16.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from ..bitstream.atomic import write_atomically
from ..bitstream.errors import ModelError
from .card import CARD_KEY
from .exact import Exact, ExactnessError, convolutions, freeze
from .lattice import LatticeConfig, LatticeNet
from .masked import MaskedConfig, MaskedNet
from .unet import UNet, UNetConfig
from .vdm import VdmConfig, VdmNet

Network = LatticeNet | MaskedNet | UNet | VdmNet

ARCHITECTURES: Mapping[str, tuple[Callable[[Any], Network], Callable[..., Any]]] = {
    "lattice": (LatticeNet, LatticeConfig),
    "masked": (MaskedNet, MaskedConfig),
    "unet": (UNet, UNetConfig),
    "vdm": (VdmNet, VdmConfig),
}
"""Network and configuration by the name of the architecture, which is stored in model files."""

_TYPES = {"weight": torch.int8, "bias": torch.int32, "shift": torch.int8}
"""The tensors of an integer-exact convolution in a model file."""


def build(architecture: str, config: Mapping[str, int]) -> Network:
    """An untrained network.

    Raises:
        ModelError: the architecture is unknown, or the configuration is not one of its own.
    """
    if architecture not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        raise ModelError(f"unknown architecture {architecture!r}; known are {known}")
    network, configuration = ARCHITECTURES[architecture]
    try:
        return network(configuration(**config))
    except (TypeError, RuntimeError) as error:
        raise ModelError(f"unsuitable {architecture} configuration {dict(config)}") from error


def write_network(
    network: Network,
    path: Path,
    *,
    name: str,
    number: int,
    tables: Mapping[str, Any],
    facts: Mapping[str, Any],
) -> None:
    """Write a trained network with its card; integer-exact layers are frozen first.

    Args:
        path: the file, replaced whole.
        name, number, tables, facts: see `card.Card`.

    Raises:
        ExactnessError: a layer's sums could leave the exact range.
        OSError: the file cannot be written.
    """
    tensors = _integers(network) | _halves(network)
    card = {
        "name": name,
        "number": number,
        "architecture": network.ARCHITECTURE,
        "config": asdict(network.config),
        "tables": tables,
        "facts": facts,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, save(tensors, metadata={CARD_KEY: json.dumps(card)}))


def _integers(network: Network) -> dict[str, Tensor]:
    freeze(network)
    return {
        f"{layer}.{part}": getattr(conv, part).detach().to(dtype).contiguous()
        for layer, conv in convolutions(network)
        for part, dtype in _TYPES.items()
    }


def _halves(network: Network) -> dict[str, Tensor]:
    exact = _exact(network)
    return {
        name: value.half().contiguous()
        for name, value in network.state_dict().items()
        if name not in exact
    }


def _exact(network: Network) -> set[str]:
    """Names of the tensors of integer-exact layers."""
    return {f"{layer}.{part}" for layer, _ in convolutions(network) for part in _TYPES}


@torch.inference_mode(False)  # tensors made in that mode could not be changed outside of it
def read_network(path: Path, architecture: str, config: Mapping[str, int]) -> Network:
    """The network of a model file, ready to run, in channels-last layout.

    Raises:
        ModelError: tensors are missing, have other shapes, or could compute inexactly.
    """
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{path}: cannot read the model: {error}") from error
    network = build(architecture, config)
    _set_integers(network, tensors, path)
    _set_floats(network, tensors, path)
    return network.to(memory_format=torch.channels_last).eval()


def placed(network: Network, device: str) -> Network:
    """The network with its floating-point parts on a device.

    Raises:
        ModelError: there is no such device.
    """
    parts = network.children() if any(convolutions(network)) else [network]
    try:
        for part in parts:
            if not isinstance(part, Exact):
                part.to(device)
    except (AssertionError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise ModelError(f"device {device!r} cannot be used: {reason}") from error
    return network


def _set_floats(network: Network, tensors: Mapping[str, Tensor], path: Path) -> None:
    exact = _exact(network)
    halves = {name: value.float() for name, value in tensors.items() if name not in exact}
    try:
        found = network.load_state_dict(halves, strict=False)
    except RuntimeError as error:
        raise ModelError(f"{path}: tensors have other shapes") from error
    if found.unexpected_keys or set(found.missing_keys) - exact:
        raise ModelError(f"{path}: tensors are missing or belong to no layer")
    if not all(bool(value.isfinite().all()) for value in halves.values()):
        raise ModelError(f"{path}: a tensor is not finite")


def _set_integers(network: Network, tensors: Mapping[str, Tensor], path: Path) -> None:
    for layer, conv in convolutions(network):
        try:
            parts = {part: tensors[f"{layer}.{part}"] for part in _TYPES}
        except KeyError as error:
            raise ModelError(f"{path}: tensor {error} is missing") from error
        per_channel = conv.bias.shape
        wanted = {"weight": conv.weight.shape, "bias": per_channel, "shift": per_channel}
        for part, tensor in parts.items():
            if tensor.shape != wanted[part] or tensor.dtype != _TYPES[part]:
                raise ModelError(
                    f"{path}: {layer}.{part} is {tensor.dtype} of shape {tuple(tensor.shape)}"
                )
        conv.set_integers(**parts)
        try:
            conv.prove(layer)
        except ExactnessError as error:
            raise ModelError(f"{path}: {error}") from error
