"""Which codecs and efforts an encoder tries, so that long searches run only where they may win."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence, Sized
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
    file so far smaller, and all of them for very small files.

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


_BEYOND_SCREEN = 0.35
"""The most that long searches save where `screen` has made a file: it knows the repetitions too."""

FIRST: Sequence[Options] = (Screen(), JpegXL(effort=7))
"""What is tried first where `screen` may win."""
_CLEAR = 0.75
"""Share of JPEG XL's file from which on that of `screen` is clearly smaller."""
_MOST_BITS = 1
"""A sample, up to which it can be: with more there are photographs in the image."""
_SMALL = 4096
"""Bytes of a file for which every attempt is made: the gains of patterns have no bound."""


def is_clear(samples: int, files: Mapping[Options, Sized]) -> bool:
    """Whether the file of `screen` is so much smaller that no network makes a smaller one.

    ardm's files are smaller than JPEG XL's where there are photographs, by up to a half, and larger
    elsewhere. Photographs take many bits and make the two files of `FIRST` alike, so an image for
    which this holds has few of them.

    Args:
        samples: of the image.
        files: those of `FIRST`, by their options.
    """
    if not all(options in files for options in FIRST):
        return False
    screen, peer = (len(files[options]) for options in FIRST)
    return 8 * screen <= _MOST_BITS * samples and screen <= _CLEAR * peer


def attempted(
    samples: int, known: Mapping[Options, File], encode: Callable[[Options], File | None]
) -> dict[Options, File]:
    """The files that are made of an image, by their options.

    Args:
        samples: of the image.
        known: files that there are already.
        encode: makes a file; None where a format does not take the image.
    """
    files = dict(known)
    for attempt in FALLBACKS:
        options = attempt.options
        if options in files or not _may_win(attempt, samples, files):
            continue
        if file := encode(options):
            files[options] = file
    return files


def _may_win(attempt: Attempt, samples: int, files: Mapping[Options, Sized]) -> bool:
    """Whether an attempt could make the smallest file so far smaller."""
    smallest = min(map(len, files.values()), default=math.inf)
    if smallest <= _SMALL:
        return True
    gain = attempt.gain
    if Screen() in files:
        gain = min(gain, _BEYOND_SCREEN)
    alike = [len(of) for options, of in files.items() if type(options) is type(attempt.options)]
    hoped = (1 - gain) * alike[-1] if alike else 0
    return hoped < smallest and 8 * smallest <= attempt.bits * samples
