"""What diffc's parts cost: coders against the divergence, step counts, the errors' spectrum.

    python -m noisepress.benchmarks.chains PHOTO... -o OUT.json

codes the middle of every photograph in several ways up to several levels. Beside real files there
is the ideal: exact samples of q, which no code sends, at the price of their divergence from p.
An interrupted run goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from ..bitstream.coders import Coder
from ..bitstream.entropy import Ints
from ..bitstream.information import OCTAVE, Int64s
from ..bitstream.reverse_channel import Float32s, Pfr, Plan, ReverseCoder, Target, Trellis
from ..codec.diffc.chain import GAIN_REACH, GAIN_UNITS, Chain, Errors, lowest_level, quality_level
from ..codec.diffc.codec import Diffc, DiffcCodec, Parameters
from ..codec.diffc.coding import denoiser, encoded
from ..codec.diffc.rate_control import Goal, send
from ..codec.image.raster import Mode, Raster, Samples
from ..codec.pixels import padded, psnr
from ..codec.protocol import assemble
from ..models.unet import UNet
from .measure import load

QUALITIES = (36.0, 48.0, 60.0)
"""About 27 to 36 dB on photographs."""
EFFORT, STEPS = Diffc.effort, Diffc.steps


@dataclass(frozen=True)
class Variant:
    """One way of coding.

    Attributes:
        coder: `ideal`, `pfr`, or `trellis` and its bits of a state, such as `trellis12`.
        steps: of the chain.
        spectrum: False: one error variance for all frequencies and colours, and one gain. Only
            the ideal coder copes with that.
    """

    coder: str
    steps: int = STEPS
    spectrum: bool = True

    def reverse(self) -> ReverseCoder:
        """The coder of samples; the ideal one has the branches of the default's."""
        if self.coder == "pfr":
            return Pfr()
        bits = self.coder.removeprefix("trellis")
        return Trellis(int(bits) if bits.isdecimal() else EFFORT)


VARIANTS = (
    *(Variant(f"trellis{bits}") for bits in (8, 10, 12, 14, 16)),
    Variant("pfr"),
    *(Variant("trellis12", steps) for steps in (16, 24, 32, 48, 96)),
    *(Variant("ideal", steps, spectrum) for steps in (12, 24) for spectrum in (True, False)),
)


@dataclass(frozen=True)
class Point:
    """One file.

    Attributes:
        image: file name.
        quality: see `codec.diffc.Options`.
        pixels: of the image.
        bits: of the file; of the ideal coder, the divergence.
        divergence: bits of KL(q || p), all steps together.
        psnr: of the mmse picture, in dB.
    """

    image: str
    variant: Variant
    quality: float
    pixels: int
    bits: float
    divergence: float
    psnr: float

    @classmethod
    def parse(cls, entry: Mapping[str, object]) -> Point:
        """The inverse of `dataclasses.asdict`."""
        return cls(**{**entry, "variant": Variant(**entry["variant"])})  # type: ignore[arg-type]


class Counting:
    """A coder of samples that adds up the divergences; the ideal one replaces the sample."""

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
    """A chain whose gains are the same in all bands."""

    def gains(self, image: Tensor) -> Ints:
        tabulated = float(np.exp2(self.errors.at(self.level) / OCTAVE).mean())
        octaves = math.log2(float((image - self.estimate()).square().mean()) / tabulated)
        gain = round(octaves * OCTAVE / GAIN_UNITS)
        return np.full_like(self._gains, max(-GAIN_REACH, min(gain, GAIN_REACH)))


def flat(errors: Errors) -> Errors:
    """The same errors on average, with one variance for all classes."""

    def spread(rows: Int64s) -> Int64s:
        level = np.log2(np.exp2(rows / OCTAVE).mean(-1, keepdims=True)) * OCTAVE
        return np.broadcast_to(np.rint(level).astype(np.int64), rows.shape)

    return Errors(errors.first, spread(errors.rows), spread(errors.prior))


