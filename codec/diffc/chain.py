"""The chain of less and less noisy images that diffc sends by reverse channel coding.

Sender and receiver start from the same noise. In each step both know the noisy image z_t and the
denoiser's estimate of the image, and so the distribution p(z_s | z_t) of a less noisy one; the
sender, who knows the image x, sends a sample of q(z_s | z_t, x). Lossy Compression with Gaussian
Diffusion (arXiv 2206.08889), algorithms 1 and 2.

The denoiser computes in floats. The entropy coder does not depend on them: the bits of a step, and
the samples that they stand for, follow from integers: noise levels, gains, and the model's table of
error variances.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...bitstream.coders import Coder
from ...bitstream.entropy import Categorical, Frequencies, Ints, Uniform
from ...bitstream.information import OCTAVE, Int64s, information, snr_rise
from ...bitstream.noise import normals
from ...bitstream.reverse_channel import Plan, ReverseCoder, Target
from ...models import samplers
from ...models.dct import BLOCK, CLASSES, from_blocks, to_blocks
from ...models.diffusion import Posterior, posterior
from ..protocol import Decoding

Estimate = Callable[[Tensor, float], Tensor]
"""The mean of the image, (1, 3, h, w), given z of the same shape and its log-SNR in nats."""

LONGEST_STEP = 2 * OCTAVE
"""Largest rise of the level in a step, so that no sample has more information than a branch."""

LOWEST = -13 * OCTAVE
"""Lowest level that a first step leads to, in 1/OCTAVE octave."""
HIGHEST = 11 * OCTAVE
"""Highest level that a chain can end at, in 1/OCTAVE octave."""

_NATS = math.log(2) / OCTAVE
"""A unit of noise levels in nats."""
GAIN_UNITS = OCTAVE // 4
"""Units of logarithmic variances in a gain of one: gains are in 1/4 octave of variance."""
GAIN_REACH = 16
"""Largest magnitude of a gain."""
_STEP_DIGITS = 3  # 4^3 = LONGEST_STEP
_RENDER_LEVEL = 10 * OCTAVE
"""Level up to which `Chain.picture` removes noise."""
_RENDER_STEP = 2 * OCTAVE
"""Rise of the level for a call of the denoiser there, by default."""

# Second counters of shared random numbers; 0 to 3 are taken by bitstream/reverse_channel.py.
_CHAIN_NOISE, _RENDER_NOISE = 4, 5


def lowest_level(height: int, width: int) -> int:
    """The level that the first step leads to; from pure noise that takes about 15 bytes.

    Args:
        height, width: of the image, in pixels.

    Returns:
        LOWEST to -4 octaves, in 1/OCTAVE octave: lower for larger images.
    """
    return max(LOWEST, min(-4 * OCTAVE, OCTAVE * (6 - (height * width).bit_length())))


def quality_level(quality: float) -> int:
    """The noise level at which the chain of a quality ends, in 1/OCTAVE octave.

    Linear from the highest `lowest_level`, -4 octaves, at quality 0 to `HIGHEST`, 11 octaves, at
    100. On photographs, qualities of 36 to 60 are about 27 to 36 dB (benchmarks/chains.py).
    """
    return round((0.15 * quality - 4) * OCTAVE)


def _bands() -> Int64s:
    """The band of each class, (CLASSES,): four of luminance, two of the other colours together."""
    colour, u, v = np.indices((3, BLOCK, BLOCK)).reshape(3, CLASSES)
    luminance = np.digitize(u + v, [1, 3, 7])
    return np.where(colour == 0, luminance, 4 + (u + v > 1))


_BANDS = _bands()
_BAND_COUNT = int(_BANDS.max()) + 1


@dataclass(frozen=True)
class Errors:
    """Variances of the denoiser's errors, measured when the model was made, by DCT coefficient.

    Attributes:
        first: noise level of the first row, in 1/OCTAVE octave.
        rows: (r, CLASSES) log2 of the variances in 1/OCTAVE octave, at levels an octave apart.
        prior: (CLASSES,) log2 of the variances of the images themselves, in 1/OCTAVE octave.
    """

    first: int
    rows: Int64s
    prior: Int64s

    @classmethod
    def parse(cls, tables: Mapping[str, Any]) -> Errors:
        """The tables `first`, `errors` and `prior` of a model file.

        Raises:
            KeyError: a table is missing.
            ValueError, TypeError: a table has the wrong shape or type.
        """
        rows = np.array(tables["errors"], np.int64)
        prior = np.array(tables["prior"], np.int64)
        shaped = rows.ndim == 2 and len(rows) > 1 and rows.shape[1] == CLASSES
        if not shaped or prior.shape != (CLASSES,):
            raise ValueError(
                f"tables errors {rows.shape} and prior {prior.shape}, "
                f"supported are (rows, {CLASSES}) and ({CLASSES},)"
            )
        return cls(int(tables["first"]), rows, prior)

    def at(self, level: int | None) -> Int64s:
        """Logarithmic variances (CLASSES,) at a noise level, interpolated between the rows.

        Args:
            level: in 1/OCTAVE octave; None for the prior, before the first step.
        """
        if level is None:
            return self.prior
        last = len(self.rows) - 1
        row, between = divmod(level - self.first, OCTAVE)
        if not 0 <= row < last:
            row, between = (0, 0) if row < 0 else (last - 1, OCTAVE)
        low, high = self.rows[row], self.rows[row + 1]
        interpolated: Int64s = low + (high - low) * between // OCTAVE
        return interpolated

    @cached_property
    def densities(self) -> NDArray[np.float64]:
        """Information of a short step per length of the step, up to a constant.

        From each of the levels `LOWEST` to `HIGHEST`.
        """
        levels = range(LOWEST, HIGHEST + 1)
        return np.array([np.exp2((self.at(level) + level) / OCTAVE).sum() for level in levels])


class Chain:
    """A noisy image that becomes less noisy step by step, at the sender or the receiver.

    Args:
        estimate: the denoiser.
        errors: variances of the denoiser's errors.
        height, width: h and w, of the image in pixels, multiples of 16.
        reverse: sends the samples of a step.
        seed: of the shared random numbers, 0 to 2^64 - 1.

    Attributes:
        errors: as given.
        z: (1, 3, h, w) float32, the noisy image alpha x + sigma e with alpha^2 + sigma^2 = 1.
        level: noise level of z, log2 of its signal-to-noise ratio in 1/OCTAVE octave; None while z
            is pure noise.
        steps: number of steps so far.
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
        noise = normals(seed, 0, _CHAIN_NOISE, n=3 * height * width)
        self.z = torch.from_numpy(noise).view(1, 3, height, width)
        self.level: int | None = None
        self.steps = 0
        self._estimate: Tensor | None = None
        self._count = height * width // BLOCK**2
        self._gains = np.zeros(_BAND_COUNT, np.int32)

    def estimate(self) -> Tensor:
        """The denoiser's estimate of E[x | z], (1, 3, h, w); grey while z is pure noise."""
        if self._estimate is None:
            if self.level is None:
                self._estimate = torch.zeros_like(self.z)
            else:
                self._estimate = self._denoise(self.z, self.level * _NATS)
        return self._estimate

    def gains(self, image: Tensor) -> Ints:
        """The ratios of the estimate's errors to the tabulated variances, band by band.

        Args:
            image: (1, 3, h, w), the clean image.

        Returns:
            (bands,) int32, log2 of the ratios in 1/4 octave, -GAIN_REACH to GAIN_REACH.
        """
        table = np.exp2(self.errors.at(self.level) / OCTAVE)
        energy = to_blocks(image - self.estimate())[0].square().mean(1).numpy()
        ratios = np.bincount(_BANDS, energy) / np.bincount(_BANDS, table)
        logarithms = np.rint(np.log2(np.maximum(ratios, 1e-9)) * OCTAVE / GAIN_UNITS)
        gains: Ints = np.clip(logarithms, -GAIN_REACH, GAIN_REACH).astype(np.int32)
        return gains

    def plan(self, gains: Ints, level: int) -> Plan:
        """Which samples a step codes, and in which branches.

        Args:
            gains: (bands,), see `gains`.
            level: that the step leads to, above the present one, in 1/OCTAVE octave.
        """
        return self._plan(gains, self.level, level)

    def _plan(self, gains: Ints, noisier: int | None, cleaner: int) -> Plan:
        rise = cleaner if noisier is None else snr_rise(noisier, cleaner)
        return Plan(
            information(self._log_variance(gains, noisier), rise),
            self._count,
            self._seed,
            self.steps + 1,
            self._reverse.branch,
        )

    def forecast_bits(self, gains: Ints, path: Sequence[int]) -> float:
        """About the bits of steps along levels, the first of which is the present one.

        Args:
            gains: (bands,), see `gains`; taken to stay as they are.
            path: rising, in 1/OCTAVE octave.
        """
        bits = sum(self._plan(gains, *step).bits for step in pairwise(path))
        return bits / self._reverse.branch

    def forecast_error(self, gains: Ints, level: int) -> float:
        """About the mean squared error of the estimate at a level.

        Args:
            gains: (bands,), see `gains`; taken to stay as they are.
            level: in 1/OCTAVE octave.
        """
        return float(np.exp2(self._log_variance(gains, level) / OCTAVE).mean())

    def price(self, gains: Ints, level: int) -> int:
        """Largest number of bits of a step, except those of the level itself.

        Args:
            gains, level: see `plan`.
        """
        symbols = gains[:, None] + GAIN_REACH
        frequencies = self._gain_frequencies()
        shares = np.take_along_axis(frequencies, symbols, 1)[:, 0] / frequencies.sum(1)
        header = math.ceil(-float(np.log2(shares).sum()))
        return header + self._reverse.price(self.plan(gains, level))

    def _posterior(self, level: int) -> Posterior:
        return posterior(-math.inf if self.level is None else self.level * _NATS, level * _NATS)

    def _log_variance(self, gains: Ints, level: int | None) -> Int64s:
        """log2 of the variances of the denoiser's errors at a level, in 1/OCTAVE, (CLASSES,)."""
        scaled: Int64s = self.errors.at(level) + gains[_BANDS].astype(np.int64) * GAIN_UNITS
        return scaled

    def _variance(self, step: Posterior, gains: Ints, level: int | None) -> NDArray[np.float32]:
        """Variances of p, (CLASSES,), in a step from a level: q's plus that due to the errors."""
        errors = np.exp2(self._log_variance(gains, level) / OCTAVE).astype(np.float32)
        variance: NDArray[np.float32] = step.variance + step.of_x**2 * errors
        return variance

    def advance(self, image: Tensor | None, level: int | None, lowest: int, coder: Coder) -> None:
        """Send or receive one step; `z`, `level` and `steps` change.

        Args:
            image: (1, 3, h, w), the clean image; None to receive.
            level: that the step leads to, at most LONGEST_STEP above the present one, in 1/OCTAVE
                octave; None to receive.
            lowest: level from which the rise of the first step is counted.
            coder: writes or reads the rise, the gains (bands,) and the samples.

        Raises:
            CorruptError: the received data is damaged.
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

    def _code_gains(self, gains: Ints | None, coder: Coder) -> Ints:
        """Send or receive gains (bands,), which change little from step to step."""
        symbols = None if gains is None else gains + np.int32(GAIN_REACH)
        model = Categorical(self._gain_frequencies())
        coded: Ints = coder.code(symbols, model) - np.int32(GAIN_REACH)
        return coded

    def _gain_frequencies(self) -> Frequencies:
        """Frequencies of the gains of a step given those of the step before, (bands, values)."""
        values = np.arange(-GAIN_REACH, GAIN_REACH + 1)
        distance = np.abs(values - self._gains[:, None])
        frequencies: Frequencies = 1 + (2**12 >> np.minimum(2 * distance, 12)).astype(np.float32)
        return frequencies

    @torch.inference_mode()
    def picture(self, decoding: Decoding) -> Tensor:
        """The image to show: the estimate, or a sample of the images that z may come from.

        Args:
            decoding: its `render`, and for renderings other than `mmse` its `detail`, only of
                `flow`: the part of the way to the least noise that is followed before the estimate
                is taken, by default all of it; and its `steps`: calls of the denoiser, fewer if
                there are fewer levels, by default one for two octaves.

        Returns:
            (1, 3, h, w).
        """
        render, detail, steps = decoding.render, decoding.detail, decoding.steps
        if render == "mmse" or self.level is None:
            return self.estimate()
        top = max(_RENDER_LEVEL, self.level)
        if render == "flow" and detail is not None:
            top = self.level + round(detail * (top - self.level))
        count = -(-(top - self.level) // _RENDER_STEP) if steps is None else steps - 1
        levels = np.unique(np.rint(np.linspace(self.level, top, count + 1)).astype(int)).tolist()
        path = [*(level * _NATS for level in levels), math.inf]

        def denoise(z: Tensor, logsnr: Tensor) -> Tensor:
            return self._denoise(z, float(logsnr[0]))

        def noise(index: int) -> Tensor:
            """Noise of the standard deviation of p, in units of that of q."""
            noisier, cleaner = levels[index : index + 2]
            step = posterior(noisier * _NATS, cleaner * _NATS)
            widths = np.sqrt(self._variance(step, self._gains, noisier) / step.variance)
            drawn = normals(self._seed, index, _RENDER_NOISE, n=self.z.numel())
            coefficients = drawn.reshape(CLASSES, -1) * widths[:, None]
            return from_blocks(torch.from_numpy(coefficients)[None], *self.z.shape[2:])

        if render == "flow":
            return samplers.dpm_solver(denoise, self.z, path)
        return samplers.ancestral(denoise, self.z, path, noise)
