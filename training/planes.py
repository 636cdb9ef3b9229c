"""Source planes for training: crops turned into a luma and two chroma planes.

The lossless codec codes the planes that an image was converted from, see `codec.ardm.planes`. Luma
is where green is in RGB, the first chroma where red is, and the second where blue is.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

PLANES = 1 / 2
"""Share of the crops that are turned into planes."""
HALVED = 1 / 2
"""Share of these whose chroma had half the resolution before, each way."""


@dataclass(frozen=True)
class Conversion:
    """Planes of R, G and B from 0 to 255.

    With L = red R + green G + blue B, the planes are first * (B - L) + neutral[0],
    luma * L + black and second * (R - L) + neutral[1].

    Attributes:
        weights: red, green and blue, which sum to 1.
        luma, black, first, second, neutral: see above.
    """

    weights: tuple[float, float, float]
    luma: float
    black: float
    first: float
    second: float
    neutral: tuple[float, float] = (128, 128)


_BT601, _BT709 = (0.299, 0.587, 0.114), (0.2126, 0.7152, 0.0722)


def _full(weights: tuple[float, float, float]) -> Conversion:
    """All planes from 0 to 255: JPEG's way (JFIF)."""
    red, _, blue = weights
    return Conversion(weights, 1, 0, 0.5 / (1 - blue), 0.5 / (1 - red))


def _limited(weights: tuple[float, float, float]) -> Conversion:
    """Luma from 16 to 235, chromas from 16 to 240: video (ITU-R BT.601 and BT.709)."""
    red, _, blue = weights
    span = 112 / 255
    return Conversion(weights, 219 / 255, 16, span / (1 - blue), span / (1 - red))


CONVERSIONS = (
    _full(_BT601),
    _limited(_BT601),
    _limited(_BT709),
    Conversion(_BT601, 1 / 1.3584, 0, 1 / 2.2179, 1 / 1.8215, (156, 137)),  # PhotoYCC
)
"""Each is taken for as many crops as the others."""


def _rounded(x: Tensor) -> Tensor:
    return torch.floor(x + 0.5).clamp_(0, 255)


def converted(batch: Tensor, conversion: Conversion) -> Tensor:
    """Planes (n, 3, h, w) of RGB (n, 3, h, w), float integers from 0 to 255."""
    light = torch.einsum("nchw,c->nhw", batch, batch.new_tensor(conversion.weights))
    first = conversion.first * (batch[:, 2] - light) + conversion.neutral[0]
    second = conversion.second * (batch[:, 0] - light) + conversion.neutral[1]
    return _rounded(torch.stack([first, conversion.luma * light + conversion.black, second], 1))


def replicated(chroma: Tensor) -> Tensor:
    """Halve planes (n, c, h, w) of even h and w, and enlarge them again by repeating samples."""
    half = _rounded(functional.avg_pool2d(chroma, 2))
    return functional.interpolate(half, scale_factor=2.0, mode="nearest")


def filtered(chroma: Tensor) -> Tensor:
    """The same with libjpeg's triangle filter: 3/4 of the nearer sample, 1/4 of the other one."""
    half = _rounded(functional.avg_pool2d(chroma, 2))
    whole = functional.interpolate(half, scale_factor=2.0, mode="bilinear")
    # Sums are in sixteenths; libjpeg rounds halves up in even columns and down in odd ones.
    bias = whole.new_tensor([8 / 16, 7 / 16]).repeat(whole.shape[-1] // 2)
    return torch.floor(whole + bias)


def interleaved(chroma: Tensor) -> Tensor:
    """The same with samples on the even pixels and means between them, as video and scans do."""
    padded = functional.pad(chroma, (1, 1, 1, 1), mode="replicate")
    half = _rounded(functional.avg_pool2d(padded, 3, 2))
    half = functional.pad(half, (0, 1, 0, 1), mode="replicate")
    size = [2 * side - 1 for side in half.shape[-2:]]
    whole = functional.interpolate(half, size, mode="bilinear", align_corners=True)
    return _rounded(whole[..., :-1, :-1])


_ENLARGERS = (replicated, filtered, interleaved)


def with_planes(batch: Tensor, generator: torch.Generator) -> Tensor:
    """A batch with a share `PLANES` of its crops turned into planes.

    Args:
        batch: (n, 3, h, w) RGB float integers from 0 to 255, h and w even.
        generator: draws the conversions, on the device of the batch. Shares of a batch are as close
            to `PLANES` and `HALVED` as its size allows; on average they are exact.

    Returns:
        (n, 3, h, w) float integers from 0 to 255.
    """
    jitter, *draws = torch.rand(1 + 2 * len(batch), generator=generator, device=batch.device)
    crops = []
    for slot, crop in enumerate(torch.split(batch, 1)):
        place = (slot + float(jitter)) / len(batch)
        conversion, enlarger = (float(draw) for draw in draws[2 * slot : 2 * slot + 2])
        if place < PLANES:
            crop = converted(crop, CONVERSIONS[int(conversion * len(CONVERSIONS))])
        if place < PLANES * HALVED:
            enlarge = _ENLARGERS[int(enlarger * len(_ENLARGERS))]
            crop = torch.cat([enlarge(crop[:, :1]), crop[:, 1:2], enlarge(crop[:, 2:])], 1)
        crops.append(crop)
    return torch.cat(crops)
