"""Training data: random crops of downscaled photographs, cached as one uint8 array.

Photographs stored as JPEG are downscaled by a random factor before cropping, so that
compression artefacts vanish and the crops hold the statistics of clean images. Every factor
gives as many crops, so that sharp images count as much as smooth ones. Downscaling takes away
two things that photographs come with, which some crops get back: grain, and colour at half the
resolution, as JPEG, video and scanners store it.
"""

from __future__ import annotations

import csv
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from ..bitstream.atomic import atomic_writer

Crops = NDArray[np.uint8]
"""Crops (n, size, size, 3) of 0 to 255, or one of them (size, size, 3)."""

_FILTERS = (
    Image.Resampling.BOX,
    Image.Resampling.HAMMING,
    Image.Resampling.BICUBIC,
    Image.Resampling.LANCZOS,
)
_GRAINY = 1 / 3  # of the rescaled photographs
_SUBSAMPLED = 1 / 3
_MARGIN = 8  # pixels that subsampling may cost
_ENLARGERS = (Image.Resampling.BOX, Image.Resampling.BILINEAR, Image.Resampling.BICUBIC)
_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff")


@dataclass(frozen=True)
class CropSpec:
    """How crops are cut.

    Attributes:
        size: side of a square crop in pixels.
        scale: range of the downscaling factor, applied to whole photographs.
        passes: how often each photograph is rescaled and cut.
        crops: how many crops one pass cuts.
        grain: largest standard deviation of the grain, in levels.
        subsampling: True halves the resolution of some photographs' colour.
    """

    size: int
    scale: tuple[float, float]
    passes: int
    crops: int
    grain: float = 0.0
    subsampling: bool = False


def is_validation(name: str) -> bool:
    """True for the photographs (one in twelve, by a hash of the name) kept out of training."""
    return zlib.crc32(name.encode()) % 12 == 0


def photographs(folder: Path) -> list[Path]:
    """The image files of `folder`, sorted by name.

    Raises:
        FileNotFoundError: the folder holds no image.
    """
    files = sorted(p for p in folder.iterdir() if p.suffix.lower() in _SUFFIXES)
    if not files:
        raise FileNotFoundError(f"{folder}: no image files ({', '.join(_SUFFIXES)})")
    return files


def prescale(folder: Path) -> dict[str, int]:
    """File name to the factor by which it was already downscaled (MANIFEST.csv, default 1)."""
    manifest = folder / "MANIFEST.csv"
    if not manifest.exists():
        return {}
    with manifest.open(newline="") as file:
        return {row["file"]: int(row["prescaled"]) for row in csv.DictReader(file)}


def _grain(image: Crops, deviation: float, rng: np.random.Generator) -> Crops:
    """Add noise that is coarser than a pixel or finer, partly shared by the colours.

    Args:
        image: (h, w, 3).
        deviation: of the noise before it is resampled, in levels.
    """
    height, width = image.shape[:2]
    coarse = float(rng.uniform(0.7, 1.5))
    field = rng.normal(0, deviation, (4, int(height / coarse) + 1, int(width / coarse) + 1))
    planes = [
        np.asarray(Image.fromarray(plane).resize((width, height), Image.Resampling.BICUBIC))
        for plane in field.astype(np.float32)
    ]
    noise = np.stack([planes[0] + rng.uniform(0, 1) * planes[i] for i in (1, 2, 3)], -1)
    noisy: Crops = np.clip(np.rint(image + noise), 0, 255).astype(np.uint8)
    return noisy


def _subsample_colour(image: Crops, rng: np.random.Generator) -> Crops:
    """Halve the resolution of the colour differences and enlarge them again (4:2:0).

    A sample of colour lies between four pixels, as in JPEG, or on one of them, as in video.

    Args:
        image: (h, w, 3).

    Returns:
        The image without its outermost pixels, at most `_MARGIN` fewer each way.
    """
    shift = (0.0, 0.5)[rng.integers(2)]
    enlarger = _ENLARGERS[rng.integers(len(_ENLARGERS))]
    height, width = image.shape[:2]
    across, down = width // 2 - 2, height // 2 - 2  # samples of colour
    covered = (2 - shift, 2 - shift, 2 - shift + 2 * across, 2 - shift + 2 * down)
    kept = (shift / 2, shift / 2, shift / 2 + across - 1, shift / 2 + down - 1)
    inner = (2 * across - 2, 2 * down - 2)
    brightness, *differences = Image.fromarray(image).convert("YCbCr").split()
    planes = [brightness.crop((2, 2, 2 + inner[0], 2 + inner[1]))]
    for plane in differences:
        half = plane.resize((across, down), Image.Resampling.BOX, covered)
        planes.append(half.resize(inner, enlarger, kept))
    return np.asarray(Image.merge("YCbCr", planes).convert("RGB"))


def cut(path: Path, already: int, spec: CropSpec, seed: int) -> Iterator[Crops]:
    """Rescale one photograph at random and yield crops of shape (size, size, 3)."""
    rng = np.random.default_rng([seed, zlib.crc32(path.name.encode())])
    with Image.open(path) as opened:
        photo = opened.convert("RGB")
    low, high = (max(1.25, bound / already) for bound in spec.scale)
    for _ in range(spec.passes):
        factor = float(np.exp(rng.uniform(np.log(low), np.log(high))))
        width, height = (max(spec.size + _MARGIN, round(side / factor)) for side in photo.size)
        resample = _FILTERS[rng.integers(len(_FILTERS))]
        small = np.asarray(photo.resize((width, height), resample))
        if rng.random() < _GRAINY:
            small = _grain(small, rng.uniform(0, spec.grain), rng)
        if spec.subsampling and rng.random() < _SUBSAMPLED:
            small = _subsample_colour(small, rng)
        for _ in range(spec.crops):
            top = rng.integers(small.shape[0] - spec.size + 1)
            left = rng.integers(small.shape[1] - spec.size + 1)
            yield small[top : top + spec.size, left : left + spec.size]


def cache(folder: Path, out: Path, spec: CropSpec, *, validation: bool, seed: int = 0) -> Crops:
    """Crops of the training (or validation) photographs, shape (n, size, size, 3), shuffled.

    The array is written to `out` once and memory-mapped afterwards.

    Raises:
        FileNotFoundError: no photograph is for training, or none for validation.
    """
    if not out.exists():
        known = prescale(folder)
        files = [p for p in photographs(folder) if is_validation(p.name) == validation]
        if not files:
            raise FileNotFoundError(f"{folder}: too few photographs to hold some out")
        crops = np.stack(
            [
                crop
                for path in tqdm(files, desc="crops", unit="photo")
                for crop in cut(path, known.get(path.name, 1), spec, seed)
            ]
        )
        np.random.default_rng(seed).shuffle(crops)
        out.parent.mkdir(parents=True, exist_ok=True)
        with atomic_writer(out) as file:
            np.save(file, crops)
    cached: Crops = np.load(out, mmap_mode="r")
    return cached


def batches(crops: Crops, size: int, rng: np.random.Generator) -> Iterator[Crops]:
    """Endless random batches (size, 3, h, w) with random flips and transpositions."""
    while True:
        chosen = crops[np.sort(rng.choice(len(crops), size, replace=False))]
        batch = chosen.transpose(0, 3, 1, 2)
        if rng.random() < 0.5:
            batch = batch[..., ::-1]
        if rng.random() < 0.5:
            batch = batch[..., ::-1, :]
        if rng.random() < 0.5:
            batch = batch.swapaxes(2, 3)
        yield np.ascontiguousarray(batch)
