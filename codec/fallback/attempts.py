"""Which formats and efforts an encoder tries, so that long searches run only where they may win."""

from __future__ import annotations

import math
from collections.abc import Callable, Sized
from dataclasses import dataclass
from typing import TypeVar

from ..options import Options
from ..screen.codec import Screen
from .codecs import JpegXL, Png, WebP

File = TypeVar("File", bound=Sized)


@dataclass(frozen=True)
class Attempt:
    """What an encoder tries besides a lossless codec.

    The first attempt of a format is always made, the others where they could make the smallest
    file so far smaller.

    Attributes:
        options: of the fallback.
        gain: the most that it saves of the file of its format before it, as a share.
        bits: a sample, in the smallest file so far, up to which the attempt is made.
    """

    options: Options
    gain: float = 1.0
    bits: float = math.inf


FALLBACKS = (
    Attempt(Png()),
    Attempt(WebP()),
    Attempt(JpegXL(effort=7)),
    Attempt(Screen()),
    Attempt(JpegXL(effort=9), gain=0.4, bits=1.8),
    Attempt(JpegXL(effort=9), gain=0.04, bits=6),
    Attempt(WebP(effort=3), gain=0.42, bits=1.8),
    Attempt(WebP(effort=1), gain=0.1),
    Attempt(WebP(effort=3), gain=0.02),
)
"""In this order, each options once. The gains are those of `benchmarks/studies/fallbacks.py`.

Long searches save much where a sample takes few bits, and little in photographs: of 16 bits a
sample, JPEG XL's effort 9 saves up to 0.5 % in four times the time, which is given away.
Of 139 images, the files are .07 % larger than the smallest of all attempts, in 60 % of the time.
"""


def attempted(
    samples: int, tried: Options, own: int | None, encode: Callable[[Options], File | None]
) -> dict[Options, File]:
    """The files that are made of an image, by their options.

    Args:
        samples: of the image.
        tried: not to be tried again.
        own: bytes of the file with the options `tried`; None if there is none.
        encode: makes the file; None where a format does not take the image.
    """
    files: dict[Options, File] = {}
    latest: dict[type[Options], float] = {}
    smallest = latest[type(tried)] = math.inf if own is None else own
    for attempt in FALLBACKS:
        options = attempt.options
        hoped = (1 - attempt.gain) * latest.get(type(options), 0)
        if options == tried or options in files:
            continue
        if hoped >= smallest or 8 * smallest > attempt.bits * samples:
            continue
        if file := encode(options):
            files[options] = file
            latest[type(options)] = len(file)
            smallest = min(smallest, len(file))
    return files
