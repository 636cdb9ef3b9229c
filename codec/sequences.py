"""Files of several frames as stacks, and stacks as such files."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image, ImageFile

from ..bitstream.errors import LossWarning, UnsupportedImageError, warn
from .about import NOTHING, About, Animation
from .image import png
from .image.pillow import load, open_checked
from .image.raster import MAX_PIXELS, check_size, from_array, to_array
from .image.read import library_errors, open_image
from .image.write import save_image
from .stack import Stack

Frame = NDArray[Any]
"""(h, w) or (h, w, c)."""

_TIFF = (".tif", ".tiff")
_NPY = ".npy"
_ANIMATED = ("GIF", "WEBP", "PNG")
_SHOWN = 100.0
"""Milliseconds for which a frame of no animation is shown in an APNG."""
_APNG_MOST = 2**16 - 1
"""Largest numerator and denominator of a duration."""


@dataclass(frozen=True)
class FrameFile:
    """The frames of a file, or of several files of an image each.

    Attributes:
        count: how many there are.
        each: gives them in order, each when it is its turn.
        about: what the file tells beside the samples.
    """

    count: int
    each: Callable[[], Iterable[Frame]]
    about: About = NOTHING


def open_frames(path: Path) -> FrameFile | None:
    """The frames of a file that has several; None for one that is read as an image.

    TIFF and OME-TIFF (grey or RGB with straight opacity of 1, 8 and 16 bits), animated GIF, WebP
    and PNG (as they are shown, with durations and how often they are shown), and .npy files of
    arrays (n, h, w) or (n, h, w, c).

    Raises:
        UnsupportedImageError: the file is damaged, or its frames would not be kept exactly.
        OSError: the file cannot be read.
    """
    suffix = path.suffix.lower()
    with library_errors("read"):
        if suffix == _NPY:
            array = np.load(path, mmap_mode="r")
            return FrameFile(len(array), lambda: array)
        if suffix in _TIFF:
            return _open_tiff(path)
        if suffix in (".gif", ".webp", ".png", ".apng"):
            return _open_animation(path)
    return None


def open_files(paths: Sequence[Path]) -> FrameFile:
    """The frames that files have, which are images, in the order of the paths."""
    return FrameFile(len(paths), lambda: (to_array(open_image(path)) for path in paths))


def by_number(path: Path) -> list[tuple[int, int | str]]:
    """A key that sorts names by the numbers in them: frame2 before frame10."""
    parts = re.split(r"(\d+)", path.name)
    return [(1, int(part)) if part.isdigit() else (0, part) for part in parts]


def _open_tiff(path: Path) -> FrameFile | None:
    with suppress(tifffile.TiffFileError), tifffile.TiffFile(path) as file:
        full = [one for one in file.series if not one.keyframe.is_reduced]
        if sum(len(one) for one in full) < 2 and sum(_planes(one) for one in full) < 2:
            return None
        if len(full) > 1:
            raise UnsupportedImageError(
                f"TIFF with images of {len(full)} kinds in its pages: choose a page (--page)"
            )
        _check_tiff(full[0].keyframe)
        about = About(description=file.ome_metadata or "")
        return FrameFile(_planes(full[0]), lambda: _tiff_frames(path), about)
    return None


def _planes(series: Any) -> int:
    """Frames of a series."""
    return int(np.prod(series.shape)) // max(1, int(np.prod(series.keyframe.shape)))


def _check_tiff(page: Any) -> None:
    """Check that the samples of a page are those that the array has.

    Raises:
        UnsupportedImageError: they are not.
    """
    grey, colour = page.photometric == 1, page.photometric == 2
    channels = page.samplesperpixel
    further = channels - (3 if colour else 1)
    kind = f"{page.dtype}, {getattr(page.photometric, 'name', page.photometric).lower()}"
    if not (grey or colour) or further not in (0, 1) or page.dtype not in ("bool", "u1", "u2"):
        raise UnsupportedImageError(
            f"TIFF of {kind} with {channels} samples a pixel: grey and RGB with opacity of uint8, "
            "uint16 and bool are supported"
        )
    if further and tuple(page.extrasamples) != (2,):
        raise UnsupportedImageError("TIFF with bands beside colour, straight alpha is supported")
    if page.tags.get("Orientation") and page.tags["Orientation"].value != 1:
        raise UnsupportedImageError("TIFF with pages that are turned, upright ones are supported")


def _tiff_frames(path: Path) -> Iterator[Frame]:
    with tifffile.TiffFile(path) as file:
        series = next(one for one in file.series if not one.keyframe.is_reduced)
        if len(series.pages) == _planes(series):
            frames: Iterable[Any] = (page.asarray() if page else None for page in series.pages)
        else:  # ImageJ has one page for frames that follow each other in the file
            frames = series.asarray(out="memmap").reshape(-1, *series.keyframe.shape)
        planar = series.keyframe.planarconfig == 2 and series.keyframe.samplesperpixel > 1
        for number, frame in enumerate(frames):
            if frame is None:
                raise UnsupportedImageError(f"the TIFF file lacks frame {number}")
            yield np.moveaxis(frame, 0, -1) if planar else frame


def _open_animation(path: Path) -> FrameFile | None:
    data = path.read_bytes()
    image = open_checked(data, _ANIMATED)
    check_size(*image.size, MAX_PIXELS)
    numbers = range(getattr(image, "n_frames", 1))
    if image.info.get("default_image"):  # a picture for programs that show no animations
        numbers = numbers[1:]
    if len(numbers) < 2:
        return None
    if image.format == "PNG" and data[24] == 16:
        raise UnsupportedImageError("animated PNG of 16 bits, 8 bits are supported")
    durations, opaque, grey = [], True, True
    for shown in _shown(image, numbers):
        pixels = np.asarray(shown.convert("RGBA"))
        durations.append(float(shown.info.get("duration", 0)))
        opaque &= bool((pixels[..., 3] == 255).all())
        grey &= bool((pixels[..., :1] == pixels[..., 1:3]).all())
    mode = ("L" if grey else "RGB") + ("" if opaque else "A")
    animation = Animation(tuple(durations), _plays(image))

    def frames() -> Iterator[Frame]:
        for shown in _shown(open_checked(data, _ANIMATED), numbers):
            yield np.asarray(shown.convert("RGBA").convert(mode))

    return FrameFile(len(numbers), frames, About(animation))


def _shown(image: ImageFile.ImageFile, numbers: Iterable[int]) -> Iterator[Image.Image]:
    """The frames of an animation as they are shown."""
    for number in numbers:
        image.seek(number)
        load(image)
        yield image


def _plays(image: Image.Image) -> int:
    """How often an animation is shown; 0: for ever."""
    loops = image.info.get("loop")
    if image.format != "GIF":
        return int(loops or 0)
    return 1 if loops is None else int(loops) + 1 if loops else 0  # GIF counts repetitions


def write_frames(stack: Stack, suffix: str, file: BinaryIO) -> None:
    """Write a stack as a file of several frames, frame by frame.

    A `LossWarning` says what the format does not keep of what the stack tells.

    Args:
        suffix: ".tif" or ".tiff" (keeps the description), ".png" or ".apng" (an animated PNG; keeps
            durations), or ".npy".

    Raises:
        UnsupportedImageError: the format is not one of these.
        NoisepressError: see `Stack`.
    """
    writer = _WRITERS.get(suffix.lower())
    if writer is None:
        raise UnsupportedImageError(
            f"cannot write a stack as {suffix or 'a file without suffix'}: "
            f"{', '.join(_WRITERS)} are supported"
        )
    lost = [name for name in ("animation", "description") if getattr(stack.about, name)]
    lost = [_WORDS[name] for name in lost if name not in writer.keeps]
    if lost:
        warn(LossWarning, f"{suffix} does not keep {', '.join(lost)}")
    writer.write(stack, file)


def _write_npy(stack: Stack, file: BinaryIO) -> None:
    header = {"descr": stack.dtype.str, "fortran_order": False, "shape": stack.shape}
    write_header: Any = np.lib.format.write_array_header_1_0
    write_header(file, header)
    for frame in stack:
        file.write(frame.tobytes())


def _write_tiff(stack: Stack, file: BinaryIO) -> None:
    channels = stack.shape[3] if len(stack.shape) > 3 else 1
    text = stack.about.description
    samples = int(np.prod(stack.shape)) * stack.dtype.itemsize
    # What is not compressed by it may grow a little.
    with tifffile.TiffWriter(file, bigtiff=samples > 2**32 - 2**25) as writer:
        for number, frame in enumerate(stack):
            writer.write(
                frame,
                photometric="rgb" if channels > 2 else "minisblack",
                extrasamples=["unassalpha"] if channels in (2, 4) else None,
                planarconfig="contig" if channels > 1 else None,
                compression=None if stack.dtype == np.bool_ else "zlib",
                description=text if text and not number else None,
                metadata=None,
                software=False,
            )


def _write_apng(stack: Stack, file: BinaryIO) -> None:
    animation = stack.about.animation or Animation((_SHOWN,) * len(stack))
    file.write(png.SIGNATURE)
    number = 0
    for place, (frame, duration) in enumerate(zip(stack, animation.durations, strict=True)):
        chunks = list(_chunks(save_image(from_array(frame), ".png")))
        if not place:
            file.write(png.chunk(*chunks[0]))
            plays = len(stack).to_bytes(4) + min(animation.plays, 2**31 - 1).to_bytes(4)
            file.write(png.chunk(b"acTL", plays))
        seconds = Fraction(round(1000 * duration), 10**6).limit_denominator(1000)
        seconds = min(seconds, Fraction(_APNG_MOST))
        while seconds.numerator > _APNG_MOST:
            seconds = seconds.limit_denominator(seconds.denominator // 2)
        size = stack.shape[2].to_bytes(4) + stack.shape[1].to_bytes(4) + bytes(8)
        delay = seconds.numerator.to_bytes(2) + seconds.denominator.to_bytes(2) + bytes(2)
        file.write(png.chunk(b"fcTL", number.to_bytes(4) + size + delay))
        number += 1
        for kind, body in chunks:
            if kind != b"IDAT":
                continue
            if place:
                kind, body = b"fdAT", number.to_bytes(4) + body
                number += 1
            file.write(png.chunk(kind, body))
    file.write(png.chunk(b"IEND", b""))


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kinds and bodies of the chunks of a PNG file."""
    at = len(png.SIGNATURE)
    while at < len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4])
        yield data[at + 4 : at + 8], data[at + 8 : end - 4]
        at = end


@dataclass(frozen=True)
class _Writer:
    """How a format is written.

    Attributes:
        keeps: attributes of `About`.
    """

    write: Callable[[Stack, BinaryIO], None]
    keeps: tuple[str, ...] = ()


_WORDS = {"animation": "the durations of frames", "description": "the description"}
_WRITERS: Mapping[str, _Writer] = {
    ".tif": _Writer(_write_tiff, ("description",)),
    ".tiff": _Writer(_write_tiff, ("description",)),
    ".png": _Writer(_write_apng, ("animation",)),
    ".apng": _Writer(_write_apng, ("animation",)),
    _NPY: _Writer(_write_npy),
}
