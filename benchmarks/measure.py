"""One image through one codec: file size, times, memory, and quality."""

from __future__ import annotations

import hashlib
import re
import time
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

from noisepress import Options
from noisepress.bitstream.atomic import write_atomically

from .codecs import Codec, Pixels, codec_of, encode_pillow
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
    """An image file as uint8 (h, w, 3) of RGB; alpha and bits beyond eight are dropped."""
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
        image: any file that Pillow reads; see `load`.
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
    pixels = load(image)
    with suppress(Exception):
        _warm(codec, options)
    known = _reset_peak()
    watch = [_now()]
    data = codec.encode(pixels, options)
    watch.append(_now())
    decoded = codec.decode(data)
    watch.append(_now())
    peak = peak_in(_STATUS.read_text()) if known else None
    if decoded.shape != pixels.shape or decoded.dtype != pixels.dtype:
        raise ValueError(
            f"decoded to {decoded.dtype} {decoded.shape}, not {pixels.dtype} {pixels.shape}"
        )
    lossless = np.array_equal(decoded, pixels)
    if codec.lossless and not lossless:
        raise ValueError("the decoded pixels differ, but the codec is declared lossless")
    quality: dict[str, float] = {}
    if not lossless:
        from .quality import compare

        quality = compare(pixels, decoded)
    original = original_path(pictures, image)
    original.parent.mkdir(parents=True, exist_ok=True)
    if not (original.exists() and np.array_equal(load(original), pixels)):
        _write_picture(original, pixels)
    if codec.ours:
        write_atomically(coded_path(pictures, image, setting), data)
    if not codec.lossless:
        _write_picture(decoded_path(pictures, image, setting), decoded)
    (start, start_cpu), (middle, middle_cpu), (end, end_cpu) = watch
    return Measurement(
        image=image.name,
        setting=setting,
        width=pixels.shape[1],
        height=pixels.shape[0],
        size=len(data),
        digest=hashlib.sha256(data).hexdigest(),
        encode_s=middle - start,
        decode_s=end - middle,
        encode_cpu_s=middle_cpu - start_cpu,
        decode_cpu_s=end_cpu - middle_cpu,
        peak_mib=peak,
        lossless=lossless,
        quality=quality,
    )


@lru_cache
def _warm(codec: Codec, options: Options) -> None:
    ramp = np.arange(64 * 64 * 3, dtype=np.uint32).reshape(64, 64, 3) % 251
    codec.decode(codec.encode(ramp.astype(np.uint8), options))


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
