"""Random-order coding of small images: network calls and schedules against file sizes.

    python -m noisepress.benchmarks.small_images cifar10.npz -o results.json

Every image is a file of its own. The archive holds one uint8 array (n, 32, 32, 3).
"""

from __future__ import annotations

import argparse
from dataclasses import asdict
from functools import partial

import numpy as np
from tqdm import tqdm

import noisepress

from .lossless import Measurement, Peer, machine, measure, peers, summary, write_report


def random_order(calls: int, schedule: str) -> Peer:
    """noisepress in random order, without falling back to another coder."""
    encode = partial(
        noisepress.encode, order="random", calls=calls, schedule=schedule, fallback=False
    )
    return Peer(f"random order, {calls} calls, {schedule}", encode, noisepress.decode)


def main() -> None:
    """Measure the first images of an archive."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("archive")
    parser.add_argument("-o", "--output", help="JSON file of all measurements")
    parser.add_argument("--images", type=int, default=50)
    args = parser.parse_args()
    with np.load(args.archive) as archive:
        images = next(iter(archive.values()))[: args.images]
    codecs = peers([9])[2:] + [
        random_order(calls, schedule)
        for calls in (16, 64, 256)
        for schedule in ("dynamic", "equal")
    ]
    rows: list[Measurement] = [
        measure(np.ascontiguousarray(pixels), f"image {index}", peer)
        for index, pixels in enumerate(tqdm(images, unit="image"))
        for peer in codecs
    ]
    report = {
        "summary": summary(rows, "WebP"),
        "machine": machine(),
        "measurements": [asdict(row) for row in rows],
    }
    write_report(args.output, report)


if __name__ == "__main__":
    main()
