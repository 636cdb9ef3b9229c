"""Model files: integer tensors and a card in safetensors; never pickle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from .errors import ModelError
from .exact import ExactnessError, convolutions, freeze
from .lattice import LatticeConfig, LatticeNet
from .masked import MaskedConfig, MaskedNet

_TYPES = {"weight": torch.int8, "bias": torch.int32, "shift": torch.int8}


def build(architecture: str, config: Mapping[str, int]) -> LatticeNet | MaskedNet:
    """An untrained network.

    Raises:
        ModelError: the architecture is unknown, or the configuration is not one of its own.
    """
    try:
        if architecture == "lattice":
            return LatticeNet(LatticeConfig(**config))
        if architecture == "masked":
            return MaskedNet(MaskedConfig(**config))
    except TypeError as error:
        raise ModelError(f"unsuitable {architecture} configuration {dict(config)}") from error
    raise ModelError(f"unknown architecture {architecture!r}; known are lattice, masked")


def write_network(
    network: LatticeNet | MaskedNet,
    path: Path,
    *,
    name: str,
    number: int,
    tables: Mapping[str, Any],
    facts: Mapping[str, Any],
) -> None:
    """Freeze a trained network and write it with its card.

    Raises:
        ExactnessError: a layer's sums could leave the exact range.
    """
    freeze(network)
    tensors: dict[str, Tensor] = {}
    for layer, conv in convolutions(network):
        for part, dtype in _TYPES.items():
            tensors[f"{layer}.{part}"] = getattr(conv, part).detach().to(dtype).contiguous()
    card = {
        "name": name,
        "number": number,
        "architecture": network.ARCHITECTURE,
        "config": asdict(network.config),
        "tables": tables,
        "facts": facts,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path, metadata={"noisepress": json.dumps(card)})
    path.chmod(0o644)


def read_network(
    path: Path, architecture: str, config: Mapping[str, int]
) -> LatticeNet | MaskedNet:
    """The frozen network of a model file, in channels-last layout.

    Raises:
        ModelError: tensors are missing, have other shapes, or could compute inexactly.
    """
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{path}: cannot read the model: {error}") from error
    network = build(architecture, config)
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
    return network.to(memory_format=torch.channels_last).eval()
