"""The chain of ever cleaner images that diffc sends by reverse channel coding.

Sender and receiver start from the same noise. In each step both know the noisy image z_t and the
denoiser's estimate of the image, so both know p(z_s | z_t) of a cleaner one; the sender, who knows
the image, sends a sample of q(z_s | z_t, x). Lossy Compression with Gaussian Diffusion (arXiv
2206.08889), algorithms 1 and 2.

The denoiser works in floats. What the entropy coder needs, how many bits each step has and which
samples they stand for, depends on integers alone: levels, gains, and the model's table of errors.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...bitstream.coders import Coder
from ...bitstream.entropy import Categorical, Frequencies, Ints, Uniform
from ...bitstream.information import BIT, OCTAVE, Int64s, information, snr_rise
from ...bitstream.noise import normals
from ...bitstream.reverse_channel import Plan, ReverseCoder, Target
from ...models import samplers
from ...models.dct import BLOCK, CLASSES, from_blocks, to_blocks
from ...models.diffusion import Posterior, posterior
from ..protocol import Render

Estimate = Callable[[Tensor, float], Tensor]
"""The mean of the image given z (1, 3, h, w) and its log-SNR in nats."""

LONGEST_STEP = 2 * OCTAVE
"""A sample then never has more information than the bit of a branch."""

LOWEST = -13 * OCTAVE
HIGHEST = 11 * OCTAVE
"""Range of the noise levels that a chain can end at."""

_NATS = math.log(2) / OCTAVE
GAIN_UNITS = OCTAVE // 4
"""A gain of one is this much of an octave of variance."""
GAIN_REACH = 16
"""Gains are at most this large, either way."""
_STEP_DIGITS = 3  # 4^3 = LONGEST_STEP
_TOP = 10 * OCTAVE
"""Where a rendering has found its image."""
_STRIDE = 2 * OCTAVE

# Second counters of shared random numbers, beside those of bitstream/reverse_channel.py.
_INITIAL, _IMAGINED = 4, 5


def lowest_level(height: int, width: int) -> int:
    """Where a chain starts: a step from pure noise to it takes some 15 bytes."""
    return max(LOWEST, min(-4 * OCTAVE, OCTAVE * (6 - (height * width).bit_length())))


def quality_level(quality: float) -> int:
    """The noise level that a chain of a quality ends at: 0.15 octaves a point."""
    return round((0.15 * quality - 4) * OCTAVE)


def _bands() -> Int64s:
    """The band of each class: luminance in four, the other colours in two; (CLASSES,)."""
    colour, u, v = np.indices((3, BLOCK, BLOCK)).reshape(3, CLASSES)
    luminance = np.digitize(u + v, [1, 3, 7])
    return np.where(colour == 0, luminance, 4 + (u + v > 1))


_BANDS = _bands()
_BAND_COUNT = int(_BANDS.max()) + 1


@dataclass(frozen=True)
class Errors:
    """Variances of the denoiser's errors, as measured when the model was made.

    Attributes:
        first: noise level of the first row, in 1/OCTAVE.
        rows: (r, CLASSES) log2 of variances in 1/OCTAVE, of levels an octave apart.
        prior: (CLASSES,), the same of the images themselves.
    """

    first: int
    rows: Int64s
    prior: Int64s

    @classmethod
    def parse(cls, tables: Mapping[str, Any]) -> Errors:
        """From a model's tables.

        Raises:
            ValueError, KeyError, TypeError: they are not such tables.
        """
        rows = np.array(tables["errors"], np.int64)
        prior = np.array(tables["prior"], np.int64)
        shaped = rows.ndim == 2 and len(rows) > 1 and rows.shape[1] == CLASSES
        if not shaped or prior.shape != (CLASSES,):
            raise ValueError(f"errors {rows.shape} and prior {prior.shape}")
        return cls(int(tables["first"]), rows, prior)

    def at(self, level: int | None) -> Int64s:
        """(CLASSES,) at a level, interpolated; at None, before anything is known, the prior."""
        if level is None:
            return self.prior
        last = len(self.rows) - 1
        row, between = divmod(level - self.first, OCTAVE)
        if not 0 <= row < last:
            row, between = (0, 0) if row < 0 else (last - 1, OCTAVE)
        low, high = self.rows[row], self.rows[row + 1]
        interpolated: Int64s = low + (high - low) * between // OCTAVE
        return interpolated

    def density(self, level: int) -> float:
        """Information that a short step from a level has, for its length, but for a constant."""
        return float(np.exp2((self.at(level) + level) / OCTAVE).sum())


class Chain:
    """A noisy image on its way to a clean one, at the sender or the receiver.

    Args:
        estimate: the denoiser.
        errors: of the denoiser.
        height, width: multiples of 16.
        reverse: how samples are sent.
        seed: of the shared random numbers.

    Attributes:
        errors: as given.
        z: (1, 3, h, w), the noisy image.
        level: log2 of its signal-to-noise ratio in 1/OCTAVE; None while it is pure noise.
        steps: done so far.
    """

    def __init__(
        self,
        estimate: Estimate,
        errors: Errors,
        height: int,
        width: int,
        reverse: ReverseCoder,
        seed: int,
    ) -> None:
        self._denoise, self.errors, self._reverse, self._seed = estimate, errors, reverse, seed
        noise = normals(seed, 0, _INITIAL, n=3 * height * width)
        self.z = torch.from_numpy(noise).view(1, 3, height, width)
        self.level: int | None = None
        self.steps = 0
        self._estimate: Tensor | None = None
        self._gains = np.zeros(_BAND_COUNT, np.int32)

    def estimate(self) -> Tensor:
        """E[x | z], (1, 3, h, w); grey while the image is pure noise."""
        if self._estimate is None:
            if self.level is None:
                self._estimate = torch.zeros_like(self.z)
            else:
                self._estimate = self._denoise(self.z, self.level * _NATS)
        return self._estimate

    def gains(self, image: Tensor) -> Ints:
        """How much larger than tabulated the errors are in each band, in 1/GAIN_UNITS octave."""
        table = np.exp2(self.errors.at(self.level) / OCTAVE)
        energy = to_blocks(image - self.estimate())[0].square().mean(1).numpy()
        found = np.bincount(_BANDS, energy) / np.bincount(_BANDS, table)
        steps = np.rint(np.log2(np.maximum(found, 1e-9)) * OCTAVE / GAIN_UNITS)
        gains: Ints = np.clip(steps, -GAIN_REACH, GAIN_REACH).astype(np.int32)
        return gains

    def plan(self, gains: Ints, level: int) -> Plan:
        """The plan of a step to a higher level."""
        rise = level if self.level is None else snr_rise(self.level, level)
        return Plan(
            information(self._log_variance(gains, self.level), rise),
            self.z[0, 0].numel() // BLOCK**2,
            self._seed,
            self.steps + 1,
            self._reverse.branch,
        )

    def price(self, gains: Ints, level: int) -> int:
        """Bits of a step to a higher level, at most, but for the level's own."""
        given = gains[:, None] + GAIN_REACH
        frequencies = self._gain_frequencies()
        shares = np.take_along_axis(frequencies, given, 1)[:, 0] / frequencies.sum(1)
        header = math.ceil(-float(np.log2(shares).sum()))
        return header + self._reverse.price(self.plan(gains, level))

    def _posterior(self, level: int) -> Posterior:
        return posterior(-math.inf if self.level is None else self.level * _NATS, level * _NATS)

    def _log_variance(self, gains: Ints, level: int | None) -> Int64s:
        scaled: Int64s = self.errors.at(level) + gains[_BANDS].astype(np.int64) * GAIN_UNITS
        return scaled

    def _variance(self, step: Posterior, gains: Ints, level: int | None) -> NDArray[np.float32]:
        """Of p in a step from a level: q's and that of the denoiser's errors, (CLASSES,)."""
        errors = np.exp2(self._log_variance(gains, level) / OCTAVE).astype(np.float32)
        variance: NDArray[np.float32] = step.variance + step.of_x**2 * errors
        return variance

    def advance(self, image: Tensor | None, level: int | None, lowest: int, coder: Coder) -> None:
        """Send or receive one step.

        Args:
            image: (1, 3, h, w), the clean image; None to receive.
            level: to go to; None to receive.
            lowest: level that the first step is counted from.
        """
        before = lowest if self.level is None else self.level
        rise = None if level is None else np.array([level - before - 1], np.int32)
        level = before + 1 + int(coder.code(rise, Uniform(1, _STEP_DIGITS))[0])
        gains = self._code_gains(None if image is None else self.gains(image), coder)
        plan = self.plan(gains, level)
        step = self._posterior(level)
        estimate = self.estimate()
        variance = self._variance(step, gains, self.level)
        deviation = np.sqrt(variance)[:, None]
        target = None
        if image is not None:
            weight = (step.of_x / deviation).astype(np.float32)
            shift = to_blocks(image - estimate)[0].numpy() * weight
            share = (step.variance / variance).astype(np.float32)
            target = Target(plan.arrange(shift), plan.spread(share))
        sample = plan.restore(self._reverse.code(target, plan, coder)) * deviation
        mean = step.of_z * self.z + step.of_x * estimate
        height, width = self.z.shape[2:]
        self.z = mean + from_blocks(torch.from_numpy(sample)[None], height, width)
        self.level, self._gains, self._estimate = level, gains, None
        self.steps += 1

    def _code_gains(self, given: Ints | None, coder: Coder) -> Ints:
        """Send or receive gains, which change little from step to step."""
        symbols = None if given is None else given + np.int32(GAIN_REACH)
        model = Categorical(self._gain_frequencies())
        gains: Ints = coder.code(symbols, model) - np.int32(GAIN_REACH)
        return gains

    def _gain_frequencies(self) -> Frequencies:
        values = np.arange(-GAIN_REACH, GAIN_REACH + 1)
        distance = np.abs(values - self._gains[:, None])
        frequencies: Frequencies = 1 + (2**12 >> np.minimum(2 * distance, 12)).astype(np.float32)
        return frequencies

    @torch.inference_mode()
    def picture(self, render: Render, detail: float | None, steps: int | None = None) -> Tensor:
        """The estimate, or another image that z may come from: (1, 3, h, w).

        Args:
            render: see `noisepress.decode`.
            detail: of `flow`: how far its path is followed before the mean is taken; None: all
                the way.
            steps: calls of the denoiser, fewer if there are not as many levels; None: one in two
                octaves.
        """
        if render == "mmse" or self.level is None:
            return self.estimate()
        top = max(_TOP, self.level)
        if render == "flow" and detail is not None:
            top = self.level + round(detail * (top - self.level))
        count = -(-(top - self.level) // _STRIDE) if steps is None else steps - 1
        ats = np.unique(np.rint(np.linspace(self.level, top, count + 1)).astype(int)).tolist()
        levels = [at * _NATS for at in ats]

        def denoise(z: Tensor, logsnr: Tensor) -> Tensor:
            return self._denoise(z, float(logsnr[0]))

        def noise(index: int) -> Tensor:
            """As wide as p is, where q is 1 wide."""
            noisier, cleaner = ats[index : index + 2]
            step = posterior(noisier * _NATS, cleaner * _NATS)
            widths = np.sqrt(self._variance(step, self._gains, noisier) / step.variance)
            drawn = normals(self._seed, index, _IMAGINED, n=self.z.numel())
            coefficients = drawn.reshape(CLASSES, -1) * widths[:, None]
            return from_blocks(torch.from_numpy(coefficients)[None], *self.z.shape[2:])

        if render == "flow":
            return samplers.dpm_solver(denoise, self.z, [*levels, math.inf])
        return samplers.ancestral(denoise, self.z, [*levels, math.inf], noise)

    def skip(self, image: Tensor, level: int) -> float:
        """What `advance` would do with a perfect coder, and what it would cost.

        Returns:
            Bits.
        """
        step = self._posterior(level)
        bits = self.plan(self.gains(image), level).bits / BIT
        noise = normals(self._seed, self.steps + 1, _INITIAL, n=self.z.numel())
        mean = step.of_z * self.z + step.of_x * image
        self.z = mean + math.sqrt(step.variance) * torch.from_numpy(noise).view_as(self.z)
        self.level, self._estimate = level, None
        self.steps += 1
        return bits
