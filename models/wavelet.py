"""The first stage of hfd in floating point, for training networks on the pictures that it makes.

The 9/7 wavelet transform of ITU-T T.800, annex F, scaled to basis functions of about unit norm, as
bitstream/wavelet.py has it in integers.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from .diffusion import SPAN

DEPTH = 5
"""Levels of the transform."""
MULTIPLE = 1 << DEPTH
"""Height and width must be multiples of this."""
TRAINED_STEPS = 4.0, 400.0
"""Least and largest step of quantisation that networks learn, in levels of samples."""
_LIFTING = (-1.586134342059924, -0.052980118572961, 0.882911075530934, 0.443506852043971)
_GROWTH = math.sqrt(2) / 1.230174104914001
_ERROR, _ERROR_RISE = 0.2, 1.22
"""Mean squared error of photographs at a step of 1, and how it rises with the step."""
_THRESHOLDS = (
    *(1.05, 0.93, 0.89, 0.83, 0.80, 0.79, 0.76, 0.73, 0.715),
    *(0.67, 0.638, 0.605, 0.575, 0.553, 0.537, 0.523, 0.513),
)
"""Fractions above which a magnitude becomes the next larger one, by 2 log2(activity + 1/64) + 12.

Measured with the encoder, which weighs squared errors against bits.
"""


def known_level(step: Tensor) -> Tensor:
    """Log-SNRs (n,) in nats of decoded pictures at steps (n,) of quantisation (`unet.Known`).

    About -log of the mean squared errors of photographs, within a factor of 2.5. Steps beyond
    TRAINED_STEPS have the levels of these.
    """
    step = step.clamp(*TRAINED_STEPS)
    return -torch.log((2 * SPAN / 255) ** 2 * _ERROR * step**_ERROR_RISE)


@torch.no_grad()
def coded(x: Tensor, step: Tensor) -> Tensor:
    """The pictures of images after coding, about as the codec decodes them.

    Args:
        x: (n, 3, h, w), samples from 0 to 255, h and w multiples of MULTIPLE.
        step: (n,), of quantisation, in levels of samples.

    Returns:
        (n, 3, h, w), from 0 to 255, not rounded.
    """
    rows = _colours(x)
    smooth, details = _analysed(torch.einsum("nij,njhw->nihw", rows, x - 128))
    unit = step[:, None, None, None]
    smooth = (smooth / unit).round() * unit
    known: list[Tensor] = []
    for detail in details:
        known.append(_quantised(detail / unit[..., None], known[-1] if known else None))
    planes = _synthesised(smooth, [whole * unit[..., None] for whole in known])
    return (torch.einsum("nij,nihw->njhw", rows, planes) + 128).clamp(0, 255)


def _colours(x: Tensor) -> Tensor:
    """Orthonormal rows (n, 3, 3): planes whose differences of neighbours are uncorrelated."""
    differences = torch.cat([x.diff(dim=2).flatten(2), x.diff(dim=3).flatten(2)], 2).double()
    products = differences @ differences.mT / differences.shape[2]
    usual = functional.normalize(products.new_tensor([[1, 1, 1], [1, 0, -1], [1, -2, 1]]), dim=1)
    products = products + 0.01 * usual.T @ products.new_tensor([1, 0.1, 0.05]).diag() @ usual
    rows: Tensor = torch.linalg.eigh(products)[1].flip(-1).mT
    return rows.to(x.dtype)


def _after(values: Tensor) -> Tensor:
    return torch.cat([values[..., 1:], values[..., -1:]], -1)


def _before(values: Tensor) -> Tensor:
    return torch.cat([values[..., :1], values[..., :-1]], -1)


def _split(x: Tensor) -> tuple[Tensor, Tensor]:
    """Smooth and detail coefficients along the last axis."""
    even, odd = x[..., ::2], x[..., 1::2]
    odd = odd + _LIFTING[0] * (even + _after(even))
    even = even + _LIFTING[1] * (odd + _before(odd))
    odd = odd + _LIFTING[2] * (even + _after(even))
    even = even + _LIFTING[3] * (odd + _before(odd))
    return even * _GROWTH, odd / _GROWTH


def _joined(even: Tensor, odd: Tensor) -> Tensor:
    even, odd = even / _GROWTH, odd * _GROWTH
    even = even - _LIFTING[3] * (odd + _before(odd))
    odd = odd - _LIFTING[2] * (even + _after(even))
    even = even - _LIFTING[1] * (odd + _before(odd))
    odd = odd - _LIFTING[0] * (even + _after(even))
    return torch.stack([even, odd], -1).flatten(-2)


def _analysed(x: Tensor) -> tuple[Tensor, list[Tensor]]:
    """The smooth band, and details (n, colours, orientations, h', w'), the coarsest first."""
    details = []
    for _ in range(DEPTH):
        low, high = (part.mT for part in _split(x))
        x, rows = (part.mT for part in _split(low))
        columns, both = (part.mT for part in _split(high))
        details.append(torch.stack([columns, rows, both], 2))
    return x, details[::-1]


def _synthesised(x: Tensor, details: list[Tensor]) -> Tensor:
    for detail in details:
        columns, rows, both = detail.unbind(2)
        x = _joined(_joined(x.mT, rows.mT).mT, _joined(columns.mT, both.mT).mT)
    return x


def _quantised(wanted: Tensor, parent: Tensor | None) -> Tensor:
    """Coefficients (n, colours, orientations, h, w) in steps as an encoder chooses them.

    Args:
        parent: those of the coarser level, chosen.
    """
    size = wanted.abs()
    typical = (size + 0.35).floor().clamp(max=8)
    ring = (9 * _mean(typical, 3) - typical) / 8
    above = ring
    if parent is not None:
        above = parent.abs().clamp(max=8).repeat_interleave(2, -1).repeat_interleave(2, -2)
    activity = 0.5 * ring + 0.3 * _mean(typical, 7) + 0.2 * above
    thresholds = size.new_tensor(_THRESHOLDS)
    at = (2 * torch.log2(activity + 1 / 64) + 12).clamp(0, len(thresholds) - 1.001)
    low = at.long()
    threshold = torch.lerp(thresholds[low], thresholds[low + 1], at - low)
    whole = size.floor()
    beyond = torch.where(whole > 0, threshold.clamp(max=0.71), threshold)
    chosen = whole + (size - whole > beyond)
    return wanted.sign() * torch.where(size < threshold, 0, chosen)


def _mean(values: Tensor, side: int) -> Tensor:
    """Means over squares, of values repeated beyond the edges."""
    planes = functional.pad(values.flatten(1, 2), [side // 2] * 4, mode="replicate")
    return functional.avg_pool2d(planes, side, 1).view_as(values)
