"""Latents of an autoencoder as sections of symbols, and back: one loop.

Hyper-latents come first. From them both sides know, in integers, where each latent probably is and
how far off that is (models/autoencoder.py); then come the latents, a few channels at a time, those
that are expected to hold most first, in passes whose latents say more of those of the next
(models/latents.py). One that has not come is taken to be where the hyper-latents say.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...bitstream.coders import Coder
from ...bitstream.entropy import (
    DEVIATION_HIGH,
    DEVIATION_LOW,
    DEVIATION_UNITS,
    LOCATION_UNITS,
    GaussianMixture,
    Repeated,
)
from ...models.autoencoder import HYPER_LATENTS, RATE_UNITS, Autoencoder
from ...models.latents import DIGITS, PASSES, chosen
from ...models.tiling import on_its_device

Int64s = NDArray[np.int64]

SECTIONS = 4
_SHARES = (1 / 16, 1 / 4, 1)
"""Of the channels that have come after each section of latents."""
_HYPER_DIGITS = 4
NEARBY_UNITS = 64
NEARBY_MAX = 2 * NEARBY_UNITS
"""Largest magnitude of the weights of known latents."""


class Hyperprior:
    """Codes the latents of one image (1, c, h, w) at a rate; h and w are multiples of 4.

    Args:
        network: frozen.
        rate: 0 to `network.last_rate`.
    """

    def __init__(self, network: Autoencoder, rate: int) -> None:
        self._network = network
        self._rate = torch.tensor([float(rate)])
        self._gain, self._worth = network.gain(self._rate), network.worth(self._rate)[0]
        # Of halves, so that they are the same whole numbers on every machine.
        self._log_gain = _at(_whole(network.gains, DEVIATION_UNITS), rate)
        self._prior_scale = _at(_whole(network.prior_scale, DEVIATION_UNITS), rate)
        self._prior_mean = _whole(network.prior_mean, LOCATION_UNITS)
        nearby = _whole(network.nearby, NEARBY_UNITS)
        self._nearby = nearby.clip(-NEARBY_MAX, NEARBY_MAX)
        self._surer = _whole(network.surer, DEVIATION_UNITS)

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
        off = None if scaled is None else scaled[0] - known
        scales = scale.numpy().astype(np.int64) + self._log_gain[:, None, None]
        order = _order(scales.reshape(len(scales), -1).clip(DEVIATION_LOW, DEVIATION_HIGH))
        ends = [round(share * len(order)) for share in _SHARES]
        for first, last, coder in zip([0, *ends], ends, coders, strict=False):
            channels = order[first:last]
            part = None if off is None else off[channels]
            known[channels] += self._latents(part, scales[channels], channels, coder)
            yield known[None] / self._gain

    def _latents(
        self, off: Tensor | None, scales: Int64s, channels: Int64s, coder: Coder
    ) -> Tensor:
        """Some channels' distances from what the hyper-latents say, in levels, sent or received.

        Args:
            off: (c, h, w); None to receive.
            scales: (c, h, w), log2 of the deviations, in 1/DEVIATION_UNITS.
            channels: (c,), their numbers.
        """
        nearby = torch.from_numpy(self._nearby[:, channels]).double()
        surer = self._surer[:, channels, None, None]
        known = torch.zeros((1, *scales.shape), dtype=torch.float64)
        for part in PASSES if len(channels) else ():
            mean = torch.floor(part.expected(known, nearby) / NEARBY_UNITS + 0.5)
            laws = part.of(scales) - (0 if part.law is None else surer[part.law])
            kinds, which = np.unique(laws.clip(DEVIATION_LOW, DEVIATION_HIGH), return_inverse=True)
            symbols = None
            if off is not None:
                distance = part.of(off) - (mean[0] / LOCATION_UNITS).float()
                deviation = torch.from_numpy(np.exp2(kinds / DEVIATION_UNITS)[which]).float()
                law = deviation.view_as(distance)
                symbols = chosen(distance, law, self._worth[channels]).flatten().numpy()
            coded = _code(symbols, np.zeros_like(kinds), kinds, DIGITS, which.reshape(-1), coder)
            whole = torch.from_numpy(coded).view_as(mean)
            part.of(known).copy_(mean + LOCATION_UNITS * whole)
        return (known[0] / LOCATION_UNITS).float()

    def _hyper(self, scaled: Tensor | None, height: int, width: int, coder: Coder) -> Tensor:
        """Hyper-latents (1, c, height / 4, width / 4), sent or received."""
        shape = height // HYPER_LATENTS, width // HYPER_LATENTS
        symbols = None
        if scaled is not None:
            found = on_its_device(self._network.hyper_analysis)(scaled)
            symbols = self._network.whole(found, self._rate).flatten().numpy()
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
