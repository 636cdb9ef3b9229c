"""The main job on a bundled photograph: `noisepress demo`."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from importlib.resources import files
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..bitstream.errors import NoisepressError
from .api import decode, decode_progressive, encode, inspect

PHOTO = "demo.png"
_BEST: Mapping[str, Mapping[str, int]] = {
    "PNG": {"optimize": True},
    "WEBP": {"lossless": True, "quality": 100, "method": 6},
}


class DemoError(NoisepressError):
    """The demonstration's files cannot be written."""


def run(folder: Path | None) -> Iterator[str]:
    """Encode, decode and compare, yielding a line after each part.

    Args:
        folder: receives the photograph, the .nzp file and the previews, if given.

    Raises:
        DemoError: the folder cannot be written.
    """
    original = files(__package__).joinpath(PHOTO).read_bytes()
    photo = np.asarray(Image.open(BytesIO(original)))
    yield f"photo     {photo.shape[1]} x {photo.shape[0]} RGB, {photo.size} bytes of pixels"
    start = time.perf_counter()
    data = encode(photo, "ardm")
    encoded = time.perf_counter()
    pixels = decode(data)
    decoded = time.perf_counter()
    same = "identical pixels" if np.array_equal(photo, pixels) else "DIFFERENT PIXELS"
    info = inspect(data)
    sizes = {"PNG": _size(photo, "PNG"), "WebP": _size(photo, "WEBP"), "noisepress": len(data)}
    for name, size in sizes.items():
        yield f"{name:<11} {size:>8} bytes  {8 * size / photo.size:.3f} bits per sample"
    model = info.parameters.get("model", "none")
    yield f"coder     {info.codec}, model {model}"
    yield f"encode    {encoded - start:.1f} s with its check, decode {decoded - encoded:.1f} s"
    yield f"result    {same}"
    if folder is not None:
        yield from _keep(folder, original, data)


def _size(photo: NDArray[np.uint8], kind: str) -> int:
    out = BytesIO()
    Image.fromarray(photo).save(out, kind, **_BEST[kind])
    return len(out.getvalue())


def _keep(folder: Path, original: bytes, data: bytes) -> Iterator[str]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / PHOTO).write_bytes(original)
        (folder / "demo.nzp").write_bytes(data)
        for step, preview in enumerate(decode_progressive(data)):
            Image.fromarray(preview).save(folder / f"preview-{step}.png")
    except OSError as error:
        raise DemoError(f"{folder}: {error.strerror}") from error
    yield f"files     {folder}"
