"""What each part of hfd is worth: sizes at equal PSNR without it, and those of other codecs.

    python -m noisepress.benchmarks.studies.bands PHOTO... -o OUT.json

codes photographs at several steps of quantisation as hfd does and with one thing left out, and with
OpenJPEG and AVIF (4:4:4) by imagecodecs. It prints how much larger the files are than those of the
first stage of hfd with all its parts, on average over the range of PSNR that both have. An
interrupted run continues where it stopped.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import fmean
from unittest.mock import patch

import imagecodecs
import numpy as np
from bjontegaard import bd_rate
from torch import Tensor

import noisepress

from ...bitstream import wavelet
from ...bitstream._bands import Band
from ...bitstream._mixing import Float32s
from ...bitstream.bands import Bands, BinaryCoder, untaught
from ...bitstream.wavelet import Place
from ...codec.hfd.stages import Painter
from ...models.unet import Known
from ..images import Pixels
from ..measure import load
from ..quality import psnr
from .points import arguments, measure_missing, read

STEPS = 12, 28, 64, 150
"""Of quantisation, in levels of samples."""
FIRST_STAGE, RESTORED = "first stage", "restored by the network"
Peer = Callable[[Pixels, int], tuple[bytes, Pixels]]


class _Nearest(Bands):
    def choose(self, coder: BinaryCoder, place: Place, wanted: Float32s, worth: float = 0) -> None:
        super().choose(coder, place, wanted, 0.0)


class _Untaught(Bands):
    def __init__(self, height: int, width: int) -> None:
        super().__init__(height, width, untaught())


def _without(*names: str) -> type[Bands]:
    class Without(Bands):
        def _around(self, place: Place) -> Band:
            nothing = self._nothing(*self.shape(place))
            return super()._around(place)._replace(**dict.fromkeys(names, nothing))

    return Without


LEFT_OUT: Mapping[str, type[Bands]] = {
    "without choosing by cost": _Nearest,
    "without the lesson": _Untaught,
    "without the coarser band": _without("parent"),
    "without the other colours": _without("first", "second"),
    "without the other bands of a level": _without("left", "right"),
}
FIXED = "with fixed colour planes"


def _jpeg2000(image: Pixels, setting: int) -> tuple[bytes, Pixels]:
    data = imagecodecs.jpeg2k_encode(image, level=setting, reversible=False, mct=True)
    return bytes(data), imagecodecs.jpeg2k_decode(data).astype(np.uint8)


def _avif(image: Pixels, setting: int) -> tuple[bytes, Pixels]:
    data = imagecodecs.avif_encode(image, level=setting, speed=4)
    return bytes(data), imagecodecs.avif_decode(data).astype(np.uint8)


PEERS: Mapping[str, tuple[Peer, Sequence[int]]] = {
    "OpenJPEG": (_jpeg2000, (26, 31, 36, 41)),
    "AVIF, 4:4:4, speed 4": (_avif, (20, 45, 65, 82)),
}


@dataclass(frozen=True)
class Point:
    """A photograph, coded in one way.

    Attributes:
        image: file name.
        way: what was left out, or the codec.
        setting: step of quantisation in levels, or setting of the codec.
        bytes: of the file.
        psnr: in dB.
    """

    image: str
    way: str
    setting: int
    bytes: int
    psnr: float

    @property
    def job(self) -> tuple[str, str, int]:
        return self.image, self.way, self.setting


def _as_it_is(painter: Painter, known: Known) -> Tensor:
    return known.image


def measure(image: Pixels, name: str, way: str, setting: int) -> Point:
    """Code a photograph and decode it."""
    if way in PEERS:
        data, picture = PEERS[way][0](image, setting)
        return Point(name, way, setting, len(data), psnr(image, picture))
    with ExitStack() as stack:
        if way in LEFT_OUT:
            stack.enter_context(patch("noisepress.codec.hfd.first_stage.Bands", LEFT_OUT[way]))
        if way == FIXED:
            usual = wavelet.angles_for(np.zeros((2, 2, 3), np.uint8))
            stack.enter_context(patch.object(wavelet, "angles_for", lambda samples: usual))
        if way != RESTORED:
            stack.enter_context(patch.object(Painter, "restored", _as_it_is))
        data = noisepress.encode(image, "hfd", quality=(9 - math.log2(setting)) / 0.09)
        picture = noisepress.decode(data)
    return Point(name, way, setting, len(data), psnr(image, picture))


def ways() -> dict[str, Sequence[int]]:
    """What is measured, with its settings."""
    ours = (FIRST_STAGE, RESTORED, FIXED, *LEFT_OUT)
    return {way: STEPS for way in ours} | {way: peer[1] for way, peer in PEERS.items()}


def table(points: Sequence[Point]) -> str:
    """Markdown: the difference in size to the first stage at equal PSNR, mean and each image."""
    images = sorted({point.image for point in points})

    def curve(image: str, way: str) -> tuple[list[float], list[float]]:
        found = sorted((p.psnr, p.bytes) for p in points if (p.image, p.way) == (image, way))
        return [float(size) for _, size in found], [decibel for decibel, _ in found]

    lines = [f"| | mean | {' | '.join(images)} |", f"| --- {'| ---: ' * (len(images) + 1)}|"]
    for way in ways():
        if way == FIRST_STAGE:
            continue
        deltas = [
            bd_rate(
                *curve(image, FIRST_STAGE),
                *curve(image, way),
                "pchip",
                require_matching_points=False,
                min_overlap=0,
            )
            for image in images
        ]
        cells = " | ".join(f"{delta:+.1f} %" for delta in (fmean(deltas), *deltas))
        lines.append(f"| {way} | {cells} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure photographs, and print the table."""
    args = arguments(__doc__).parse_args()
    images = {path.name: load(path) for path in args.photos}
    jobs = [
        (name, way, setting)
        for name in images
        for way, settings in ways().items()
        for setting in settings
    ]
    measure_missing(args.output, Point, lambda name, *job: measure(images[name], name, *job), jobs)
    print(table(read(args.output, Point)))


if __name__ == "__main__":
    main()
