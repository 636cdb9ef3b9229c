"""What source planes save: bytes of ardm's files with and without them.

    python -m noisepress.benchmarks.studies.planes PHOTO... -o OUT.json

codes the middle 768 x 512 pixels of every photograph. An interrupted run continues where it
stopped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

import noisepress

from ...codec.ardm.codec import Planes
from ...codec.image.raster import Samples
from ..measure import load
from .points import arguments, measure_missing, middle

HEIGHT, WIDTH = 512, 768


@dataclass(frozen=True)
class Size:
    """The size of one file.

    Attributes:
        image: file name of the photograph.
        planes: option of the encode.
        found: what was coded, as `info` says.
        bytes: of the file.
    """

    image: str
    planes: str
    found: str
    bytes: int

    @property
    def job(self) -> tuple[str, str]:
        return self.image, self.planes


def measure(image: Samples, name: str, planes: Planes) -> Size:
    """Code an image (h, w, 3)."""
    data = noisepress.encode(image, noisepress.Ardm(planes=planes), fallback=False)
    return Size(name, planes, str(noisepress.inspect(data).parameters["planes"]), len(data))


def table(sizes: Sequence[Size]) -> str:
    """A Markdown table, a photograph a row."""
    rows = [
        "| image | planes | bytes | as RGB | difference |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    found, rgb = (
        {size.image: size for size in sizes if size.planes == planes} for planes in get_args(Planes)
    )
    pairs = [(name, found[name].found, found[name].bytes, rgb[name].bytes) for name in found]
    pairs.append(("all", "", sum(pair[2] for pair in pairs), sum(pair[3] for pair in pairs)))
    for name, planes, with_planes, without in pairs:
        difference = f"{with_planes / without - 1:+.1%}".replace("%", " %")
        rows.append(f"| {name} | {planes} | {with_planes:,} | {without:,} | {difference} |")
    return "\n".join(rows) + "\n"


def main() -> None:
    """Measure photographs."""
    args = arguments(__doc__).parse_args()
    images = {path.name: path for path in args.photos}
    jobs = [(name, planes) for name in images for planes in get_args(Planes)]
    measure_missing(
        args.output,
        Size,
        lambda name, planes: measure(middle(load(images[name]), HEIGHT, WIDTH), name, planes),
        jobs,
    )


if __name__ == "__main__":
    main()
