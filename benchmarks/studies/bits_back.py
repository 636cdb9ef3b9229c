"""What vdm's bits-back coding costs: files against the variational bound, by the number of steps.

    python -m noisepress.benchmarks.studies.bits_back PHOTO... -o OUT.json

codes an archive of crops of all photographs, and some photographs whole, with vdm at several
numbers of steps, with ardm and with JPEG XL. An interrupted run continues where it stopped.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, repeat
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ... import archive, encode
from ...bitstream.coders import Tally
from ...bitstream.container import outline, read, section
from ...bitstream.header import unpack
from ...codec.archive import files_of
from ...codec.image.raster import Mode, Raster, Samples
from ...codec.vdm.bits_back import MEAN_FRAC, BitsBack
from ...codec.vdm.codec import DETAILS, Vdm, VdmParameters
from ...codec.vdm.coding import lattice
from ...codec.vdm.tiles import TILE, chain_inputs, groups_of, tiles_of
from ...models.registry import load_network
from ...models.vdm import LATENT_FRAC, UNITS, VdmNet
from ..codecs import codec_of, parse
from ..measure import load
from .points import arguments, measure_missing

STEPS = (10, 25, 50, 100, 250)
CROPS = 200
_TOGETHER = 8
"""Tiles in a batch of the bound's networks."""
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Point:
    """One file.

    Attributes:
        what: `crops`, or the image's file name.
        codec: `vdm`, `ardm` or `jpegxl-lossless`.
        steps: of vdm's chain; 0 for other codecs.
        samples: of all images.
        bits: of the file; for crops by JPEG XL, of all their files.
        bound: bits that vdm's file would take without rounding and headers, on average over
            chains: the variational bound, and the part that ardm codes; 0 for other codecs.
    """

    what: str
    codec: str
    steps: int
    samples: int
    bits: int
    bound: float

    @property
    def job(self) -> tuple[str, str, int]:
        return self.what, self.codec, self.steps


def bound(images: Sequence[Samples], steps: int, plain: int) -> float:
    """Bits of images (h, w, 3) under the model.

    Args:
        plain: how many tiles are coded in lattice order, to supply the initial bits.
    """
    parameters = VdmParameters.choose(Vdm(steps=steps))
    coarse, finest = lattice(parameters, finest=1), lattice(parameters, finest=0)
    tally = Tally()
    tiles = [tile for image in images for tile in tiles_of(image)]
    for image in images:
        half = image[::2, ::2]
        shape = (half.shape[0], half.shape[1], half.shape[2])
        deque(coarse.run(half, shape, repeat(tally)), maxlen=0)
    for tile in tiles[:plain]:
        finest.code_block(tile, tile.copy(), 0, tally)
    chain, rng = BitsBack(load_network(parameters.model, VdmNet), steps), np.random.default_rng(0)
    groups = groups_of(tiles[plain:], _TOGETHER)
    return tally.bits + sum(_expected(chain, *chain_inputs(group), rng) for group in groups)


@torch.inference_mode()
def _expected(chain: BitsBack, even: Tensor, pixels: Tensor, rng: np.random.Generator) -> float:
    """The bound of a batch for one random chain: reconstruction, KL of every step, KL of the prior.

    As in a real chain, noisy values are multiples of 1/2^LATENT_FRAC; all else is continuous.
    """
    x = pixels.numpy().astype(np.float64).reshape(-1)
    powers = [4.0 ** (level / UNITS) for level in chain.levels]
    y = _noisier(x, powers[0], rng)
    mean, deviation = _belief(chain, 0, even, y)
    nats = -np.log(_between(x - 0.5 - mean, x + 0.5 - mean, deviation)).sum()
    for rung, (below, above) in enumerate(pairwise(powers), 1):
        y = _noisier(y, above - below, rng)
        share = 1 - below / above
        mean, deviation = _belief(chain, rung, even, y)
        nats += _divergence(y + share * (x - y), math.sqrt(below * share), mean, deviation)
    mean, deviation = _belief(chain, len(powers), even, None)
    nats += _divergence(x, math.sqrt(powers[-1]), mean, deviation)
    return float(nats) / math.log(2)


