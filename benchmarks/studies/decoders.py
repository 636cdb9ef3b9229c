"""How good the pictures of hfd's score decoders are, by their number of network calls.

    python -m noisepress.benchmarks.studies.decoders PHOTO... -o OUT.json --decoder X.safetensors

encodes every photograph and decodes it with the bundled score decoder and with every `--decoder`,
at several numbers of calls; a decoder that was distilled to few calls only at its own number. An
interrupted run continues where it stopped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import noisepress

from ...models.registry import find
from ..images import Pixels
from ..measure import load
from ..quality import crop_features, frechet_distance, psnr
from .points import arguments, measure_missing

CALLS = (4, 8, 16)
BUNDLED = "hfd-photo"
QUALITY = 24.0


@dataclass(frozen=True)
class Point:
    """All photographs, decoded in one way.

    Attributes:
        images: how many.
        decoder: name of the model or of its file; empty for the restored picture.
        calls: of its network; 0 for the restored picture.
        bpp: bits per pixel of the files.
        psnr: mean, in dB.
        frechet: distance between the features of decoded and original crops, see `quality`.
    """

    images: int
    decoder: str
    calls: int
    bpp: float
    psnr: float
    frechet: float

    @property
    def job(self) -> tuple[str, int]:
        return self.decoder, self.calls


def measure(images: Sequence[Pixels], decoder: str, calls: int) -> Point:
    """Encode and decode photographs; without a decoder and calls, to the restored picture."""
    pixels = sum(image.shape[0] * image.shape[1] for image in images)
    how: dict[str, Any] = {"render": "flow", "steps": calls} if calls else {}
    model = decoder if decoder.endswith(".safetensors") else None
    bits, psnrs, shown, true = 0, [], [], []
    for image in images:
        data = noisepress.encode(image, "hfd", quality=QUALITY, model=decoder or BUNDLED)
        bits += 8 * len(data)
        decoded = noisepress.decode(data, model=model, **how)
        psnrs.append(psnr(image, decoded))
        shown.append(crop_features(decoded))
        true.append(crop_features(image))
    distance = frechet_distance(true, shown)
    assert distance is not None
    return Point(len(images), Path(decoder).stem, calls, bits / pixels, fmean(psnrs), distance)


def ways(decoders: Sequence[str]) -> list[tuple[str, int]]:
    """Decoders and numbers of calls to measure; the restored picture comes first."""
    found = [("", 0)]
    for decoder in decoders:
        levels = find(decoder).tables.get("levels")
        found += [(decoder, calls) for calls in ([len(levels)] if levels else CALLS)]
    return found


def main() -> None:
    """Measure photographs."""
    parser = arguments(__doc__)
    parser.add_argument(
        "--decoder", action="append", default=[], help="file of another score decoder; repeatable"
    )
    args = parser.parse_args()
    images = [load(path) for path in args.photos]
    decoders = {Path(decoder).stem: decoder for decoder in ("", BUNDLED, *args.decoder)}
    jobs = [(Path(decoder).stem, calls) for decoder, calls in ways([BUNDLED, *args.decoder])]
    measure_missing(
        args.output, Point, lambda stem, calls: measure(images, decoders[stem], calls), jobs
    )


if __name__ == "__main__":
    main()
