"""Tiny frozen models that many tests share; untrained, so that they cost nothing to make."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from noisepress.models.lattice import LatticeConfig, LatticeNet
from noisepress.models.masked import MaskedConfig, MaskedNet
from noisepress.models.storage import write_network

LATTICE_NUMBER, MASKED_NUMBER = 1024, 1025


@pytest.fixture(scope="session")
def lattice_model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Path of a tiny lattice model."""
    torch.manual_seed(1)
    network = LatticeNet(LatticeConfig(width=8, blocks=1, components=2, levels=2))
    path: Path = tmp_path_factory.mktemp("lattice") / "tiny-lattice.safetensors"
    write_network(network, path, name="tiny-lattice", number=LATTICE_NUMBER, tables={}, facts={})
    return str(path)


@pytest.fixture(scope="session")
def masked_model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Path of a tiny masked model with loss curves that fall as more is known."""
    torch.manual_seed(2)
    network = MaskedNet(MaskedConfig(width=8, blocks=1, components=2))
    path: Path = tmp_path_factory.mktemp("masked") / "tiny-masked.safetensors"
    curves = [[2**17 // (1 + stage + i // 8) for i in range(256)] for stage in range(4)]
    tables = {"curves": curves}
    write_network(network, path, name="tiny-masked", number=MASKED_NUMBER, tables=tables, facts={})
    return str(path)


@pytest.fixture(params=["lattice", "random"])
def order_and_model(
    request: pytest.FixtureRequest, lattice_model: str, masked_model: str
) -> tuple[str, str]:
    """Both orders of ardm with a tiny model of each."""
    order: str = request.param
    return order, {"lattice": lattice_model, "random": masked_model}[order]