def _noisier(y: Floats, power: float, rng: np.random.Generator) -> Floats:
    noisy = y + math.sqrt(power) * rng.standard_normal(len(y))
    on_grid: Floats = np.rint(noisy * 2**LATENT_FRAC) / 2**LATENT_FRAC
    return on_grid


def _belief(chain: BitsBack, rung: int, even: Tensor, y: Floats | None) -> tuple[Floats, Floats]:
    """Mean and standard deviation of p in pixel values."""
    noisier = None if y is None else (y * 2**LATENT_FRAC).astype(np.int64)
    mean, scale = chain.prediction(rung, even, noisier)
    return mean / 2 ** (LATENT_FRAC + MEAN_FRAC), np.exp2(scale / UNITS)


def _between(low: Floats, high: Floats, deviation: Floats) -> Floats:
    """Probability of an interval under a normal distribution around zero, at least 2^-40."""
    ends = [torch.from_numpy(end / deviation) for end in (low, high)]
    inside: Floats = (torch.special.ndtr(ends[1]) - torch.special.ndtr(ends[0])).numpy()
    return np.maximum(inside, 2.0**-40)


def _divergence(q_mean: Floats, q_deviation: float, mean: Floats, deviation: Floats) -> float:
    """KL divergence of two normal distributions in nats, summed."""
    ratio = (q_deviation / deviation) ** 2
    squares = ((q_mean - mean) / deviation) ** 2
    return float((0.5 * (ratio + squares - 1 - np.log(ratio))).sum())


def crops_of(images: Mapping[str, Samples], count: int) -> list[tuple[str, Samples]]:
    """Whole tiles, spread evenly over the images, with names."""
    whole = [
        (f"{name}-{index}", np.ascontiguousarray(tile))
        for name, image in images.items()
        for index, tile in enumerate(tiles_of(image))
        if tile.shape[:2] == (TILE, TILE)
    ]
    chosen = np.linspace(0, len(whole) - 1, min(count, len(whole))).round().astype(int)
    return [whole[index] for index in chosen]


def measure(what: str, images: Sequence[tuple[str, Samples]], codec: str, steps: int) -> Point:
    """Code one image, or several as an archive."""
    arrays = [image for _, image in images]
    samples = sum(image.size for image in arrays)
    if codec == "jpegxl-lossless":
        (setting,) = parse("jpegxl-lossless:effort=7")
        peer = codec_of(setting)
        effort = peer.complete(setting.options)
        rasters = (Raster(image, Mode.RGB8) for image in arrays)
        bits = 8 * sum(len(peer.encode(image, effort)) for image in rasters)
        return Point(what, codec, 0, samples, bits, 0.0)
    options: dict[str, Any] = {"steps": steps} if codec == "vdm" else {}
    if len(images) == 1:
        data = encode(arrays[0], codec, fallback=False, **options)
        details = read(data).payloads(0)[-1]
    else:
        data = archive(images, codec, group=len(images), **options)
        details = files_of(section(data, outline(data), 1).payload, len(images))[1]
    if codec != "vdm":
        return Point(what, codec, 0, samples, 8 * len(data), 0.0)
    plain = unpack(DETAILS, details, 0)[0]["plain"]
    return Point(what, codec, steps, samples, 8 * len(data), bound(arrays, steps, plain))


def main() -> None:
    """Measure photographs."""
    parser = arguments(__doc__)
    parser.add_argument("--crops", type=int, default=CROPS, help="crops of 64 x 64 in the archive")
    parser.add_argument("--whole", type=int, default=2, help="photographs coded whole")
    args = parser.parse_args()
    images = {path.name: load(path) for path in args.photos}
    sets = {"crops": crops_of(images, args.crops)}
    sets |= {name: [(name, image)] for name, image in list(images.items())[: args.whole]}
    ways = [("ardm", 0), ("jpegxl-lossless", 0), *(("vdm", steps) for steps in STEPS)]
    jobs = [(what, *way) for way in ways for what in sets]
    measure_missing(
        args.output,
        Point,
        lambda what, codec, steps: measure(what, sets[what], codec, steps),
        jobs,
    )


if __name__ == "__main__":
    main()
