"""Latents of an autoencoder as sections of symbols, and back: one loop.

Hyper-latents come first. From them both sides know, in integers, where each latent probably is and
how far off that is (models/autoencoder.py); then come the latents, a few channels at a time, those
that are expected to hold most first. One that has not come is taken to be where it is expected.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..bitstream.coders import Coder
from ..bitstream.entropy import (
    DEVIATION_HIGH,
    DEVIATION_LOW,
    DEVIATION_UNITS,
    LOCATION_UNITS,
    GaussianMixture,
    Repeated,
)
from ..models.autoencoder import HYPER_LATENTS, HYPER_MAX, RATE_UNITS, Autoencoder
from ..models.tiling import on_its_device

Int64s = NDArray[np.int64]

SECTIONS = 4
_SHARES = (1 / 16, 1 / 4, 1)
"""Of the channels that have come after each section of latents."""
_HYPER_DIGITS, _DIGITS = 4, 5
_FURTHEST = 2 ** (2 * _DIGITS - 1) - 1
"""Largest distance of a latent from where it is expected."""
_WORTH = 6 / np.log(2)
"""Bits that a squared error of a latent is worth: where a finer grid for all latents would cost as
much as it gains."""


class Hyperprior:
    """Codes the latents of one image (1, c, h, w) at a rate; h and w are multiples of 4.

    Args:
        network: frozen.
        rate: 0 to `network.last_rate`.
    """

    def __init__(self, network: Autoencoder, rate: int) -> None:
        self._network = network
        self._gain = network.gain(torch.tensor([float(rate)]))
        # Of halves, so that they are the same whole numbers on every machine.
        self._log_gain = _at(_whole(network.gains, DEVIATION_UNITS), rate)
        self._prior_scale = _at(_whole(network.prior_scale, DEVIATION_UNITS), rate)
        self._prior_mean = _whole(network.prior_mean, LOCATION_UNITS)

    @torch.inference_mode()
    def run(
        self, latents: Tensor | None, height: int, width: int, coders: Iterator[Coder]
    ) -> Iterator[Tensor]:
        """Send or receive latents.

        Args:
            latents: (1, c, height, width), as `Analysis` makes them; None to receive.
            coders: one for each section.

        Yields:
            Latents for `Synthesis`, as far as they are known after each section.
        """
        scaled = None if latents is None else latents * self._gain
        hyper = self._hyper(scaled, height, width, next(coders))
        mean, scale = (part[0] for part in self._network.hyper_synthesis(hyper))
        known = mean / LOCATION_UNITS
        yield known[None] / self._gain
        scales = scale.flatten(1).numpy().astype(np.int64) + self._log_gain[:, None]
        scales = scales.clip(DEVIATION_LOW, DEVIATION_HIGH)
        order = _order(scales)
        ends = [round(share * len(order)) for share in _SHARES]
        for first, last, coder in zip([0, *ends], ends, coders, strict=False):
            channels = torch.from_numpy(order[first:last])
            off = None
            if scaled is not None:
                off = (scaled[0] - known)[channels].flatten().numpy()
            kinds, which = np.unique(scales[order[first:last]], return_inverse=True)
            if off is not None:
                off = _chosen(off, kinds[which.reshape(-1)])
            coded = _code(off, np.zeros_like(kinds), kinds, _DIGITS, which.reshape(-1), coder)
            known[channels] += torch.from_numpy(coded).view(-1, height, width)
            yield known[None] / self._gain

    def _hyper(self, scaled: Tensor | None, height: int, width: int, coder: Coder) -> Tensor:
        """Hyper-latents (1, c, height / 4, width / 4), sent or received."""
        shape = height // HYPER_LATENTS, width // HYPER_LATENTS
        symbols = None
        if scaled is not None:
            found = on_its_device(self._network.hyper_analysis)(scaled).round()
            symbols = found.clamp(-HYPER_MAX, HYPER_MAX).flatten().numpy()
        count = len(self._prior_mean)
        which = np.repeat(np.arange(count), shape[0] * shape[1])
        law = self._prior_mean, self._prior_scale, _HYPER_DIGITS
        values = _code(symbols, *law, which, coder)
        hyper = torch.from_numpy(values).view(1, count, *shape).float()
        return hyper.contiguous(memory_format=torch.channels_last)


def _whole(values: Tensor, units: int) -> Int64s:
    whole: Int64s = torch.floor(values.detach() * units + 0.5).numpy().astype(np.int64)
    return whole


def _order(scales: Int64s) -> Int64s:
    """Channels (c,) from the largest expected energy to the smallest, of scales (c, n)."""
    energies = np.int64(1) << ((scales - DEVIATION_LOW) * 2 // DEVIATION_UNITS)
    order: Int64s = np.argsort(-energies.sum(1), kind="stable")
    return order


def _at(rows: Int64s, rate: int) -> Int64s:
    """Rows (r, c) interpolated at a rate: (c,)."""
    low = min(rate // RATE_UNITS, len(rows) - 2)
    between = rate - low * RATE_UNITS
    interpolated: Int64s = rows[low] + (rows[low + 1] - rows[low]) * between // RATE_UNITS
    return interpolated


def _code(
    values: NDArray[np.float32] | None,
    means: Int64s,
    scales: Int64s,
    digits: int,
    which: Int64s,
    coder: Coder,
) -> NDArray[np.float32]:
    """Whole numbers, sent or received.

    Args:
        values: (n,), below 4^digits / 2 in magnitude; None to receive.
        means: (k,), of normal laws, in 1/LOCATION_UNITS.
        scales: (k,), log2 of their deviations in 1/DEVIATION_UNITS.
        digits: base-4 digits of a symbol.
        which: (n,), the law of each number.
    """
    middle = np.int32(4**digits // 2)
    places = (means + int(middle) * LOCATION_UNITS).astype(np.int32)
    law = GaussianMixture.single(places, scales.astype(np.int32), digits)
    symbols = None if values is None else values.astype(np.int32) + middle
    coded = coder.code(symbols, Repeated(law, which.astype(np.int32)))
    received: NDArray[np.float32] = (coded - middle).astype(np.float32)
    return received


def _chosen(off: NDArray[np.float32], scales: Int64s) -> NDArray[np.float32]:
    """The nearest whole numbers, or the next ones towards 0 where those are worth more.

    Rate-distortion optimised quantisation: bits of a normal law against squared errors.
    """
    nearest = np.rint(off).clip(-_FURTHEST, _FURTHEST)
    lower = nearest - np.sign(nearest)
    deviation = torch.from_numpy(np.exp2(scales / DEVIATION_UNITS))
    costs = []
    for values in (nearest, lower):
        edges = [(torch.from_numpy(-np.abs(values)) + edge) / deviation for edge in (0.5, -0.5)]
        mass = torch.special.ndtr(edges[0]) - torch.special.ndtr(edges[1])
        bits = -mass.clamp_min(2.0**-40).log2().numpy()
        costs.append(bits + _WORTH * (off - values) ** 2)
    chosen: NDArray[np.float32] = np.where(costs[1] < costs[0], lower, nearest)
    return chosen
