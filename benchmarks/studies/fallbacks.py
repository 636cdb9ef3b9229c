"""Which formats code which images in how many bytes: what `codec/fallback/attempts.py` rests on.

    python -m noisepress.benchmarks.studies.fallbacks IMAGE... -o OUT.json

codes images of any layout with every format and effort that an encoder may try, and prints for each
what would be tried, beside the smallest file and JPEG XL of effort 9. An interrupted run continues
where it stopped.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import noisepress
from noisepress import JpegXL, Options, Png, UnsupportedImageError, WebP

from ...codec.fallback.attempts import attempted
from ...codec.image.raster import Raster
from .points import arguments, measure_missing, read

CODERS: Mapping[str, Options] = {
    "png": Png(),
    **{f"webp {effort}": WebP(effort=effort) for effort in range(4)},
    **{f"jpegxl {effort}": JpegXL(effort=effort) for effort in (5, 7, 9)},
}


@dataclass(frozen=True)
class Trial:
    """An image in one format.

    Attributes:
        image: file name.
        mode: sample layout.
        samples: of the image.
        coder: format and effort.
        bytes: of the .nzp file; 0 where the format does not take the image.
        seconds: CPU time.
    """

    image: str
    mode: str
    samples: int
    coder: str
    bytes: int
    seconds: float

    @property
    def job(self) -> tuple[str, str]:
        return self.image, self.coder


def measure(raster: Raster, image: str, coder: str) -> Trial:
    """Code an image."""
    start = time.process_time()
    try:
        size = len(noisepress.encode(raster, CODERS[coder], fallback=False))
    except UnsupportedImageError:
        size = 0
    seconds = round(time.process_time() - start, 3)
    return Trial(image, raster.mode.name, raster.samples.size, coder, size, seconds)


def table(trials: Sequence[Trial]) -> Iterator[str]:
    """A line for each image, and one for all.

    As if ardm did not take them: the fallbacks have nothing to beat.
    """
    head = ("image", "layout", "tried", "coder", "smallest", "JPEG XL 9", "seconds", "of all")
    yield "| " + " | ".join(head) + " |"
    yield "| --- | --- | ---: | --- | ---: | ---: | ---: | ---: |"
    sums = [0.0] * 5
    for image in dict.fromkeys(trial.image for trial in trials):
        of_image = {CODERS[trial.coder]: trial for trial in trials if trial.image == image}
        first = of_image[Png()]
        sizes = {options: range(trial.bytes) for options, trial in of_image.items() if trial.bytes}
        tried = attempted(first.samples, {}, sizes.get)
        best = min(tried, key=lambda options: len(tried[options]))
        figures = (
            len(sizes[best]),
            min(map(len, sizes.values())),
            len(sizes[JpegXL(effort=9)]),
            sum(of_image[options].seconds for options in tried),
            sum(trial.seconds for trial in of_image.values()),
        )
        sums = [total + figure for total, figure in zip(sums, figures, strict=True)]
        yield _row(image, first.mode, of_image[best].coder, figures)
    yield _row("all", "", "", sums)


def _row(image: str, mode: str, coder: str, figures: Sequence[float]) -> str:
    tried, smallest, peer, seconds, of_all = figures
    return (
        f"| {image} | {mode} | {tried:,.0f} | {coder} | {smallest:,.0f} | {peer:,.0f}"
        f" | {seconds:.1f} | {of_all:.1f} |"
    )


def main() -> None:
    """Measure images."""
    args = arguments(__doc__).parse_args()
    images = {path.name: path for path in args.photos}
    jobs = [(name, coder) for name in images for coder in CODERS]
    measure_missing(
        args.output,
        Trial,
        lambda name, coder: measure(noisepress.open_image(images[name]), name, coder),
        jobs,
    )
    print("\n".join(table(read(args.output, Trial))))


if __name__ == "__main__":
    main()
