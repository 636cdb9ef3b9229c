"""What the parts of diffc cost: coders against the divergence, step counts, error variances.

    python -m noisepress.benchmarks.studies.chains PHOTO... -o OUT.json

codes the middle of every photograph in several ways and at several qualities. The coder `ideal` is
a bound: it draws exact samples of q, which no code can send, at the price of their divergence from
p. An interrupted run continues where it stopped.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ...bitstream.coders import Coder
from ...bitstream.entropy import Ints
from ...bitstream.information import OCTAVE, Int64s
from ...bitstream.reverse_channel import Float32s, Pfr, Plan, ReverseCoder, Target, Trellis
from ...codec.diffc.chain import GAIN_REACH, GAIN_UNITS, Chain, Errors, lowest_level, quality_level
from ...codec.diffc.codec import Diffc, DiffcCodec, DiffcParameters
from ...codec.diffc.coding import denoiser
from ...codec.diffc.rate_control import Goal, send
from ...codec.image.raster import Mode, Raster, Samples
from ...codec.pixels import padded, psnr
from ...codec.protocol import Encoded, assemble
from ...models.unet import UNet
from ..measure import load
from .points import arguments, measure_missing, middle

QUALITIES = (36.0, 48.0, 60.0)
"""About 27 to 36 dB on photographs."""
EFFORT, STEPS = Diffc.effort, Diffc.steps


@dataclass(frozen=True)
class Variant:
    """One way of coding.

    Attributes:
        coder: `ideal`, `pfr`, or `trellis` and the bits of its state, such as `trellis14`.
        steps: of the chain.
        spectrum: an error variance for each frequency and colour; if False, a single variance
            and a single gain, which only the ideal coder supports.
    """

    coder: str
    steps: int = STEPS
    spectrum: bool = True

    def reverse(self) -> ReverseCoder:
        """The coder of samples; for `ideal`, the default, whose branches it shares."""
        if self.coder == "pfr":
            return Pfr()
        bits = self.coder.removeprefix("trellis")
        return Trellis(int(bits) if bits.isdecimal() else EFFORT)


VARIANTS = (
    *(Variant(f"trellis{bits}") for bits in (8, 10, 12, 14, 16)),
    Variant("pfr"),
    *(Variant(f"trellis{EFFORT}", steps) for steps in (12, 24, 32, 48, 96)),
    *(Variant("ideal", steps, spectrum) for steps in (12, 24) for spectrum in (True, False)),
)


@dataclass(frozen=True)
class Point:
    """One file.

    Attributes:
        image: file name.
        coder, steps, spectrum: see `Variant`.
        quality: 0 to 100, see `noisepress.encode`.
        pixels: of the image.
        bits: of the file; for the ideal coder, the divergence.
        divergence: KL(q || p) in bits, summed over the steps.
        psnr: of the mmse picture, in dB.
    """

    image: str
    coder: str
    steps: int
    spectrum: bool
    quality: float
    pixels: int
    bits: float
    divergence: float
    psnr: float

    @property
    def variant(self) -> Variant:
        return Variant(self.coder, self.steps, self.spectrum)

    @property
    def job(self) -> tuple[str, Variant, float]:
        return self.image, self.variant, self.quality


class Counting:
    """A coder of samples that sums the divergences; if ideal, it draws the samples from q."""

    def __init__(self, inner: ReverseCoder, ideal: bool) -> None:
        self._inner, self._ideal = inner, ideal
        self._rng = np.random.default_rng(0)
        self.divergence = 0.0

    @property
    def branch(self) -> int:
        return self._inner.branch

    def price(self, plan: Plan) -> int:
        return self._inner.price(plan)

    def code(self, target: Target | None, plan: Plan, coder: Coder) -> Float32s:
        assert target is not None
        mean, variance = target.mean.astype(np.float64), target.variance.astype(np.float64)
        self.divergence += float((variance + mean**2 - 1 - np.log(variance)).sum()) / math.log(4)
        if not self._ideal:
            return self._inner.code(target, plan, coder)
        noise = self._rng.standard_normal(len(mean))
        sample: Float32s = (mean + np.sqrt(variance) * noise).astype(np.float32)
        return sample


class _OneGain(Chain):
    """A chain with the same gain in all bands."""

    def gains(self, image: Tensor) -> Ints:
        tabulated = float(np.exp2(self.errors.at(self.level) / OCTAVE).mean())
        octaves = math.log2(float((image - self.estimate()).square().mean()) / tabulated)
        gain = round(octaves * OCTAVE / GAIN_UNITS)
        return np.full_like(self._gains, max(-GAIN_REACH, min(gain, GAIN_REACH)))


def flat(errors: Errors) -> Errors:
    """Errors of the same mean variance, equal in all classes."""

    def spread(rows: Int64s) -> Int64s:
        level = np.log2(np.exp2(rows / OCTAVE).mean(-1, keepdims=True)) * OCTAVE
        return np.broadcast_to(np.rint(level).astype(np.int64), rows.shape)

    return Errors(errors.first, spread(errors.rows), spread(errors.prior))


def measure(samples: Samples, name: str, variant: Variant, quality: float) -> Point:
    """Code one image (h, w, 3) at a quality."""
    raster = Raster(samples, Mode.RGB8)
    height, width = raster.height, raster.width
    parameters = DiffcParameters.choose(Diffc())
    denoise, errors = denoiser(parameters.model, "cpu")
    kind, table = (Chain, errors) if variant.spectrum else (_OneGain, flat(errors))
    reverse = Counting(variant.reverse(), variant.coder == "ideal")
    chain = kind(denoise, table, *padded(height, width, UNet.MULTIPLE), reverse, 0)

    def size(payloads: Sequence[bytes]) -> int:
        return len(assemble(raster, DiffcCodec(), Encoded.of(parameters.pack(), payloads)))

    goal = Goal(quality_level(quality), None, None, variant.steps)
    payloads = send(samples, chain, lowest_level(height, width), goal, size, lambda _: None)
    bits = reverse.divergence if variant.coder == "ideal" else 8.0 * size(payloads)
    with torch.inference_mode():
        reached = psnr(samples, chain.estimate())
    return Point(
        name,
        **vars(variant),
        quality=quality,
        pixels=height * width,
        bits=bits,
        divergence=reverse.divergence,
        psnr=reached,
    )


LEVELS = (30.0, 34.0)
"""PSNR in dB at which `summaries` compares rates."""


@dataclass(frozen=True)
class Summary:
    """All files of a variant.

    Attributes:
        overhead: how much larger the files are than the divergence, as a fraction.
        rates: bits per pixel at `LEVELS`.
    """

    variant: Variant
    overhead: float
    rates: tuple[float, ...]


def summaries(points: Sequence[Point]) -> list[Summary]:
    """One for each variant, in the order of the points.

    Rates are read off a polynomial of the log rate in the PSNR, through the means over the images
    at each quality.
    """
    found = []
    for variant in dict.fromkeys(point.variant for point in points):
        files = [point for point in points if point.variant == variant]
        qualities = dict.fromkeys(point.quality for point in files)
        curve = [
            [(one.psnr, math.log(one.bits / one.pixels)) for one in files if one.quality == quality]
            for quality in qualities
        ]
        psnrs, rates = np.array(curve).mean(1).T
        through = np.poly1d(np.polyfit(psnrs, rates, len(curve) - 1))
        overhead = sum(one.bits for one in files) / sum(one.divergence for one in files) - 1
        found.append(Summary(variant, overhead, tuple(math.exp(through(at)) for at in LEVELS)))
    return found


def main() -> None:
    """Measure photographs."""
    parser = arguments(__doc__)
    parser.add_argument("--side", type=int, default=256, help="side of the coded middle, in pixels")
    parser.add_argument(
        "--coder",
        choices=dict.fromkeys(variant.coder for variant in VARIANTS),
        action="append",
        help="measure only this coder, with the default steps; repeatable",
    )
    args = parser.parse_args()
    images = {path.name: middle(load(path), args.side, args.side) for path in args.photos}
    chosen = [Variant(coder) for coder in args.coder or ()]
    jobs = [
        (name, variant, quality)
        for variant in chosen or VARIANTS
        for quality in QUALITIES
        for name in images
    ]
    measure_missing(
        args.output,
        Point,
        lambda name, variant, quality: measure(images[name], name, variant, quality),
        jobs,
    )


if __name__ == "__main__":
    main()
