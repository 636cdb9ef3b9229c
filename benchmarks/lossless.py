"""Lossless coding against its peers on a folder of images, in one run.

    python -m noisepress.benchmarks.lossless FOLDER -o results.json

Every size is that of real file bytes. Times are per image and as ratios to WebP's in the same
run; every decode is compared with the original.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from io import BytesIO
from pathlib import Path
from statistics import fmean
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import Image

import noisepress

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Peer:
    """A named pair of functions between pixels (h, w, 3) and file bytes."""

    name: str
    encode: Callable[[Pixels], bytes]
    decode: Callable[[bytes], Any]


@dataclass(frozen=True)
class Measurement:
    """One image through one codec.

    Attributes:
        size: bytes of the file.
        bits: size in bits per sub-pixel.
        encode_s, decode_s: wall time.
    """

    image: str
    codec: str
    size: int
    bits: float
    encode_s: float
    decode_s: float


def _pillow(kind: str, **options: Any) -> Peer:
    def encode(pixels: Pixels) -> bytes:
        out = BytesIO()
        Image.fromarray(pixels).save(out, kind, **options)
        return out.getvalue()

    return Peer(kind, encode, lambda data: np.asarray(Image.open(BytesIO(data))))


def _jpegxl(effort: int) -> Peer:
    return Peer(
        f"JPEG XL effort {effort}",
        lambda pixels: bytes(imagecodecs.jpegxl_encode(pixels, lossless=True, effort=effort)),
        imagecodecs.jpegxl_decode,
    )


def peers(efforts: Sequence[int]) -> list[Peer]:
    """noisepress first, then the classical codecs, all lossless."""
    webp = _pillow("WEBP", lossless=True, quality=100, method=6, exact=True)
    return [
        Peer("noisepress", lambda pixels: noisepress.encode(pixels), noisepress.decode),
        Peer("ardm alone", partial(noisepress.encode, fallback=False), noisepress.decode),
        Peer("PNG", _pillow("PNG", optimize=True).encode, _pillow("PNG").decode),
        Peer("WebP", webp.encode, webp.decode),
        Peer(
            "JPEG 2000",
            lambda pixels: bytes(imagecodecs.jpeg2k_encode(pixels, reversible=True)),
            imagecodecs.jpeg2k_decode,
        ),
        *(_jpegxl(effort) for effort in efforts),
    ]


def measure(pixels: Pixels, name: str, peer: Peer) -> Measurement:
    """Encode, decode, compare.

    Raises:
        ValueError: the codec did not return the same pixels.
    """
    start = time.perf_counter()
    data = peer.encode(pixels)
    middle = time.perf_counter()
    restored = peer.decode(data)
    end = time.perf_counter()
    if not np.array_equal(restored, pixels):
        raise ValueError(f"{peer.name} did not return the pixels of {name}")
    bits = 8 * len(data) / pixels.size
    return Measurement(name, peer.name, len(data), bits, middle - start, end - middle)


def summary(rows: Sequence[Measurement], reference: str) -> list[dict[str, Any]]:
    """Means over the images for each codec, times also as ratios to the reference's."""
    by_codec: dict[str, list[Measurement]] = {}
    for row in rows:
        by_codec.setdefault(row.codec, []).append(row)
    base = {what: fmean(getattr(r, what) for r in by_codec[reference]) for what in _TIMES}
    table = []
    for codec, mine in by_codec.items():
        entry: dict[str, Any] = {
            "codec": codec,
            "images": len(mine),
            "bytes": sum(r.size for r in mine),
            "mean bits per sub-pixel": round(fmean(r.bits for r in mine), 4),
        }
        for what in _TIMES:
            mean = fmean(getattr(r, what) for r in mine)
            entry[what] = round(mean, 4)
            entry[f"{what} / {reference}"] = round(mean / base[what], 3)
        table.append(entry)
    return table


_TIMES = ("encode_s", "decode_s")


def machine() -> Mapping[str, str | int]:
    """What the numbers were measured on."""
    return {
        "processor": platform.machine(),
        "cores": os.cpu_count() or 0,
        "python": platform.python_version(),
        "peak memory MiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


def print_table(table: Sequence[Mapping[str, Any]]) -> None:
    """A Markdown table."""
    columns = list(table[0])
    print("| " + " | ".join(columns) + " |")
    print("|" + " --- |" * len(columns))
    for entry in table:
        print("| " + " | ".join(str(entry[column]) for column in columns) + " |")


def write_report(path: str | None, report: Mapping[str, Any]) -> None:
    """Print the table of a report and write the whole as JSON."""
    print_table(report["summary"])
    if path:
        Path(path).write_text(json.dumps(report, indent=1) + "\n")


def main() -> None:
    """Measure all images of a folder."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("folder", type=Path)
    parser.add_argument("-o", "--output", help="JSON file of all measurements")
    parser.add_argument("--efforts", default="7,9", help="of JPEG XL, comma-separated")
    args = parser.parse_args()
    codecs = peers([int(effort) for effort in args.efforts.split(",")])
    rows: list[Measurement] = []
    estimated: list[float] = []
    for path in sorted(args.folder.glob("*.png")):
        pixels = np.asarray(Image.open(path).convert("RGB"))
        rows += [measure(pixels, path.name, peer) for peer in codecs]
        estimated.append(noisepress.estimate(pixels) / pixels.size)
        done = {row.codec: round(row.bits, 4) for row in rows[-len(codecs) :]}
        print(path.name, done, flush=True)
    report = {
        "summary": summary(rows, "WebP"),
        "ardm alone, estimated bits per sub-pixel": fmean(estimated),
        "machine": machine(),
        "measurements": [asdict(row) for row in rows],
    }
    write_report(args.output, report)


if __name__ == "__main__":
    main()
