"""Presets: everything that a bundled model is trained with, as a table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..models.lattice import LatticeConfig, LatticeNet
from ..models.masked import MaskedConfig, MaskedNet
from ..models.storage import Network
from ..models.unet import UNet, UNetConfig
from ..models.vdm import VdmConfig, VdmNet
from .data import CropSpec
from .loop import Recipe
from .losses import diffusion_loss, lattice_bits, masked_bits, vdm_bits


@dataclass(frozen=True)
class Preset:
    """A named training set-up.

    Attributes:
        model_id: name of the model that the run exports; its number is in the registry.
        network: builds the untrained network.
        loss: bits per dimension of a batch.
        crops: how training crops are cut; validation takes a quarter as many of a photograph.
        recipe: optimisation.
        summary: one line for listings.
    """

    model_id: str
    network: Callable[[], Network]
    loss: Callable[[nn.Module, Tensor, torch.Generator], Tensor]
    crops: CropSpec
    recipe: Recipe
    summary: str


_PHOTOS = CropSpec(size=128, scale=(2.0, 8.0), passes=12, crops=16, grain=4.0, subsampling=True)

PRESETS = {
    "ardm-photo": Preset(
        model_id="ardm-photo",
        network=lambda: LatticeNet(LatticeConfig(width=64, blocks=4, components=4, levels=3)),
        loss=lattice_bits,
        crops=_PHOTOS,
        recipe=Recipe(steps=5000, batch=8),
        summary="lattice order for photographs, 190 kMAC a pixel",
    ),
    "vdm-photo": Preset(
        model_id="vdm-photo",
        network=lambda: VdmNet(VdmConfig(width=80, blocks=6)),
        loss=vdm_bits,
        crops=_PHOTOS,
        recipe=Recipe(steps=5000, batch=16),
        summary="the finest pixels of photographs through noise, 110 kMAC a pixel and call",
    ),
    "diffc-photo": Preset(
        model_id="diffc-photo",
        network=lambda: UNet(
            UNetConfig(width0=48, width1=80, width2=128, width3=256, down=2, up=2)
        ),
        loss=diffusion_loss,
        crops=_PHOTOS,
        recipe=Recipe(steps=20000, batch=16, rate=2e-3, matrix_rate=2e-3, average=0.998),
        summary="diffusion model for lossy coding of photographs, 61 kMAC a pixel and call",
    ),
    "diffc-photo-gpu": Preset(
        model_id="diffc-photo-gpu",
        network=lambda: UNet(
            UNetConfig(width0=144, width1=256, width2=448, width3=896, down=2, up=2)
        ),
        loss=diffusion_loss,
        crops=_PHOTOS,
        recipe=Recipe(steps=200000, batch=64, rate=1e-3, matrix_rate=1e-3, average=0.9995),
        summary="the same, ten times as large, for a GPU",
    ),
    "ardm-small": Preset(
        model_id="ardm-small",
        network=lambda: MaskedNet(MaskedConfig(width=64, blocks=9, components=4)),
        loss=masked_bits,
        crops=CropSpec(size=32, scale=(3.0, 12.0), passes=8, crops=100),
        recipe=Recipe(steps=1500, batch=32),
        summary="random order for images of about 32x32, 370 kMAC a pixel and call",
    ),
}
