"""What the studies share: points that are measured one by one and kept in a JSON file."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol, TypeVar, TypeVarTuple

import numpy as np
from tqdm import tqdm

from ...bitstream.atomic import write_atomically
from ...codec.image.raster import Samples


class Point(Protocol):
    """One measurement: a flat dataclass."""

    @property
    def job(self) -> tuple[object, ...]:
        """What was measured; no other point of the file has the same."""
        ...


PointT = TypeVar("PointT", bound=Point)
Job = TypeVarTuple("Job")


def arguments(doc: str | None) -> argparse.ArgumentParser:
    """The command line of a study with this docstring: photographs and the JSON file."""
    parser = argparse.ArgumentParser(description=(doc or "").partition("\n")[0])
    parser.add_argument("photos", type=Path, nargs="+", metavar="PHOTO")
    parser.add_argument("-o", "--output", type=Path, required=True, help="JSON file")
    return parser


def read(path: Path, kind: Callable[..., PointT]) -> list[PointT]:
    """Read what `write` wrote, as points of a dataclass."""
    return [kind(**entry) for entry in json.loads(path.read_text())]


def write(points: Iterable[Point], path: Path) -> None:
    """Write as JSON, a point a line."""
    lines = ",\n".join(json.dumps(vars(point)) for point in points)
    write_atomically(path, f"[\n{lines}\n]\n".encode())


def middle(samples: Samples, height: int, width: int) -> Samples:
    """The middle of an image (h, w, c), at most so many rows and columns."""
    top, left = (
        max(0, (side - most) // 2)
        for side, most in zip(samples.shape, (height, width), strict=False)
    )
    return np.ascontiguousarray(samples[top : top + height, left : left + width])


def measure_missing(
    path: Path,
    kind: Callable[..., PointT],
    measure: Callable[[*Job], PointT],
    jobs: Iterable[tuple[*Job]],
) -> None:
    """Measure the jobs that a file has no point for, and write the file after each."""
    points = read(path, kind) if path.exists() else []
    done = {point.job for point in points}
    for job in tqdm([job for job in jobs if job not in done], unit="point"):
        points.append(measure(*job))
        write(points, path)
