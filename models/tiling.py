"""Running a network on images of any size in bounded memory, with the same result."""

from __future__ import annotations

import torch
from torch import Tensor

from .unet import UNet


def estimate(network: UNet, z: Tensor, logsnr: float, side: int = 1024) -> Tensor:
    """`network` on one large image, tile by tile.

    Tiles overlap by the network's reach, so that a pixel sees what it would see in the whole
    image.

    Args:
        z: (1, 3, h, w); h and w multiples of `UNet.MULTIPLE`.
        side: of the part that a tile contributes, a multiple of `UNet.MULTIPLE`.
    """
    height, width = z.shape[2:]
    halo = -(-network.reach // network.MULTIPLE) * network.MULTIPLE
    level = torch.full((1,), logsnr, device=z.device)
    out = torch.empty_like(z)
    for top in range(0, height, side):
        for left in range(0, width, side):
            bottom, right = min(top + side, height), min(left + side, width)
            above, before = max(0, top - halo), max(0, left - halo)
            tile = z[:, :, above : bottom + halo, before : right + halo]
            found = network(tile.contiguous(memory_format=torch.channels_last), level)
            out[:, :, top:bottom, left:right] = found[
                :, :, top - above : bottom - above, left - before : right - before
            ]
    return out
