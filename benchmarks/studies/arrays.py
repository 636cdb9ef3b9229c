"""Chunks of scientific images: bytes and times of noisepress and of other codecs of numcodecs.

    python -m noisepress.benchmarks.studies.arrays FILE... -o OUT.json

takes image files, and .npz files whose first array is a stack (z, y, x). Of each, the middle of at
most 16 images of 512 x 512 pixels is coded in chunks of one image of at most 256 x 256 pixels, and
decoded again. An interrupted run continues where it stopped.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...bitstream.errors import CorruptError
from ...codec.image.raster import to_array
from ...codec.image.read import open_image
from ..report.markdown import table as markdown
from .points import arguments, measure_missing, middle, read

SIDE, IMAGES, CHUNK = 512, 16, 256
CODECS = (
    "noisepress",
    "noisepress, effort 0",
    "JPEG XL, effort 9",
    "JPEG XL, effort 7",
    "PNG",
    "Blosc-zstd",
)
"""All lossless. The second is of 8 bits only."""


def coder(name: str) -> Any:
    """A codec of numcodecs by its name in `CODECS`."""
    from imagecodecs.numcodecs import Jpegxl, Png
    from numcodecs import Blosc

    from ...numcodecs import Noisepress

    made: Mapping[str, Callable[[], Any]] = {
        "noisepress": Noisepress,
        "noisepress, effort 0": lambda: Noisepress(effort=0),
        "JPEG XL, effort 9": lambda: Jpegxl(effort=9),
        "JPEG XL, effort 7": lambda: Jpegxl(effort=7),
        "PNG": Png,
        "Blosc-zstd": lambda: Blosc("zstd", clevel=9, shuffle=Blosc.BITSHUFFLE),
    }
    return made[name]()


@dataclass(frozen=True)
class Chunks:
    """What a codec makes of the chunks of an array.

    Attributes:
        array: file name.
        layout: shape and dtype of what was coded.
        codec: one of `CODECS`.
        raw, bytes: of the samples, and of all coded chunks.
        encode, decode: seconds for all chunks, one after the other.
    """

    array: str
    layout: str
    codec: str
    raw: int
    bytes: int
    encode: float
    decode: float

    @property
    def job(self) -> tuple[str, str]:
        return self.array, self.codec


def load(path: Path) -> NDArray[Any]:
    """The middle of a file's images: (n, h, w) or (n, h, w, c)."""
    if path.suffix == ".npz":
        with np.load(path) as arrays:
            stack: NDArray[Any] = next(iter(arrays.values()))
    else:
        stack = to_array(open_image(path))[np.newaxis]
    first = max(0, (len(stack) - IMAGES) // 2)
    return np.stack([middle(image, SIDE, SIDE) for image in stack[first : first + IMAGES]])


def chunks(stack: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """(h, w) or (h, w, c) each."""
    for image in stack:
        corners = itertools.product(*(range(0, side, CHUNK) for side in image.shape[:2]))
        for top, left in corners:
            yield np.ascontiguousarray(image[top : top + CHUNK, left : left + CHUNK])


def measure(stack: NDArray[Any], name: str, codec: str) -> Chunks:
    """Code a stack (n, h, w) or (n, h, w, c), chunk by chunk.

    Raises:
        CorruptError: the codec gives back other samples.
    """
    made, parts = coder(codec), list(chunks(stack))
    started = perf_counter()
    coded = [made.encode(part) for part in parts]
    encoded = perf_counter()
    decoded = [made.decode(data) for data in coded]
    finished = perf_counter()
    for part, found in zip(parts, decoded, strict=True):
        if not np.array_equal(np.frombuffer(found, part.dtype), part.reshape(-1)):
            raise CorruptError(f"{codec} changes the samples of {name}")
    layout = f"{stack.dtype} {' x '.join(map(str, stack.shape))}"
    total = sum(len(data) for data in coded)
    times = encoded - started, finished - encoded
    return Chunks(name, layout, codec, stack.nbytes, total, *times)


def table(found: Sequence[Chunks]) -> str:
    """Bytes and seconds in Markdown."""
    return markdown(
        found,
        {
            "array": lambda one: f"{one.array}, {one.layout}",
            "codec": lambda one: one.codec,
            "bytes": lambda one: f"{one.bytes:,}",
            "of the samples": lambda one: f"{100 * one.bytes / one.raw:.1f} %",
            "encode, s": lambda one: f"{one.encode:.2f}",
            "decode, s": lambda one: f"{one.decode:.2f}",
        },
    )


def main() -> None:
    """Measure arrays."""
    args = arguments(__doc__).parse_args()
    stacks = {path.name: load(path) for path in args.photos}
    jobs = [
        (name, codec)
        for name, stack in stacks.items()
        for codec in CODECS
        if stack.itemsize == 1 or codec != "noisepress, effort 0"
    ]
    measure_missing(
        args.output, Chunks, lambda name, codec: measure(stacks[name], name, codec), jobs
    )
    print(table(read(args.output, Chunks)))


if __name__ == "__main__":
    main()
