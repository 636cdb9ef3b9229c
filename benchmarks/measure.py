"""One image through one codec: file size, times, memory, and quality."""

from __future__ import annotations

import hashlib
import re
import time
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import noisepress
from noisepress import Mode, Options, Raster
from noisepress.bitstream.atomic import write_atomically
from noisepress.codec.image.raster import to_array

from .codecs import Codec, codec_of, encode_pillow
from .images import Original, Pixels, as_rgb, rgba
from .results import (
    Measurement,
    Setting,
    coded_path,
    decoded_path,
    original_path,
)

_CLEAR = Path("/proc/self/clear_refs")
_STATUS = Path("/proc/self/status")
_RESET_PEAK = "5"


def load(path: Path) -> Pixels:
    """A file that Pillow reads, as uint8 (h, w, 3) of RGB: the rest is dropped."""
    with Image.open(path) as opened:
        return np.asarray(opened.convert("RGB"))


def peak_in(status: str) -> float | None:
    """The peak resident memory in MiB in the text of Linux's /proc/PID/status, if it has one."""
    found = re.search(r"^VmHWM:\s*(\d+) kB", status, re.MULTILINE)
    return int(found[1]) / 1024 if found else None


def measure(image: Path, setting: Setting, pictures: Path) -> Measurement:
    """Encode and decode an image.

    The codec first runs on a small picture, so that no time includes loading libraries and models.

    Args:
        image: any file that noisepress reads.
        pictures: folder for `STEM/original.png`, the decoded pictures of lossy codecs and the
            .nzp files.

    Returns:
        A result; or one whose `error` is the exception that was raised.
    """
    try:
        return _measure(image, setting, pictures)
    except Exception as error:  # a peer may raise anything, and the run continues
        text = " ".join(f"{type(error).__name__}: {error}".split())
        return Measurement(image.name, setting, error=text)


def _measure(image: Path, setting: Setting, pictures: Path) -> Measurement:
    codec = codec_of(setting)
    options = codec.complete(setting.options)
    original = Original.open(image)
    given: Any
    if codec.keeps_jpeg and original.is_jpeg:
        given = original.file
    elif codec.lossless:
        given = original.picture
    else:
        given = as_rgb(to_array(original.picture))
    with suppress(Exception):
        _warm(codec, options, given.mode if isinstance(given, Raster) else Mode.RGB8)
    known = _reset_peak()
    watch = [_now()]
    data = codec.encode(given, options)
    watch.append(_now())
    decoded = codec.decode(data)
    watch.append(_now())
    peak = peak_in(_STATUS.read_text()) if known else None
    lossless = _same(given, decoded)
    if codec.lossless and not lossless:
        raise ValueError("the decoded image differs, but the codec is declared lossless")
    quality: dict[str, float] = {}
    if not lossless:
        from .quality import compare

        quality = compare(given, decoded)
    original_path(pictures, image).parent.mkdir(parents=True, exist_ok=True)
    if original.raster is not None:
        _keep_original(original_path(pictures, image), as_rgb(to_array(original.raster)))
    if codec.ours:
        write_atomically(coded_path(pictures, image, setting), data)
    if not codec.lossless:
        _write_picture(decoded_path(pictures, image, setting), decoded)
    (start, start_cpu), (middle, middle_cpu), (end, end_cpu) = watch
    return Measurement(
        image=image.name,
        setting=setting,
        kind=original.kind,
        width=original.width,
        height=original.height,
        channels=original.channels if codec.lossless else 3,
        size=len(data),
        coder=noisepress.inspect(data).codec if codec.ours else "",
        digest=hashlib.sha256(data).hexdigest(),
        encode_s=middle - start,
        decode_s=end - middle,
        encode_cpu_s=middle_cpu - start_cpu,
        decode_cpu_s=end_cpu - middle_cpu,
        peak_mib=peak,
        lossless=lossless,
        quality=quality,
    )


def _same(given: Raster | Pixels | bytes, decoded: NDArray[Any] | bytes) -> bool:
    """Whether a codec gave back what it was given.

    Raises:
        ValueError: the decoded picture has another size, or no 8-bit RGB where that was given.
    """
    if isinstance(given, bytes) or isinstance(decoded, bytes):
        return given == decoded
    if isinstance(given, Raster):
        return np.array_equal(rgba(to_array(given)), rgba(decoded))
    if decoded.shape != given.shape or decoded.dtype != given.dtype:
        raise ValueError(
            f"decoded to {decoded.dtype} {decoded.shape}, not {given.dtype} {given.shape}"
        )
    return np.array_equal(decoded, given)


def _keep_original(path: Path, pixels: Pixels) -> None:
    if not (path.exists() and np.array_equal(load(path), pixels)):
        _write_picture(path, pixels)


@lru_cache
def _warm(codec: Codec, options: Options, mode: Mode) -> None:
    """Code a small picture of a layout, in which pixels repeat: every coder is tried on it."""
    steps = np.arange(64 * 64).reshape(64, 64, 1) // 8 % (2 if mode is Mode.BILEVEL else 251)
    samples = np.repeat(steps, mode.channels, 2).astype(mode.dtype)
    grey = np.arange(256, dtype=np.uint8)[:, np.newaxis].repeat(3, 1)
    palette = b"\xff" + grey.tobytes() if mode is Mode.PALETTE8 else b""
    codec.decode(
        codec.encode(Raster(samples, mode, palette) if codec.lossless else samples, options)
    )


def _now() -> tuple[float, float]:
    """Wall and processor time in seconds."""
    return time.perf_counter(), time.process_time()


def _reset_peak() -> bool:
    """Reset the peak memory to the present; False where the system cannot."""
    try:
        _CLEAR.write_text(_RESET_PEAK)
    except OSError:
        return False
    return True


def _write_picture(path: Path, pixels: Pixels) -> None:
    write_atomically(path, encode_pillow(pixels, Options(), kind="PNG"))
