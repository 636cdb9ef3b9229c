"""Random order: samples are coded in a seeded random order, a group at each network call.

An order-agnostic autoregressive diffusion model with upscale stages and parallel groups
(arXiv 2110.02037, sections 3 and 3.3): stage by stage, the next base-4 digit of every sample is
coded, group by group, conditioned on everything coded before.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from ...bitstream.coders import Coder
from ...bitstream.entropy import LOCATION_UNITS, Ints, LogisticMixture, MixtureDigit
from ...bitstream.noise import words
from ...models.masked import STAGES, MaskedNet
from ..image.raster import Samples, Shape
from .groups import GRID


class RandomOrder:
    """Codes images in random order.

    Args:
        network: predicts the distributions of samples; frozen to integers.
        seed: of the order, 0 to 2^64 - 1.
        ends: ends of the groups of each stage, in 1/GRID of the samples, see groups.py.
    """

    def __init__(self, network: MaskedNet, seed: int, ends: Sequence[Sequence[int]]) -> None:
        self.network, self.seed, self.ends = network, seed, ends

    @torch.inference_mode()
    def run(
        self, samples: Samples | None, shape: Shape, coders: Iterator[Coder]
    ) -> Iterator[Samples]:
        """Encode samples, or decode them, by the same loop.

        Args:
            samples: (h, w, 3) uint8; None to decode.
            shape: (h, w, 3).
            coders: one for each stage.

        Yields:
            After each stage, the image (h, w, 3) uint8 with each sample at the centre of the values
            that begin with its known digits; after the last, the image itself.

        Raises:
            CorruptError: data that a coder reads is damaged.
        """
        planar = None if samples is None else np.ascontiguousarray(samples.transpose(2, 0, 1))
        target = None if planar is None else planar.reshape(-1).astype(np.int32)
        size = int(np.prod(shape))
        values = np.zeros(size, np.int32)
        for stage, coder in zip(range(STAGES), coders, strict=False):
            self._stage(values, target, shape, stage, coder)
            centre = values + 4 ** _left(stage) // 2
            yield centre.astype(np.uint8).reshape(3, *shape[:2]).transpose(1, 2, 0)

    def _stage(
        self, values: Ints, target: Ints | None, shape: Shape, stage: int, coder: Coder
    ) -> None:
        """Code one digit of every sample.

        Args:
            values: (n,), smallest values with the digits known so far; updated in place.
            target: (n,), samples to encode; None to decode.
        """
        size, shift = len(values), 2 * _left(stage)
        order = np.argsort(words(self.seed, stage, n=size), kind="stable")
        known = np.zeros(size, bool)
        start = 0
        for fraction in self.ends[stage]:
            end = size * fraction // GRID
            chosen = np.sort(order[start:end])
            start = end
            if not len(chosen):
                continue
            digits = None if target is None else (target[chosen] >> shift) & 3
            model = self._model(values, known, shape, stage, chosen)
            values[chosen] += coder.code(digits, model) << shift
            known[chosen] = True

    def _model(
        self,
        values: Ints,
        known: NDArray[np.bool_],
        shape: Shape,
        stage: int,
        chosen: NDArray[np.int64],
    ) -> MixtureDigit:
        """The distributions of the next digits of the samples with the indices `chosen`.

        Args:
            known: (n,), whether each sample's digit of this stage is known.
        """
        left = _left(stage)
        centre = values + np.where(known, 4**left // 2, 4 ** (left + 1) // 2).astype(np.int32)
        planes = (1, 3, *shape[:2])
        table = self.network(
            torch.from_numpy(centre).float().view(planes),
            torch.from_numpy(known).float().view(planes),
            torch.tensor([stage]),
        )
        rows = table[0].permute(0, 2, 3, 1).flatten(0, 2)[torch.from_numpy(chosen)]
        logits, locations, scales = np.split(rows.to(torch.int32).numpy(), 3, axis=1)
        mixture = LogisticMixture(
            np.ascontiguousarray(logits), locations + LOCATION_UNITS * centre[chosen, None], scales
        )
        return MixtureDigit(mixture, values[chosen], left)


def _left(stage: int) -> int:
    """Number of digits after the one that a stage codes."""
    return STAGES - 1 - stage
