"""Stacks: bytes and times of noisepress and of codecs of images, arrays and video.

    python -m noisepress.benchmarks.studies.stacks FILE.npz... -o OUT.json

takes .npz files whose first array is (n, h, w) or (n, h, w, 3), and the names `ct` and `microscopy`
of simulated series of 16 bits. All is coded without loss and decoded again. The codecs of video
need the package av, whose build tells which of them there are. An interrupted run continues where
it stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from time import process_time
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from ...bitstream.errors import CorruptError
from ...codec.api import decode, encode
from ...codec.stack import Stack, encode_stack
from ..report.markdown import table as markdown
from .points import arguments, measure_missing, read

GROUP = 32
"""Frames of a group unless asked for more."""
Stacked = NDArray[Any]
"""(n, h, w) or (n, h, w, 3)."""


@dataclass(frozen=True)
class Result:
    """What a codec makes of a stack.

    Attributes:
        stack: name.
        layout: shape and dtype.
        codec: one of `CODECS`.
        raw, bytes: of the samples, and of what is coded.
        encode, decode: seconds of processor time; encoders of noisepress also decode.
    """

    stack: str
    layout: str
    codec: str
    raw: int
    bytes: int
    encode: float
    decode: float

    @property
    def job(self) -> tuple[str, str]:
        return self.stack, self.codec


@dataclass(frozen=True)
class Codec:
    """A codec of stacks.

    Attributes:
        encode: a stack to parts, whose sizes count.
        decode: the parts, and the shape and dtype, to a stack.
        takes: whether it has a stack's samples.
    """

    encode: Callable[[Stacked], Sequence[bytes]]
    decode: Callable[[Sequence[bytes]], Any]
    takes: Callable[[Stacked], bool] = lambda stack: True


def _each(
    encode_one: Callable[[Any], Any],
    decode_one: Callable[[bytes], Any],
    takes: Callable[[Stacked], bool] = lambda stack: True,
) -> Codec:
    """A codec of images, frame by frame."""
    return Codec(
        lambda stack: [bytes(encode_one(np.ascontiguousarray(frame))) for frame in stack],
        lambda parts: np.stack([decode_one(part) for part in parts]),
        takes,
    )


def _webp(frame: NDArray[np.uint8]) -> bytes:
    colour = frame if frame.ndim == 3 else np.repeat(frame[..., None], 3, 2)
    return bytes(imagecodecs.webp_encode(colour, level=75, lossless=True, method=4))


def _video(name: str, formats: Mapping[str, str], options: Mapping[str, str]) -> Codec:
    """A codec of video, in the container NUT.

    Args:
        formats: of pixels, by what `_kind` gives.
    """

    def encode_video(stack: Stacked) -> list[bytes]:
        import av

        out = BytesIO()
        with av.open(out, "w", "nut") as container:
            stream = container.add_stream(name, rate=25, options=dict(options))
            stream.height, stream.width = stack.shape[1:3]
            stream.pix_fmt = formats[_kind(stack)]
            stream.gop_size = len(stack)
            stream.thread_count = 1
            for frame in stack:
                picture = av.VideoFrame.from_ndarray(frame, _PLAIN[_kind(stack)])
                container.mux(stream.encode(picture.reformat(format=stream.pix_fmt)))
            container.mux(stream.encode())
        return [out.getvalue()]

    def decode_video(parts: Sequence[bytes]) -> list[Any]:
        import av

        with av.open(BytesIO(parts[0])) as container:
            (stream,) = container.streams
            stream.thread_count = 1
            is_grey = stream.pix_fmt.startswith("gray")
            plain = stream.pix_fmt if is_grey else _PLAIN["colour"]
            return [
                picture.reformat(format=plain).to_ndarray() for picture in container.decode(stream)
            ]

    return Codec(encode_video, decode_video, lambda stack: _kind(stack) in formats)


_PLAIN = {"grey": "gray", "colour": "rgb24", "deep": "gray16le"}


def _kind(stack: Stacked) -> str:
    if stack.itemsize == 2:
        return "deep"
    return "colour" if stack.ndim == 4 else "grey"


def _is_8_bit(stack: Stacked) -> bool:
    return stack.itemsize == 1


def _blosc(stack: Stacked) -> list[bytes]:
    data = np.ascontiguousarray(stack).tobytes()
    coded = imagecodecs.blosc_encode(
        data, level=9, compressor="zstd", shuffle="bitshuffle", typesize=stack.itemsize
    )
    return [bytes(coded)]


CODECS: Mapping[str, Codec] = {
    "JPEG XL, effort 9, frame by frame": _each(
        lambda frame: imagecodecs.jpegxl_encode(frame, effort=9, lossless=True, numthreads=1),
        imagecodecs.jpegxl_decode,
    ),
    "JPEG XL, effort 7, frame by frame": _each(
        lambda frame: imagecodecs.jpegxl_encode(frame, effort=7, lossless=True, numthreads=1),
        imagecodecs.jpegxl_decode,
    ),
    "JPEG 2000, frame by frame": _each(
        lambda frame: imagecodecs.jpeg2k_encode(frame, reversible=True),
        imagecodecs.jpeg2k_decode,
    ),
    "WebP, frame by frame": _each(_webp, imagecodecs.webp_decode, _is_8_bit),
    "Blosc-zstd": Codec(_blosc, lambda parts: imagecodecs.blosc_decode(parts[0])),
    "FFV1": _video(
        "ffv1",
        {"grey": "gray", "colour": "bgr0", "deep": "gray16le"},
        {"level": "3", "coder": "1", "context": "1", "slices": "4"},
    ),
    "x265, lossless": _video(
        "libx265",
        {"colour": "gbrp"},
        {"preset": "veryslow", "x265-params": "lossless=1:pools=1:frame-threads=1:log-level=error"},
    ),
    "x264, lossless": _video("libx264rgb", {"colour": "rgb24"}, {"preset": "veryslow", "qp": "0"}),
    "VP9, lossless": _video(
        "libvpx-vp9",
        {"colour": "gbrp"},
        {"lossless": "1", "deadline": "good", "cpu-used": "1", "lag-in-frames": "16"},
    ),
    "noisepress, a stack": Codec(
        lambda stack: [encode_stack(stack)], lambda parts: Stack(parts[0])[:]
    ),
    "noisepress, frame by frame": _each(encode, decode),
    "noisepress, one group": Codec(
        lambda stack: [encode_stack(stack, group=len(stack))],
        lambda parts: Stack(parts[0])[:],
        lambda stack: len(stack) > GROUP,
    ),
}
"""All lossless. No build of av at hand has an AV1 encoder for RGB."""


def ct(slices: int = 16, side: int = 192) -> NDArray[np.uint16]:
    """Slices of a phantom as a scanner sees them: Poisson noise of rays, filtered back projection.

    In Hounsfield units above -1024, as scanners store them; slices are about as thick as pixels are
    wide.
    """
    from skimage import data, transform

    rng = np.random.default_rng(1)
    phantom = transform.resize(data.shepp_logan_phantom(), (side, side), anti_aliasing=True)
    angles = np.linspace(0, 180, 360, endpoint=False)
    out = []
    for place in range(slices):
        zoom = transform.AffineTransform(scale=1 + 0.004 * place, translation=(-0.4 * place, 0))
        shape = transform.warp(phantom, zoom)
        rays = transform.radon(shape, angles, circle=False) * (4 / side)
        counted = np.maximum(rng.poisson(1e5 * np.exp(-rays)), 1)
        found = transform.iradon(-np.log(counted / 1e5) * (side / 4), angles, circle=False)
        found = found[: side * 2, : side * 2]
        out.append(np.clip(np.rint(1024 + 1000 * (4 * found - 1)), 0, 4095))
    stack: NDArray[np.uint16] = np.stack(out).astype(np.uint16)
    return stack


def microscopy(frames: int = 24, side: int = 256) -> NDArray[np.uint16]:
    """A time series of fluorescence: cells that drift and bleach, photon and read noise.

    The cells are those of scikit-image's `cell`.
    """
    from scipy import ndimage
    from skimage import data

    rng = np.random.default_rng(2)
    cell = ndimage.gaussian_filter(data.cell().astype(np.float64), 1.0)
    cell = (cell - cell.min()) / np.ptp(cell)
    out = []
    for frame in range(frames):
        seen = ndimage.shift(cell, (0.7 * frame, -0.4 * frame), mode="reflect")
        photons = 20 + 900 * 0.98**frame * seen[150 : 150 + side, 150 : 150 + side]
        counts = rng.poisson(photons) + rng.normal(0, 1.6, photons.shape)
        out.append(np.clip(np.rint(100 + 2.2 * counts), 0, 65535))
    stack: NDArray[np.uint16] = np.stack(out).astype(np.uint16)
    return stack


def load(path: Path) -> Stacked:
    """A stack of a file, or a simulated one."""
    simulated: Mapping[str, Callable[[], NDArray[np.uint16]]] = {
        "ct": ct,
        "microscopy": microscopy,
    }
    if path.name in simulated:
        return simulated[path.name]()
    with np.load(path) as arrays:
        stack: Stacked = next(iter(arrays.values()))
    return stack


def measure(stack: Stacked, name: str, codec: str) -> Result:
    """Code a stack, and decode it again.

    Raises:
        CorruptError: the codec gives back other samples.
    """
    made = CODECS[codec]
    started = process_time()
    parts = made.encode(stack)
    encoded = process_time()
    found = made.decode(parts)
    finished = process_time()
    if not _same(found, stack):
        raise CorruptError(f"{codec} changes the samples of {name}")
    layout = f"{stack.dtype} {' x '.join(map(str, stack.shape))}"
    size = sum(map(len, parts))
    return Result(name, layout, codec, stack.nbytes, size, encoded - started, finished - encoded)


def _same(found: Any, stack: Stacked) -> bool:
    if isinstance(found, bytes):
        return found == stack.tobytes()
    out = np.stack(found)
    if out.ndim == 4 and stack.ndim == 3:  # WebP has no grey
        out = out[..., 0]
    return np.array_equal(out, stack)


def table(found: Sequence[Result]) -> str:
    """Bytes and seconds in Markdown, of each stack the fewest bytes first."""
    first = list(dict.fromkeys(one.stack for one in found))
    return markdown(
        sorted(found, key=lambda one: (first.index(one.stack), one.bytes)),
        {
            "stack": lambda one: f"{one.stack}, {one.layout}",
            "codec": lambda one: one.codec,
            "bytes": lambda one: f"{one.bytes:,}",
            "of the samples": lambda one: f"{100 * one.bytes / one.raw:.1f} %",
            "encode, s": lambda one: f"{one.encode:.1f}",
            "decode, s": lambda one: f"{one.decode:.1f}",
        },
    )


def main() -> None:
    """Measure stacks."""
    args = arguments(__doc__).parse_args()
    stacks = {path.stem: load(path) for path in args.photos}
    jobs: Iterable[tuple[str, str]] = [
        (name, codec)
        for codec, made in CODECS.items()
        for name, stack in stacks.items()
        if made.takes(stack)
    ]
    measure_missing(
        args.output, Result, lambda name, codec: measure(stacks[name], name, codec), jobs
    )
    print(table(read(args.output, Result)))


if __name__ == "__main__":
    main()
