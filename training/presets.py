"""Presets: everything that a bundled model is trained with, as a table."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from ..models.autoencoder import Autoencoder, AutoencoderConfig
from ..models.lattice import LatticeConfig, LatticeNet
from ..models.masked import MaskedConfig, MaskedNet
from ..models.storage import Network
from ..models.unet import SCORE_LOGSNR_MAX, SCORE_LOGSNR_MIN, UNet, UNetConfig
from ..models.vdm import VdmConfig, VdmNet
from .data import CropSpec
from .distill import Steps
from .loop import Recipe
from .losses import (
    ScoreLoss,
    StudentLoss,
    autoencoder_loss,
    diffusion_loss,
    lattice_bits,
    masked_bits,
    vdm_bits,
)


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
        start: model whose weights a run begins with, if no other is asked for; None: random ones.
    """

    model_id: str
    network: Callable[[], Network]
    loss: Callable[[nn.Module, Tensor, torch.Generator], Tensor]
    crops: CropSpec
    recipe: Recipe
    summary: str
    start: str | None = None


_PHOTOS = CropSpec(size=128, scale=(2.0, 8.0), passes=12, crops=16, grain=4.0, subsampling=True)
_LARGE = replace(_PHOTOS, size=320, passes=6, crops=6)
"""For networks that look far, most of which should be inside of a crop."""
_CLEAN = replace(_PHOTOS, grain=0.0)
"""For networks that make up what a file does not say: nobody misses grain."""


_NEAR_TRANSFORM = (("synthesis.stages", 1 / 10), ("analysis", 1 / 40), ("synthesis", 1 / 40))
"""What becomes of the rates of learning of an autoencoder that begins as a transform."""


def _score_decoder() -> UNet:
    return UNet(UNetConfig(width0=48, width1=80, width2=128, width3=256, down=2, up=2, condition=3))


def _few(calls: int, stride: int) -> Steps:
    """Steps of a score decoder that takes so many calls, the last one to the image."""
    starts = np.linspace(SCORE_LOGSNR_MIN, SCORE_LOGSNR_MAX, calls + 1)[:-1]
    fine = np.linspace(SCORE_LOGSNR_MIN, starts[-1], (calls - 1) * stride + 1)
    last = np.linspace(starts[-1], SCORE_LOGSNR_MAX, stride)[1:]
    return Steps((*fine.tolist(), *last.tolist(), math.inf), stride)


def _transform_coder(config: AutoencoderConfig) -> Autoencoder:
    network = Autoencoder(config)
    network.start_as_transform()
    return network


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
    "hfd-photo": Preset(
        model_id="hfd-photo",
        network=lambda: _transform_coder(
            AutoencoderConfig(
                width0=96,
                width1=192,
                width2=256,
                latents=256,
                hyper=64,
                exact=128,
                blocks=3,
                rates=6,
            )
        ),
        loss=autoencoder_loss,
        crops=_LARGE,
        recipe=Recipe(steps=20000, batch=4, rate=2e-3, matrix_rate=2e-3, gentle=_NEAR_TRANSFORM),
        summary="autoencoder of photographs for squared error, 90 kMAC a pixel",
    ),
    "hfd-photo-decoder": Preset(
        model_id="hfd-photo-decoder",
        network=_score_decoder,
        loss=ScoreLoss("hfd-photo"),
        crops=_CLEAN,
        recipe=Recipe(steps=10000, batch=16, rate=1e-3, matrix_rate=1e-3, average=0.998),
        summary="score decoder of photographs, 62 kMAC a pixel and call",
        start="diffc-photo",
    ),
    "hfd-photo-fast": Preset(
        model_id="hfd-photo-fast",
        network=_score_decoder,
        loss=StudentLoss("hfd-photo", "hfd-photo-decoder", _few(calls=4, stride=16)),
        crops=_CLEAN,
        recipe=Recipe(steps=2000, batch=16, rate=5e-4, matrix_rate=5e-4, average=0.998),
        summary="the same, distilled to 4 calls",
        start="hfd-photo-decoder",
    ),
    "hfd-photo-gpu": Preset(
        model_id="hfd-photo-gpu",
        network=lambda: _transform_coder(
            AutoencoderConfig(
                width0=288,
                width1=576,
                width2=896,
                latents=320,
                hyper=128,
                exact=256,
                blocks=4,
                rates=6,
            )
        ),
        loss=autoencoder_loss,
        crops=_LARGE,
        recipe=Recipe(steps=300000, batch=32, rate=1e-3, matrix_rate=1e-3, average=0.9995),
        summary="autoencoder ten times as large, for a GPU",
    ),
    "hfd-photo-decoder-gpu": Preset(
        model_id="hfd-photo-decoder-gpu",
        network=lambda: UNet(
            UNetConfig(width0=144, width1=256, width2=448, width3=896, down=2, up=2, condition=3)
        ),
        loss=ScoreLoss("hfd-photo"),
        crops=_CLEAN,
        recipe=Recipe(steps=200000, batch=64, rate=1e-3, matrix_rate=1e-3, average=0.9995),
        summary="score decoder ten times as large, for a GPU",
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
