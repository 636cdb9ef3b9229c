"""The U-Net: denoises images at any noise level, for codecs whose networks only make pixels.

In the manner of simple diffusion (arXiv 2301.11093): the image enters in patches, few channels
work at high resolution and most parameters at low resolution. Without attention or global pooling
the receptive field is bounded (`UNet.reach`), so that a large image can be cut into overlapping
tiles without a seam.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from .diffusion import joined, x_from_v

CHANNELS = 3
PATCH = 2
"""Side of the patches of pixels that the network reads and writes."""
SCORE_LOGSNR_MIN, SCORE_LOGSNR_MAX = -0.5, 10.0
"""Log-SNRs in nats between which score decoders work.

Sampling starts at the lower one, where the noise hides the detail that the decoded picture lacks,
so that it may start from that picture in place of the image.
"""
RESTORING_LOGSNR = -20.0
"""Log-SNR in nats at which a noisy image tells nothing: the decoded picture alone is restored."""
_FREQUENCIES = 16
"""Sines and cosines of the log-SNR that the embedding is computed from."""
_EMBEDDING = 128
"""Features of the embedding of the log-SNR."""


class Known(NamedTuple):
    """Decoded pictures that a denoiser is conditioned on.

    Attributes:
        image: (n, 3, h, w), from -SPAN to SPAN.
        level: (n,), -log of their mean squared errors: the log-SNRs in nats of noise as large.
    """

    image: Tensor
    level: Tensor


@dataclass(frozen=True)
class UNetConfig:
    """Size of a U-Net of four resolutions.

    Attributes:
        width0, width1, width2, width3: channels at 1/2, 1/4, 1/8 and 1/16 of the resolution.
        down: residual blocks of each resolution on the way down.
        up: residual blocks of each resolution except the coarsest on the way up.
        condition: channels of the image that the network is conditioned on: 3, or 0 for none.
    """

    width0: int
    width1: int
    width2: int
    width3: int
    down: int
    up: int
    condition: int = 0

    @property
    def widths(self) -> tuple[int, int, int, int]:
        """Channels from the finest resolution to the coarsest."""
        return self.width0, self.width1, self.width2, self.width3


class Block(nn.Module):
    """Residual block: 3x3 convolution, scale and shift by the noise level, 1x1 convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.spatial = nn.Conv2d(channels, channels, 3, padding=1)
        self.level = nn.Linear(_EMBEDDING, 2 * channels)
        self.pointwise = nn.Conv2d(channels, channels, 1)
        with torch.no_grad():
            self.level.weight.mul_(0.1)
            self.pointwise.weight.mul_(0.1)

    def forward(self, h: Tensor, embedding: Tensor) -> Tensor:
        scale, shift = self.level(embedding)[:, :, None, None].chunk(2, 1)
        inner = torch.addcmul(shift, self.spatial(functional.silu(h)), 1 + scale)
        change: Tensor = self.pointwise(functional.silu(inner))
        return h + change


class UNet(nn.Module):
    """E[x | z] for images of -SPAN to SPAN at any log-SNR, or E[x | z, condition].

    The network predicts v (arXiv 2202.00512). With a condition, that is the v of the noisy image
    and the condition fused (`diffusion.joined`): detail in the condition need not pass through the
    network.

    Attributes:
        MULTIPLE: height and width must be multiples of this.
    """

    ARCHITECTURE = "unet"
    MULTIPLE = 16

    frequencies: Tensor

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.config = config
        widths = config.widths
        finer = list(pairwise(widths))
        planes = CHANNELS * PATCH**2
        self.embedding = nn.Sequential(
            nn.Linear(2 * _FREQUENCIES, _EMBEDDING),
            nn.SiLU(),
            nn.Linear(_EMBEDDING, _EMBEDDING),
            nn.SiLU(),
        )
        known = config.condition * PATCH**2
        self.enter = nn.Conv2d(planes + known, widths[0], 3, padding=1)
        self.down = nn.ModuleList(
            nn.ModuleList(Block(width) for _ in range(config.down)) for width in widths
        )
        self.up = nn.ModuleList(
            nn.ModuleList(Block(width) for _ in range(config.up)) for width in widths[:-1]
        )
        self.shrink = nn.ModuleList(nn.Conv2d(4 * fine, coarse, 1) for fine, coarse in finer)
        self.grow = nn.ModuleList(nn.Conv2d(coarse, 4 * fine, 1) for fine, coarse in finer)
        self.leave = nn.Conv2d(widths[0], planes, 3, padding=1)
        spacing = torch.logspace(math.log10(0.05), math.log10(3.0), _FREQUENCIES)
        self.register_buffer("frequencies", spacing, persistent=False)
        with torch.no_grad():
            self.leave.weight.mul_(0.1)

    @property
    def reach(self) -> int:
        """Pixels to each side that the estimate of a pixel depends on, at most."""
        down, up = self.config.down, self.config.up
        levels = len(self.config.widths)
        cells = [1 + down + up + 1, *([down + up] * (levels - 2)), down]
        return self.MULTIPLE + sum(count * PATCH << level for level, count in enumerate(cells))

    def conditioned(self) -> UNet:
        """A copy conditioned on an image, with zero weights for its channels of the input."""
        wider = UNet(replace(self.config, condition=CHANNELS))
        seen = self.enter.weight.shape[1]
        state = self.state_dict()
        enter = torch.zeros_like(wider.enter.weight)
        enter[:, :seen] = state["enter.weight"]
        wider.load_state_dict({**state, "enter.weight": enter})
        return wider

    def forward(self, z: Tensor, logsnr: Tensor, known: Known | None = None) -> Tensor:
        """See `models.diffusion.Denoiser`; height and width multiples of MULTIPLE.

        Args:
            known: the condition; None if `config.condition` is 0.
        """
        logsnr = logsnr.to(z.dtype)
        seen = z
        if known is not None:
            z, logsnr = joined(z, logsnr, known.image, known.level.to(z.dtype))
            seen = torch.cat([z, known.image], 1)
        phases = logsnr[:, None] * self.frequencies
        embedding = self.embedding(torch.cat([phases.sin(), phases.cos()], 1))
        h = self.enter(functional.pixel_unshuffle(seen, PATCH))
        skips: list[Tensor] = []
        for index, blocks in enumerate(self.down):
            for block in _list(blocks):
                h = block(h, embedding)
            if index < len(self.shrink):
                skips.append(h)
                h = self.shrink[index](functional.pixel_unshuffle(h, 2))
        for index in reversed(range(len(self.up))):
            h = skips[index] + functional.pixel_shuffle(self.grow[index](h), 2)
            for block in _list(self.up[index]):
                h = block(h, embedding)
        v = functional.pixel_shuffle(self.leave(h), PATCH)
        return x_from_v(z, v, logsnr)


def _list(blocks: nn.Module) -> nn.ModuleList:
    assert isinstance(blocks, nn.ModuleList)
    return blocks
