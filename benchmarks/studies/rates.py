"""Whether hfd has every rate, meets what is asked for, and makes no seams.

    python -m noisepress.benchmarks.studies.rates PHOTO... -o OUT.json

codes photographs at sizes from 0.03 to 2 bits per pixel and at a PSNR of 45 dB. The pictures of one
low rate are also looked at for steps on a grid, as codecs of blocks have them, beside those of the
best AVIF by PSNR and the photographs themselves. An interrupted run continues where it stopped.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from statistics import fmean

import numpy as np

import noisepress
from noisepress import Hfd

from ..codecs import CODECS, Avif
from ..images import Pixels
from ..measure import load
from ..quality import psnr
from .points import arguments, measure_missing, read

BPPS = (0.03, 0.06, 0.12, 0.15, 0.25, 0.5, 1.0, 2.0)
"""Sizes that are asked for, in bits per pixel."""
BEST = "psnr=45"
LOOKED_AT = "bpp=0.15"
"""The goal whose pictures are looked at."""
GRIDS = 8, 16, 32, 64
"""Distances between the lines of grids in pixels."""
ORIGINAL, PEER = "original", "avif-psnr"


@dataclass(frozen=True)
class Point:
    """A photograph, coded to a goal.

    Attributes:
        image: file name.
        codec: name, or ORIGINAL.
        goal: what was asked for, such as bpp=0.15.
        pixels: of the photograph.
        bytes: of the file; 0 for the original.
        psnr: in dB; 0 for the original.
        seams: for each of GRIDS, the mean difference of pixels across its lines as a multiple of
            that of other neighbours.
    """

    image: str
    codec: str
    goal: str
    pixels: int
    bytes: int
    psnr: float
    seams: Sequence[float]

    @property
    def job(self) -> tuple[str, str, str]:
        return self.image, self.codec, self.goal


def seams(picture: Pixels) -> list[float]:
    """See `Point`, of a picture (h, w, 3) larger than the widest grid."""
    found = [0.0] * len(GRIDS)
    for axis in (0, 1):
        steps = np.abs(np.diff(picture.astype(np.float64), axis=axis)).mean((1 - axis, 2))
        for place, grid in enumerate(GRIDS):
            on = np.arange(1, len(steps) + 1) % grid == 0
            found[place] += float(steps[on].mean() / steps[~on].mean()) / 2
    return found


def _of_size(image: Pixels, most: int) -> bytes:
    """The best file of PEER that has at most so many bytes."""
    codec, (low, high) = CODECS[PEER], (0, 100)
    best = codec.encode(image, Avif(quality=low))
    while low < high:
        middle = (low + high + 1) // 2
        data = codec.encode(image, Avif(quality=middle))
        if len(data) <= most:
            low, best = middle, data
        else:
            high = middle - 1
    return best


def measure(image: Pixels, name: str, codec: str, goal: str) -> Point:
    """Code a photograph (h, w, 3) and decode it."""
    pixels = image.shape[0] * image.shape[1]
    kind, number = goal.split("=")
    value = float(number)
    if codec == ORIGINAL:
        return Point(name, codec, goal, pixels, 0, 0.0, seams(image))
    if codec == PEER:
        data = _of_size(image, int(value * pixels / 8))
        picture: Pixels = CODECS[PEER].decode(data)
    else:
        data = noisepress.encode(image, Hfd(psnr=value) if kind == "psnr" else Hfd(bpp=value))
        picture = noisepress.decode(data)
    return Point(name, codec, goal, pixels, len(data), psnr(image, picture), seams(picture))


def goals() -> Iterator[tuple[str, str]]:
    """Codecs and what they are asked for."""
    for goal in (*(f"bpp={bpp:g}" for bpp in BPPS), BEST):
        yield "hfd", goal
    yield PEER, LOOKED_AT
    yield ORIGINAL, LOOKED_AT


def rates_table(points: Sequence[Point]) -> str:
    """What hfd's files have, by what was asked for."""
    ours = [point for point in points if point.codec == "hfd"]
    head = "| asked for | bits per pixel | PSNR, least to most | farthest from it |\n"
    rows = [head + "| --- | ---: | ---: | ---: |"]
    for goal in dict.fromkeys(point.goal for point in ours):
        found = [point for point in ours if point.goal == goal]
        rates = [8 * point.bytes / point.pixels for point in found]
        psnrs = [point.psnr for point in found]
        kind, value = goal.split("=")
        misses = [got / float(value) - 1 for got in (psnrs if kind == "psnr" else rates)]
        rows.append(
            f"| {kind} {value} | {fmean(rates):.3f} | {min(psnrs):.2f} to {max(psnrs):.2f} | "
            f"{max(misses, key=abs):+.2%} |"
        )
    return "\n".join(rows) + "\n"


def falls(points: Sequence[Point]) -> int:
    """How often the next larger file of a photograph by hfd is not nearer to it."""
    ours = sorted(
        (point for point in points if point.codec == "hfd"), key=lambda point: point.image
    )
    found = 0
    for _, group in groupby(ours, lambda point: point.image):
        curve = sorted({(point.bytes, point.psnr) for point in group})
        found += sum(second[1] <= first[1] for first, second in pairwise(curve))
    return found


def seams_table(points: Sequence[Point]) -> str:
    """Steps on grids at LOOKED_AT, on average."""
    heads = " | ".join(f"{grid} pixels" for grid in GRIDS)
    rows = [f"| grid of | {heads} |", "| --- |" + " ---: |" * len(GRIDS)]
    for codec in ("hfd", PEER, ORIGINAL):
        found = [p.seams for p in points if (p.codec, p.goal) == (codec, LOOKED_AT)]
        means = [fmean(values) for values in zip(*found, strict=True)]
        rows.append(f"| {codec} | " + " | ".join(f"{mean:.3f}" for mean in means) + " |")
    return "\n".join(rows) + "\n"


def main() -> None:
    """Measure photographs."""
    args = arguments(__doc__).parse_args()
    images = {path.name: path for path in args.photos}
    measure_missing(
        args.output,
        Point,
        lambda name, codec, goal: measure(load(images[name]), name, codec, goal),
        [(name, *goal) for name in images for goal in goals()],
    )
    found = read(args.output, Point)
    print(rates_table(found), seams_table(found), f"not nearer: {falls(found)}", sep="\n")


if __name__ == "__main__":
    main()
