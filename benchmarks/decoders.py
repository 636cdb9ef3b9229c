"""What hfd's score decoders show, by their number of network calls.

    python -m noisepress.benchmarks.decoders PHOTO... -o OUT.json --decoder TEACHER.safetensors

codes every photograph and draws it from its file with the bundled decoder, and with any other one
asked for, at several numbers of calls, or at its own if it was made for few. An interrupted run
goes on where it was.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

import noisepress

from ..models.registry import find
from .codecs import Pixels
from .measure import load
from .quality import crop_features, frechet_distance, psnr

CALLS = (4, 8, 50)
BUNDLED = "hfd-photo-decoder"
QUALITY = 20.0


@dataclass(frozen=True)
class Point:
    """All photographs, drawn in one way.

    Attributes:
        images: how many.
        decoder: name of the model, or of its file; empty for the first stage alone.
        calls: of its network; 0 for the first stage alone.
        bpp: bits per pixel of the files.
        psnr: mean, in dB.
        frechet: distance of the crops' features to those of the originals, see `quality`.
    """

    images: int
    decoder: str
    calls: int
    bpp: float
    psnr: float
    frechet: float


def measure(
    images: Mapping[str, Pixels], decoder: str, calls: int, quality: float = QUALITY
) -> Point:
    """Code photographs and draw them; without a decoder and calls, by the first stage alone."""
    pixels = sum(image.shape[0] * image.shape[1] for image in images.values())
    how: dict[str, Any] = {"render": "flow", "steps": calls} if calls else {}
    model = decoder if decoder.endswith(".safetensors") else None
    bits, near, shown, true = 0, [], [], []
    for image in images.values():
        data = noisepress.encode(image, "hfd", quality=quality, decoder=decoder or None)
        bits += 8 * len(data)
        drawn = noisepress.decode(data, model=model, **how)
        near.append(psnr(image, drawn))
        shown.append(crop_features(drawn))
        true.append(crop_features(image))
    distance = frechet_distance(true, shown)
    assert distance is not None
    return Point(
        len(images), Path(decoder).stem, calls, bits / pixels, float(np.mean(near)), distance
    )


def read(path: Path) -> list[Point]:
    """What `main` wrote."""
    return [Point(**entry) for entry in json.loads(path.read_text())]


def write(points: Iterable[Point], path: Path) -> None:
    """Write as JSON."""
    lines = ",\n".join(json.dumps(asdict(point)) for point in points)
    path.write_text(f"[\n{lines}\n]\n")


def ways(decoders: Sequence[str]) -> list[tuple[str, int]]:
    """Decoders and calls to measure, the first stage first."""
    found = [("", 0)]
    for decoder in decoders:
        levels = find(decoder).tables.get("levels")
        found += [(decoder, calls) for calls in ([len(levels)] if levels else CALLS)]
    return found


def main() -> None:
    """Measure photographs."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("photos", type=Path, nargs="+", metavar="PHOTO")
    parser.add_argument("-o", "--output", type=Path, required=True, help="JSON file")
    parser.add_argument(
        "--decoder", action="append", default=[], help="model file of another one; repeatable"
    )
    args = parser.parse_args()
    images = {path.name: load(path) for path in args.photos}
    points = read(args.output) if args.output.exists() else []
    done = {(point.decoder, point.calls) for point in points}
    for decoder, calls in tqdm(ways([BUNDLED, *args.decoder]), unit="way"):
        if (Path(decoder).stem, calls) not in done:
            points.append(measure(images, decoder, calls))
            write(points, args.output)


if __name__ == "__main__":
    main()
