"""What many tests share: tiny frozen models, untrained and so quickly made, and other machines."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch

from noisepress.models.lattice import LatticeConfig, LatticeNet
from noisepress.models.masked import MaskedConfig, MaskedNet
from noisepress.models.storage import write_network
from noisepress.models.unet import UNet, UNetConfig
from noisepress.models.vdm import VdmConfig, VdmNet
from noisepress.training.calibration import error_tables

LATTICE_NUMBER, MASKED_NUMBER, UNET_NUMBER, VDM_NUMBER = 1024, 1025, 1026, 1027
SCORE_NUMBER, RESTORING_NUMBER = 1029, 1030


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


@pytest.fixture(scope="session")
def unet_model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Path of a tiny denoiser with the errors that it makes on a few smooth images."""
    torch.manual_seed(3)
    network = UNet(UNetConfig(width0=8, width1=8, width2=8, width3=8, down=1, up=1)).eval()
    rng = np.random.default_rng(0)
    row, column = np.mgrid[:32, :32][..., None] / 32
    slopes, offsets = rng.normal(0, 90, (2, 4, 1, 1, 3)), rng.uniform(60, 200, (4, 1, 1, 3))
    shades = offsets + slopes[0] * row + slopes[1] * column * row
    crops = (shades + rng.normal(0, 8, shades.shape)).clip(0, 255).astype(np.uint8)
    path: Path = tmp_path_factory.mktemp("unet") / "tiny-unet.safetensors"
    tables = error_tables(network, crops)
    write_network(network, path, name="tiny-unet", number=UNET_NUMBER, tables=tables, facts={})
    return str(path)


@pytest.fixture(scope="session")
def vdm_model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Path of a tiny model of vdm."""
    torch.manual_seed(4)
    network = VdmNet(VdmConfig(width=8, blocks=1))
    path: Path = tmp_path_factory.mktemp("vdm") / "tiny-vdm.safetensors"
    write_network(network, path, name="tiny-vdm", number=VDM_NUMBER, tables={}, facts={})
    return str(path)


@pytest.fixture(scope="session")
def score_model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Path of a tiny score decoder."""
    torch.manual_seed(6)
    network = UNet(UNetConfig(width0=8, width1=8, width2=8, width3=8, down=1, up=1, condition=3))
    path: Path = tmp_path_factory.mktemp("score") / "tiny-score.safetensors"
    write_network(network, path, name="tiny-score", number=SCORE_NUMBER, tables={}, facts={})
    return str(path)


@pytest.fixture(scope="session")
def restoring_model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Path of a tiny score decoder that is said to restore pictures."""
    torch.manual_seed(7)
    network = UNet(UNetConfig(width0=8, width1=8, width2=8, width3=8, down=1, up=1, condition=3))
    path: Path = tmp_path_factory.mktemp("restoring") / "tiny-restoring.safetensors"
    tables, number = {"restores": 1}, RESTORING_NUMBER
    write_network(network, path, name="tiny-restoring", number=number, tables=tables, facts={})
    return str(path)


@pytest.fixture(scope="session")
def machine() -> Callable[[int, bool], AbstractContextManager[None]]:
    """Torch with a number of threads, with or without oneDNN."""

    @contextmanager
    def changed(threads: int, onednn: bool) -> Iterator[None]:
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            with torch.backends.mkldnn.flags(enabled=onednn):
                yield
        finally:
            torch.set_num_threads(before)

    return changed


@pytest.fixture(scope="session")
def oldest_processor(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Environment of a process with kernels for the oldest processors, which are compiled once."""
    folder = str(tmp_path_factory.mktemp("kernels"))
    return {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": "", "NUMBA_CACHE_DIR": folder}


@pytest.fixture(params=["lattice", "random"])
def order_and_model(
    request: pytest.FixtureRequest, lattice_model: str, masked_model: str
) -> tuple[str, str]:
    """Both orders of ardm with a tiny model of each."""
    order: str = request.param
    return order, {"lattice": lattice_model, "random": masked_model}[order]
