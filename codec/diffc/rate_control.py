"""Where a chain ends to meet a level, a size or a PSNR, and which steps share a section."""

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
from ..image.raster import Samples
from ..lossy import out_of_reach
from ..pixels import image_of, psnr
from ..protocol import Report
from .chain import HIGHEST, LONGEST_STEP, Chain, Errors

PayloadSize = Callable[[Sequence[bytes]], int]
"""Bytes of the file with the given data sections."""

_SECTION_GROWTH = 0.5
"""A section ends when it has this share of the bytes of all sections before it."""
_LEAST_STEP = OCTAVE // 8
_SPARE_BITS = 48
"""Upper bound of a step's level, its flag and the flag before it, with the coder's rounding."""


@dataclass(frozen=True)
class Goal:
    """Where a chain should end.

    Attributes:
        level: if neither size nor PSNR is given.
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

    That minimises the whole information: what a step costs above many short ones grows with its
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
    goal: Goal,
    size: PayloadSize,
    report: Report,
) -> list[bytes]:
    """The data sections of an image.

    Args:
        samples: (h, w, 1 or 3).
        new_chain: makes a chain at its start.
        first: level that the first step leads to.

    Raises:
        OptionError: the file cannot be as small as asked for, or the picture as good.
    """
    chain = new_chain()
    image = image_of(samples, *chain.z.shape[2:])
    last = goal.level
    if goal.size is not None or goal.psnr is not None:
        last = _forecast(new_chain(), image, samples, first, goal, size)
    planned = levels(chain.errors, first, last, goal.steps)
    control = _Control(chain, image, samples, planned, goal, size)
    share = samples.size / len(planned)
    done: list[bytes] = []
    encoder, before = Encoder(), 0
    upcoming = control.next_level(done, 0)
    if upcoming is None:
        raise OptionError(f"{goal.size} bytes are too few for any picture of this image")
    while upcoming is not None:
        chain.advance(image, upcoming, first - 1, encoder)
        report(share)
        held = len(encoder.finish())
        ends = held >= _SECTION_GROWTH * before
        if ends:
            done.append(_end(encoder))
            encoder, before, held = Encoder(), before + len(done[-1]), 0
        upcoming = control.next_level(done, held)
        if not ends and upcoming is None:
            done.append(_end(encoder))
        elif not ends:
            _code_flag(False, encoder)
    return done


def _end(encoder: Encoder) -> bytes:
    """The section that an encoder holds."""
    _code_flag(True, encoder)
    return encoder.finish()


@dataclass(frozen=True)
class _Control:
    """Decides after each step where the next one leads.

    Attributes:
        chain: that sends the image.
        image: (1, 3, h, w), the clean image.
        samples: (h, w, 1 or 3), the same.
        planned: levels, if the goal is met as forecast.
        size: see `PayloadSize`.
    """

    chain: Chain
    image: Tensor
    samples: Samples
    planned: Sequence[int]
    goal: Goal
    size: PayloadSize

    def next_level(self, done: Sequence[bytes], held: int) -> int | None:
        """The level that the next step leads to; None when the chain ends.

        Args:
            done: the sections so far.
            held: bytes of the section that the step comes into.

        Raises:
            OptionError: the picture cannot be as good as asked for.
        """
        at = self.chain.level
        high = self._wanted()
        if high is None or high > HIGHEST:
            return None
        allowed = self.goal.size
        if allowed is None:
            return high
        gains = self.chain.gains(self.image)

        def fits(level: int) -> bool:
            bits = self.chain.price(gains, level) + _SPARE_BITS
            return self.size([*done, bytes(held + bits // 8 + 1)]) <= allowed

        if fits(high):
            return high
        if at is None:
            return None
        low = at
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if fits(middle) else (low, middle)
        return low if low - at >= _LEAST_STEP else None

    def _wanted(self) -> int | None:
        """The level after the present one, whatever it costs; None: the goal is met."""
        at, wanted = self.chain.level, self.goal.psnr
        if at is None:
            return self.planned[0]
        if ahead := [level for level in self.planned if level > at]:
            return ahead[0]
        if self.goal.size is not None:
            return at + OCTAVE
        if wanted is None or (reached := psnr(self.samples, self.chain.estimate())) >= wanted:
            return None
        if at >= HIGHEST:
            raise out_of_reach(wanted, reached)
        return min(at + OCTAVE // 4, HIGHEST)


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
    symbol = None if ends is None else np.array([int(ends)], np.int32)
    return int(coder.code(symbol, Categorical(np.ones((1, 2), np.float32)))[0])


def _forecast(
    chain: Chain, image: Tensor, samples: Samples, first: int, goal: Goal, size: PayloadSize
) -> int:
    """About the level at which the goal is met, from long steps with an ideal coder."""
    level, bits = first, 0.0
    points: list[tuple[float, float]] = []
    while level <= HIGHEST:
        bits += chain.skip(image, level)
        if goal.size is not None:
            wanted, reached = math.log(max(goal.size, 64)), math.log(size([bytes(int(bits / 8))]))
        else:
            assert goal.psnr is not None
            wanted, reached = goal.psnr, psnr(samples, chain.estimate())
        points.append((reached, level))
        if reached >= wanted:
            break
        level += 3 * OCTAVE // 2
    values, at = zip(*points, strict=True)
    return max(first, round(float(np.interp(wanted, values, at))))