def measure(samples: Samples, name: str, variant: Variant, quality: float) -> Point:
    """Code one image (h, w, 3) up to the level of a quality."""
    raster = Raster(samples, Mode.RGB8)
    height, width = raster.height, raster.width
    parameters = Parameters.choose(Diffc())
    denoise, errors = denoiser(parameters.card, "cpu")
    kind, table = (Chain, errors) if variant.spectrum else (_OneGain, flat(errors))
    reverse = Counting(variant.reverse(), variant.coder == "ideal")
    chain = kind(denoise, table, *padded(height, width, UNet.MULTIPLE), reverse, 0)

    def size(payloads: Sequence[bytes]) -> int:
        return len(assemble(raster, DiffcCodec(), encoded(parameters, payloads)))

    goal = Goal(quality_level(quality), None, None, variant.steps)
    payloads = send(samples, lambda: chain, lowest_level(height, width), goal, size, lambda _: None)
    bits = reverse.divergence if variant.coder == "ideal" else 8.0 * size(payloads)
    with torch.inference_mode():
        reached = psnr(samples, chain.estimate())
    return Point(name, variant, quality, height * width, bits, reverse.divergence, reached)


@dataclass(frozen=True)
class Summary:
    """All files of a variant.

    Attributes:
        overhead: how much larger files are than the divergence, as a fraction.
        rates: bits per pixel at `LEVELS`.
    """

    variant: Variant
    overhead: float
    rates: tuple[float, ...]


LEVELS = (30.0, 34.0)
"""In dB, where `summaries` compare."""


def summaries(points: Sequence[Point]) -> list[Summary]:
    """One for each variant, in the order of the points."""
    found = []
    for variant in dict.fromkeys(point.variant for point in points):
        mine = [point for point in points if point.variant == variant]
        curve = [
            [
                (point.psnr, math.log(point.bits / point.pixels))
                for point in mine
                if point.quality == q
            ]
            for q in dict.fromkeys(point.quality for point in mine)
        ]
        psnrs, rates = np.array(curve).mean(1).T
        through = np.poly1d(np.polyfit(psnrs, rates, len(curve) - 1))
        overhead = sum(point.bits for point in mine) / sum(point.divergence for point in mine) - 1
        found.append(Summary(variant, overhead, tuple(math.exp(through(at)) for at in LEVELS)))
    return found


def middle(samples: Samples, side: int) -> Samples:
    """The middle square, or all of an image that is smaller."""
    top, left = (max(0, (length - side) // 2) for length in samples.shape[:2])
    return np.ascontiguousarray(samples[top : top + side, left : left + side])


def read(path: Path) -> list[Point]:
    """What `main` wrote."""
    return [Point.parse(entry) for entry in json.loads(path.read_text())]


def write(points: Iterable[Point], path: Path) -> None:
    """Write as JSON."""
    lines = ",\n".join(json.dumps(asdict(point)) for point in points)
    path.write_text(f"[\n{lines}\n]\n")


def main() -> None:
    """Measure photographs."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("photos", type=Path, nargs="+", metavar="PHOTO")
    parser.add_argument("-o", "--output", type=Path, required=True, help="JSON file")
    parser.add_argument("--side", type=int, default=256, help="of the coded middles, in pixels")
    known = dict.fromkeys(variant.coder for variant in VARIANTS)
    parser.add_argument(
        "--coder",
        choices=known,
        action="append",
        help="only these, at the default steps; repeatable",
    )
    args = parser.parse_args()
    images = {path.name: middle(load(path), args.side) for path in args.photos}
    chosen = [Variant(coder) for coder in args.coder or ()]
    variants = [one for one in VARIANTS if not chosen or one in chosen]
    jobs = [
        (name, variant, quality) for variant in variants for quality in QUALITIES for name in images
    ]
    points = read(args.output) if args.output.exists() else []
    done = {(point.image, point.variant, point.quality) for point in points}
    for name, variant, quality in tqdm(jobs, unit="file"):
        if (name, variant, quality) not in done:
            points.append(measure(images[name], name, variant, quality))
            write(points, args.output)


if __name__ == "__main__":
    main()
