"""The masked network: distributions of all samples of an image given any subset of them.

The order-agnostic network of autoregressive diffusion (arXiv 2110.02037, section 3) with
Upscale stages (section 3.3): a sample of 8 bits is revealed as four base-4 digits, the most
significant digits of the whole image first.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .exact import RESIDUAL_FRAC, Exact, ExactBlock, ExactConv, ExactReLU

STAGES = 4
"""Base-4 digits of a sample."""
CHANNELS = 3
PARAMETER_FRAC = 5
"""Fractional bits of the network's outputs."""
_FLAG = 64
"""A flag that is set, in the units of the network's inputs."""
_DILATIONS = (1, 2, 4)
"""Of successive blocks: the receptive field covers a small image, however little of it is known."""


@dataclass(frozen=True)
class MaskedConfig:
    """Size of a masked network.

    Attributes:
        width: channels of the residual stream.
        blocks: residual blocks.
        components: logistic components of each mixture.
    """

    width: int
    blocks: int
    components: int


class MaskedNet(Exact):
    """Residual network from known digits and masks to logistic mixtures."""

    ARCHITECTURE = "masked"

    def __init__(self, config: MaskedConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.stem = ExactConv(2 * CHANNELS + STAGES, width, 3, RESIDUAL_FRAC)
        self.blocks = nn.ModuleList(
            ExactBlock(width, _DILATIONS[index % len(_DILATIONS)]) for index in range(config.blocks)
        )
        self.leave = ExactReLU(RESIDUAL_FRAC)
        self.hidden = ExactConv(width, width, 1, RESIDUAL_FRAC)
        self.rectify = ExactReLU(RESIDUAL_FRAC)
        self.heads = ExactConv(width, CHANNELS * 3 * config.components, 1, PARAMETER_FRAC)
        self._start_wide()

    @torch.no_grad()
    def _start_wide(self) -> None:
        """First guess: mixtures that cover the whole range."""
        k = self.config.components
        self.heads.weight.mul_(0.1)
        locations = torch.linspace(-16, 16, k)
        bias = torch.cat([torch.zeros(k), locations, torch.full((k,), 2.0)])
        self.heads.bias.copy_(bias.repeat(CHANNELS))

    def forward(self, known: Tensor, mask: Tensor, stage: Tensor) -> Tensor:
        """Mixture parameters of every sample.

        Args:
            known: (n, 3, h, w) the centre of the interval that the known digits leave each
                sample, an integer from 0 to 255.
            mask: (n, 3, h, w) 1 where the digit of the present stage is known, else 0.
            stage: (n,) the present stage, 0 to 3.

        Returns:
            (n, 3, 3 components, h, w) integers with PARAMETER_FRAC fractional bits: logits,
            locations relative to `known`, log2 of scales.
        """
        count, _, height, width = known.shape
        flags = torch.nn.functional.one_hot(stage, STAGES).to(known.dtype) * _FLAG
        planes = flags[:, :, None, None].expand(count, STAGES, height, width)
        h = self.stem(torch.cat([known - 128, mask * _FLAG, planes], 1))
        for block in self.blocks:
            h = block(h)
        parameters = self.heads(self.rectify(self.hidden(self.leave(h))))
        shaped: Tensor = parameters.view(count, CHANNELS, -1, height, width)
        return shaped
