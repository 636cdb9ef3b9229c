"""Sending an image by a chain: how far it goes, and which steps share a section."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ...bitstream.coders import Coder, Decoder, Encoder
from ...bitstream.entropy import Categorical
from ...bitstream.errors import CorruptError, OptionError
from ...bitstream.information import OCTAVE
from ..pixels import Samples, image_of, psnr
from ..protocol import Report
from .chain import HIGHEST, LONGEST_STEP, Chain, Errors

Size = Callable[[Sequence[bytes]], int]
"""Bytes of the file with the given data sections."""

_SECTION_GROWTH = 0.5
"""A section ends when it has this share of all before it."""
_LEAST_STEP = OCTAVE // 8
_SPARE_BITS = 48
"""At most what a step's level, its flag and the one before take, with the coder's rounding."""


@dataclass(frozen=True)
class Wish:
    """Where a chain should end.

    Attributes:
        level: if nothing else is given.
        size: bytes that the file may have, or None.
        psnr: dB that the estimate must have, or None.
        steps: in all.
    """

    level: int
    size: int | None
    psnr: float | None
    steps: int


def levels(errors: Errors, first: int, last: int, steps: int) -> list[int]:
    """The levels of a chain: steps of equal information, as far as none gets too long.

    That makes the whole information least: what a step costs above many short ones grows with its
    information times its length.
    """
    at = np.arange(first, last + 1)
    sent = np.cumsum([errors.density(level) for level in at.tolist()])
    found = [first]
    while found[-1] < last:
        so_far = sent[found[-1] - first]
        share = (sent[-1] - so_far) / max(1, steps - len(found))
        fair = round(float(np.interp(so_far + share, sent, at)))
        found.append(min(max(fair, found[-1] + 1), found[-1] + LONGEST_STEP))
    return found


@torch.inference_mode()
def send(
    samples: Samples,
    new_chain: Callable[[], Chain],
    first: int,
    wish: Wish,
    size: Size,
    report: Report,
) -> list[bytes]:
    """The data sections of an image.

    Args:
        samples: (h, w, 1 or 3).
        new_chain: makes a chain at its start.
        first: level that the first step leads to.

    Raises:
        OptionError: the file cannot be as small as wished, or the picture as good.
    """
    chain = new_chain()
    image = image_of(samples, *chain.z.shape[2:])
    last = wish.level
    if wish.size is not None or wish.psnr is not None:
        last = _forecast(new_chain(), image, samples, first, wish, size)
    planned = levels(chain.errors, first, last, wish.steps)
    share = samples.size / len(planned)
    done: list[bytes] = []
    encoder, before = Encoder(), 0
    upcoming = _next(chain, image, samples, planned, wish, size, done, 0)
    if upcoming is None:
        raise OptionError(f"{wish.size} bytes are too few for any picture of this image")
    while upcoming is not None:
        chain.advance(image, upcoming, first - 1, encoder)
        report(share)
        held = len(encoder.finish())
        ends = held >= _SECTION_GROWTH * before
        if ends:
            done.append(_end(encoder))
            encoder, before, held = Encoder(), before + len(done[-1]), 0
        upcoming = _next(chain, image, samples, planned, wish, size, done, held)
        if not ends and upcoming is None:
            done.append(_end(encoder))
        elif not ends:
            _code_flag(False, encoder)
    return done


def _end(encoder: Encoder) -> bytes:
    """The section that an encoder holds."""
    _code_flag(True, encoder)
    return encoder.finish()


def _next(
    chain: Chain,
    image: Tensor,
    samples: Samples,
    planned: Sequence[int],
    wish: Wish,
    size: Size,
    done: Sequence[bytes],
    held: int,
) -> int | None:
    """The level that the next step leads to; None when the chain ends.

    Args:
        done: the sections so far.
        held: bytes of the section that the step comes into.
    """
    at = chain.level
    ahead = [level for level in planned if at is None or level > at]
    if at is not None and not ahead:
        if wish.size is not None:
            ahead = [at + OCTAVE]
        elif wish.psnr is not None and (reached := psnr(samples, chain.estimate())) < wish.psnr:
            if at >= HIGHEST:
                raise OptionError(f"{wish.psnr} dB are out of reach, {reached:.2f} dB are not")
            ahead = [min(at + OCTAVE // 4, HIGHEST)]
    if not ahead or ahead[0] > HIGHEST:
        return None
    high, allowed = ahead[0], wish.size
    if allowed is None:
        return high
    gains = chain.gains(image)

    def fits(level: int) -> bool:
        bits = chain.price(gains, level) + _SPARE_BITS
        return size([*done, bytes(held + bits // 8 + 1)]) <= allowed

    if fits(high):
        return high
    if at is None:
        return None
    low = at
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low if low - at >= _LEAST_STEP else None


def receive(chain: Chain, payloads: Sequence[bytes], first: int) -> Iterator[Chain]:
    """The chain after each data section.

    Raises:
        CorruptError: a section leads beyond the range of levels.
    """
    for payload in payloads:
        coder = Decoder(payload)
        ends = False
        while not ends:
            with torch.inference_mode():
                chain.advance(None, None, first - 1, coder)
            if chain.level is None or chain.level > HIGHEST:
                raise CorruptError("a step leads beyond the range of noise levels")
            ends = bool(_code_flag(None, coder))
        yield chain


def _code_flag(ends: bool | None, coder: Coder) -> int:
    """Whether a section ends behind a step."""
    given = None if ends is None else np.array([int(ends)], np.int32)
    return int(coder.code(given, Categorical(np.ones((1, 2), np.float32)))[0])


def _forecast(
    chain: Chain, image: Tensor, samples: Samples, first: int, wish: Wish, size: Size
) -> int:
    """About the level at which the wish comes true, from long steps with an ideal coder."""
    level, bits = first, 0.0
    points: list[tuple[float, float]] = []
    while level <= HIGHEST:
        bits += chain.skip(image, level)
        if wish.size is not None:
            goal, reached = math.log(max(wish.size, 64)), math.log(size([bytes(int(bits / 8))]))
        else:
            assert wish.psnr is not None
            goal, reached = wish.psnr, psnr(samples, chain.estimate())
        points.append((reached, level))
        if reached >= goal:
            break
        level += 3 * OCTAVE // 2
    values, at = zip(*points, strict=True)
    return max(first, round(float(np.interp(goal, values, at))))
