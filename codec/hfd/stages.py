"""The second stage of hfd: what a network makes of the first stage's picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ...bitstream.errors import ModelError
from ...bitstream.information import OCTAVE
from ...bitstream.noise import normals
from ...models import samplers
from ...models.card import Card
from ...models.diffusion import noisy
from ...models.registry import load_network
from ...models.tiling import estimate
from ...models.unet import (
    CHANNELS,
    RESTORING_LOGSNR,
    SCORE_LOGSNR_MAX,
    SCORE_LOGSNR_MIN,
    Known,
    UNet,
)
from ...models.wavelet import TRAINED_STEPS, known_level
from ..protocol import Decoding

CALLS = 8
"""Network evaluations of the score decoder, by default."""
DETAIL = 0.6
"""Share of the drawn image in what is shown, by default; the rest is the first picture's.

Chosen on crops of photographs: at 0.1 to 0.4 bits per pixel the Frechet distance is least between
0.5 and 0.7.
"""
_LEAST_RESTORED = known_level(torch.tensor(TRAINED_STEPS[0]))
"""Log-SNR in nats from which pictures are not restored."""
_UNRESTORED_LEVEL = 4.0
"""Least log-SNR in nats of pictures that networks without `restores` were trained with."""


@dataclass(frozen=True)
class Painter:
    """Makes pictures from those of the first stage.

    Attributes:
        network: the score decoder.
        restores: whether it was trained to restore pictures, too: to give the mean of all images
            that may have been coded so.
        levels: log-SNRs in nats at which a distilled decoder is evaluated, each step ending at the
            next; None: any levels.
        seed: of the noise.
    """

    network: UNet
    restores: bool
    levels: Sequence[float] | None
    seed: int

    @classmethod
    def of(cls, card: Card, seed: int, device: str) -> Painter:
        """The painter of a model.

        Raises:
            ModelError: the model is made for another codec, or there is no such device.
        """
        network = load_network(card, UNet, device)
        if network.config.condition != CHANNELS:
            raise ModelError(f"model {card.name} is not a score decoder for hfd")
        levels = card.tables.get("levels")
        nats = levels and [level * math.log(2) / OCTAVE for level in levels]
        return cls(network, bool(card.tables.get("restores")), nats, seed)

    def picture(self, known: Known, decoding: Decoding) -> Tensor:
        """The picture (1, 3, h, w) of the rendering that is wanted."""
        if decoding.render == "mmse":
            return self.restored(known)
        return self.drawn(known, decoding)

    @torch.inference_mode()
    def restored(self, known: Known) -> Tensor:
        """The mean of all images that may have been coded to the first stage's (1, 3, h, w)."""
        if not self.restores or known.level >= _LEAST_RESTORED:
            return known.image
        return estimate(self.network, torch.zeros_like(known.image), RESTORING_LOGSNR, known)

    @torch.inference_mode()
    def drawn(self, known: Known, decoding: Decoding) -> Tensor:
        """An image (1, 3, h, w) between the mean and one drawn by the score decoder.

        Where the first has the least squared error and the second the distribution of originals,
        points on the line between them trade the two optimally (arXiv 2107.02555).

        Args:
            known: the first stage's image.
            decoding: its `detail` is the share of the drawn image, its `steps` the network
                evaluations.
        """
        detail = DETAIL if decoding.detail is None else decoding.detail
        if detail == 0:
            return self.restored(known)
        if not self.restores:
            known = known._replace(level=known.level.clamp(min=_UNRESTORED_LEVEL))

        def denoise(z: Tensor, logsnr: Tensor) -> Tensor:
            return estimate(self.network, z, float(logsnr[0]), known)

        def noise(index: int) -> Tensor:
            count = known.image.numel()
            return torch.from_numpy(normals(self.seed, index, n=count)).view_as(known.image)

        calls = decoding.steps or CALLS
        levels = self.levels or np.linspace(SCORE_LOGSNR_MIN, SCORE_LOGSNR_MAX, calls).tolist()
        z = noisy(known.image, noise(0), torch.tensor(levels[:1]))
        path = [*levels, math.inf]
        if decoding.render == "ancestral":
            drawn = samplers.ancestral(denoise, z, path, lambda step: noise(step + 1))
        else:
            flow = samplers.dpm_solver if self.levels is None else samplers.ddim
            drawn = flow(denoise, z, path)
        return drawn if detail == 1 else torch.lerp(self.restored(known), drawn, detail)
