"""Running networks on images of any size in bounded memory, with the same result."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from .unet import CHANNELS, Known, UNet

SIDE = 1024
"""Side of the part of an image that a tile contributes, in pixels."""


def by_tiles(
    network: Callable[[Tensor], Tensor], x: Tensor, *, reach: int, unit: int, side: int
) -> Tensor:
    """A convolutional network on one large image, in tiles.

    Tiles overlap by the network's reach, so that the result is that of the whole image.

    Args:
        network: maps (1, c, h, w) to (1, c', h, w).
        x: (1, c, h, w), h and w multiples of `unit`.
        reach: pixels to each side of an output that it depends on, at most.
        unit: height and width of the network's inputs must be multiples of this.
        side: side of the part that a tile contributes, in pixels, a multiple of `unit`.

    Returns:
        (1, c', h, w).
    """
    height, width = x.shape[2:]
    halo = -(-reach // unit) * unit
    out: Tensor | None = None
    for top in range(0, height, side):
        for left in range(0, width, side):
            bottom, right = min(top + side, height), min(left + side, width)
            above, before = max(0, top - halo), max(0, left - halo)
            tile = x[:, :, above : bottom + halo, before : right + halo]
            found = network(tile.contiguous(memory_format=torch.channels_last))
            if out is None:
                out = found.new_empty((1, found.shape[1], height, width))
            inside = found[:, :, top - above : bottom - above, left - before : right - before]
            out[:, :, top:bottom, left:right] = inside
    assert out is not None
    return out


def device_of(network: nn.Module) -> torch.device:
    """The device that a network's parameters are on."""
    return next(network.parameters()).device


def estimate(
    network: UNet, z: Tensor, logsnr: float, known: Known | None = None, side: int = SIDE
) -> Tensor:
    """A denoiser's estimate of one large image, in tiles.

    Args:
        z: (1, 3, h, w), the noisy image; h and w multiples of `UNet.MULTIPLE`.
        logsnr: its log-SNR in nats.
        known: see `UNet.forward`.
        side: see `by_tiles`.

    Returns:
        (1, 3, h, w), from -SPAN to SPAN, on the device of z.
    """
    device = device_of(network)
    level = torch.full((1,), logsnr, device=device)
    seen = z if known is None else torch.cat([z, known.image], 1)

    def denoise(near: Tensor) -> Tensor:
        tile = near.to(device)
        beside = known and Known(tile[:, CHANNELS:], known.level.to(device))
        found: Tensor = network(tile[:, :CHANNELS], level, beside)
        return found.to(near.device)

    return by_tiles(denoise, seen, reach=network.reach, unit=network.MULTIPLE, side=side)
