"""Entropy coding of the latents of an autoencoder, with a hyperprior of means and scales.

As in arXiv 1802.01436 and 1809.02736, the hyper-latents are coded first, and from them a network in
exact integers (models/autoencoder.py) predicts the mean and the standard deviation of each latent.
The latents follow, a few channels to a section, those of the largest expected energy first; within
a section in passes, each conditioned on the ones before it (models/latents.py). Latents of sections
that are missing are taken to be at their predicted means.
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
"""Data sections of a file: hyper-latents, and three of latents."""
_SHARES = (1 / 16, 1 / 4, 1)
"""Share of the channels that is known after each section of latents."""
_HYPER_DIGITS = 4
"""Base-4 digits of a hyper-latent."""
NEARBY_UNITS = 64
"""Weights of known latents are in 1/64."""
NEARBY_MAX = 2 * NEARBY_UNITS
"""Largest magnitude of these weights, in 1/NEARBY_UNITS."""


class Hyperprior:
    """Codes the latents of one image.

    Args:
        network: frozen.
        rate: 0 to `network.last_rate`, in 1/RATE_UNITS of the trained rates.
    """

    def __init__(self, network: Autoencoder, rate: int) -> None:
        self._network = network
        self._rate = torch.tensor([float(rate)])
        self._gain, self._worth = network.gain(self._rate), network.worth(self._rate)[0]
        # The parameters are float16, so these integers are the same on every machine.
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
        """Encode latents, or decode them, by the same loop.

        Args:
            latents: (1, c, height, width) float32, the output of `Analysis`; None to decode.
            height, width: of the latents, multiples of 4.
            coders: one for each section.

        Yields:
            After each section, the latents (1, c, height, width) float32 as far as they are known,
            for `Synthesis`.

        Raises:
            CorruptError: data that a coder reads is damaged.
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
        """Code the latents of some channels.

        Args:
            off: (c, h, w) differences from the means that the hyper-latents predict, in levels;
                None to decode.
            scales: (c, h, w), log2 of the predicted standard deviations in levels, in
                1/DEVIATION_UNITS octave.
            channels: (c,), numbers of the channels.

        Returns:
            The differences (c, h, w) as coded.
        """
        nearby = torch.from_numpy(self._nearby[:, channels]).double()
        surer = self._surer[:, channels, None, None]
        known = torch.zeros((1, *scales.shape), dtype=torch.float64)
        for part in PASSES if len(channels) else ():
            mean = torch.floor(part.expected(known, nearby) / NEARBY_UNITS + 0.5)
            narrowed = part.of(scales) - (0 if part.law is None else surer[part.law])
            narrowed = narrowed.clip(DEVIATION_LOW, DEVIATION_HIGH)
            kinds, which = np.unique(narrowed, return_inverse=True)
            symbols = None
            if off is not None:
                distance = part.of(off) - (mean[0] / LOCATION_UNITS).float()
                deviations = torch.from_numpy(np.exp2(kinds / DEVIATION_UNITS)[which]).float()
                deviations = deviations.view_as(distance)
                symbols = chosen(distance, deviations, self._worth[channels]).flatten().numpy()
            coded = _code(symbols, np.zeros_like(kinds), kinds, DIGITS, which.reshape(-1), coder)
            whole = torch.from_numpy(coded).view_as(mean)
            part.of(known).copy_(mean + LOCATION_UNITS * whole)
        return (known[0] / LOCATION_UNITS).float()

    def _hyper(self, scaled: Tensor | None, height: int, width: int, coder: Coder) -> Tensor:
        """Code the hyper-latents, (1, c, height / 4, width / 4)."""
        shape = height // HYPER_LATENTS, width // HYPER_LATENTS
        symbols = None
        if scaled is not None:
            analysed = on_its_device(self._network.hyper_analysis)(scaled)
            symbols = self._network.whole(analysed, self._rate).flatten().numpy()
        count = len(self._prior_mean)
        which = np.repeat(np.arange(count), shape[0] * shape[1])
        values = _code(symbols, self._prior_mean, self._prior_scale, _HYPER_DIGITS, which, coder)
        hyper = torch.from_numpy(values).view(1, count, *shape).float()
        return hyper.contiguous(memory_format=torch.channels_last)


def _whole(values: Tensor, units: int) -> Int64s:
    """Values in 1/units, rounded to nearest."""
    whole: Int64s = torch.floor(values.detach() * units + 0.5).numpy().astype(np.int64)
    return whole


def _order(scales: Int64s) -> Int64s:
    """Channels (c,) from the largest expected energy to the smallest, given scales (c, n)."""
    energies = np.int64(1) << ((scales - DEVIATION_LOW) * 2 // DEVIATION_UNITS)
    order: Int64s = np.argsort(-energies.sum(1), kind="stable")
    return order


def _at(rows: Int64s, rate: int) -> Int64s:
    """The values (c,) at a rate, interpolated between the rows (r, c) of the trained rates."""
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
    """Code whole numbers that have one of k normal distributions.

    Args:
        values: (n,), below 4^digits / 2 in magnitude; None to decode.
        means: (k,), of the distributions, in 1/LOCATION_UNITS.
        scales: (k,), log2 of their standard deviations, in 1/DEVIATION_UNITS octave.
        digits: base-4 digits of a symbol.
        which: (n,), index of each number's distribution.

    Returns:
        The numbers, (n,) float32.
    """
    middle = np.int32(4**digits // 2)
    locations = (means + int(middle) * LOCATION_UNITS).astype(np.int32)
    mixture = GaussianMixture.single(locations, scales.astype(np.int32), digits)
    symbols = None if values is None else values.astype(np.int32) + middle
    coded = coder.code(symbols, Repeated(mixture, which.astype(np.int32)))
    received: NDArray[np.float32] = (coded - middle).astype(np.float32)
    return received
