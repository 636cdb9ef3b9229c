"""Presets: everything that a model is trained with, as a table."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from ..models.lattice import LatticeConfig, LatticeNet
from ..models.masked import MaskedConfig, MaskedNet
from ..models.storage import Network
from ..models.unet import SCORE_LOGSNR_MAX, SCORE_LOGSNR_MIN, UNet, UNetConfig
from ..models.vdm import VdmConfig, VdmNet
from .data import CropSpec
from .distill import Pair, Steps, consistency_loss, moment_loss, progressive_loss
from .loop import Loss, Recipe
from .losses import (
    DistillationLoss,
    Method,
    diffusion_loss,
    masked_bits,
    mixed_lattice_bits,
    score_loss,
    vdm_bits,
)

Trainable = Network | Pair
"""What a preset trains."""


@dataclass(frozen=True)
class Preset:
    """A named training set-up; the name is that of the model, whose number is in the registry.

    Attributes:
        network: builds the untrained network.
        loss: bits per dimension of a batch.
        crops: how training crops are cut; validation takes a quarter as many from a photograph.
        recipe: optimisation.
        summary: one line for `listing`.
        start: model whose weights a run begins with, if no other is asked for; None: random ones.
    """

    network: Callable[[], Trainable]
    loss: Loss
    crops: CropSpec
    recipe: Recipe
    summary: str
    start: str | None = None


_PHOTOS = CropSpec(size=128, scale=(2.0, 8.0), passes=12, crops=16, grain=4.0, subsampling=True)
_CLEAN = replace(_PHOTOS, grain=0.0)
"""For generative decoders: no grain, so that they do not learn to synthesise it."""
_DENOISER = UNetConfig(width0=48, width1=80, width2=128, width3=256, down=2, up=2)
_LARGE_DENOISER = UNetConfig(width0=144, width1=256, width2=448, width3=896, down=2, up=2)
"""Sizes; a large network has ten times the calculations, for a GPU."""


def _score_decoder(size: UNetConfig = _DENOISER) -> UNet:
    return UNet(replace(size, condition=3))


def _few(calls: int, stride: int) -> Steps:
    """Steps of a student of `calls` calls, the last one to the image, and of its teacher.

    Spaced evenly in the log-SNR; the teacher takes `stride` steps for each of the student's.
    """
    starts = np.linspace(SCORE_LOGSNR_MIN, SCORE_LOGSNR_MAX, calls + 1)[:-1]
    fine = np.linspace(SCORE_LOGSNR_MIN, starts[-1], (calls - 1) * stride + 1)
    last = np.linspace(starts[-1], SCORE_LOGSNR_MAX, stride)[1:]
    return Steps((*fine.tolist(), *last.tolist(), math.inf), stride)


def _student(network: Callable[[], Trainable], method: Method, stride: int, summary: str) -> Preset:
    """A preset that distils the bundled score decoder to four calls."""
    return Preset(
        network=network,
        loss=DistillationLoss(
            teacher="hfd-photo",
            steps=_few(calls=4, stride=stride),
            method=method,
        ),
        crops=_CLEAN,
        recipe=Recipe(steps=2000, batch=16, rate=5e-4, matrix_rate=5e-4, average=0.998),
        summary=f"score decoder distilled to 4 calls {summary}",
        start="hfd-photo",
    )


PRESETS = {
    "ardm-photo": Preset(
        network=lambda: LatticeNet(LatticeConfig(width=64, blocks=4, components=4, levels=3)),
        loss=mixed_lattice_bits,
        crops=_PHOTOS,
        recipe=Recipe(steps=5000, batch=8),
        summary="lossless, lattice order, for photographs, 190 kMAC a pixel",
    ),
    "vdm-photo": Preset(
        network=lambda: VdmNet(VdmConfig(width=80, blocks=6)),
        loss=vdm_bits,
        crops=_PHOTOS,
        recipe=Recipe(steps=5000, batch=16),
        summary="lossless, bits-back, for photographs, 110 kMAC a pixel and call",
    ),
    "diffc-photo": Preset(
        network=lambda: UNet(_DENOISER),
        loss=diffusion_loss,
        crops=_PHOTOS,
        recipe=Recipe(steps=20000, batch=16, rate=2e-3, matrix_rate=2e-3, average=0.998),
        summary="lossy, diffusion model for photographs, 61 kMAC a pixel and call",
    ),
    "diffc-photo-gpu": Preset(
        network=lambda: UNet(_LARGE_DENOISER),
        loss=diffusion_loss,
        crops=_PHOTOS,
        recipe=Recipe(steps=200000, batch=64, rate=1e-3, matrix_rate=1e-3, average=0.9995),
        summary="lossy, diffusion model ten times as large, for a GPU",
    ),
    "hfd-photo": Preset(
        network=_score_decoder,
        loss=score_loss,
        crops=_CLEAN,
        recipe=Recipe(
            steps=40000, batch=16, rate=2e-3, matrix_rate=2e-3, average=0.9995, decay=0.8
        ),
        summary="restores and draws hfd's pictures, 62 kMAC a pixel and call",
        start="diffc-photo",
    ),
    "hfd-photo-fast": _student(_score_decoder, consistency_loss, 16, "by multistep consistency"),
    "hfd-photo-fast-progressive": _student(
        _score_decoder, progressive_loss, 8, "by progressive distillation"
    ),
    "hfd-photo-fast-moments": _student(
        lambda: Pair(_score_decoder(), _score_decoder()),
        moment_loss,
        16,
        "by moment matching (ancestral)",
    ),
    "hfd-photo-gpu": Preset(
        network=lambda: _score_decoder(_LARGE_DENOISER),
        loss=score_loss,
        crops=_CLEAN,
        recipe=Recipe(steps=200000, batch=64, rate=1e-3, matrix_rate=1e-3, average=0.9995),
        summary="restores and draws hfd's pictures, ten times as large, for a GPU",
    ),
    "ardm-small": Preset(
        network=lambda: MaskedNet(MaskedConfig(width=64, blocks=9, components=4)),
        loss=masked_bits,
        crops=CropSpec(size=32, scale=(3.0, 12.0), passes=8, crops=100),
        recipe=Recipe(steps=1500, batch=32),
        summary="lossless, random order, about 32x32 pixels, 370 kMAC a pixel and call",
    ),
}


def listing() -> str:
    """The names of all presets with their summaries, a line each."""
    width = max(map(len, PRESETS))
    return "\n".join(f"{name:{width}}  {preset.summary}" for name, preset in PRESETS.items())
