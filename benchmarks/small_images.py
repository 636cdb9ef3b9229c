"""Random-order coding of small images: network calls and schedules against file sizes.

    python -m noisepress.benchmarks.small_images cifar10.npz -o OUT

The archive holds one uint8 array (n, h, w, 3); every image becomes a file of its own. What is
measured and written is as for `noisepress bench`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from .bench import run, summary
from .codecs import parse_all

SETTINGS = (
    "png",
    "webp-lossless",
    "jpegxl-lossless:effort=9",
    "ardm-alone:order=random,calls=16/64/256,schedule=dynamic/equal",
)


def extract(archive: Path, folder: Path, count: int) -> list[Path]:
    """Write the first images of an archive as PNG files; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    with np.load(archive) as arrays:
        images = next(iter(arrays.values()))[:count]
    paths = [folder / f"{index:05}.png" for index in range(len(images))]
    for path, image in zip(paths, images, strict=True):
        Image.fromarray(image).save(path)
    return paths


def main() -> None:
    """Measure the first images of an archive."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("archive", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder of the results")
    parser.add_argument("--images", type=int, default=50)
    args = parser.parse_args()
    images = extract(args.archive, args.output / "images", args.images)
    print(summary(run(images, parse_all(SETTINGS), args.output, jobs=1)))


if __name__ == "__main__":
    main()
