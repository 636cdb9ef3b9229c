"""Where a chain ends to meet a level, a size or a PSNR, and which steps share a section."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ...bitstream.coders import Coder, Decoder, Encoder
from ...bitstream.entropy import Categorical, Ints
from ...bitstream.errors import CorruptError, OptionError
from ...bitstream.information import OCTAVE
from ...models.diffusion import SPAN
from ..image.raster import Samples
from ..lossy import out_of_reach
from ..pixels import image_of, psnr
from ..protocol import Report
from .chain import HIGHEST, LONGEST_STEP, LOWEST, Chain, Errors

PayloadSize = Callable[[Sequence[bytes]], int]
"""Bytes of the file with the given data sections."""

_SECTION_GROWTH = 0.5
"""A section ends when it has this share of the bytes of all sections before it."""
_LEAST_STEP = OCTAVE // 8
_FORECAST_STEPS = 32
"""Steps in a forecast of the bits, at most: more steps save little."""
_SPARE_BITS = 48
"""Upper bound of a step's level, its flag and the flag before it, with the coder's rounding."""


FREE_STEPS = 24
"""Steps that a file of any size may have."""
_WORK = 2**11
"""Pixels for each byte of a file that further steps may be made on."""


def most_steps(size: int, pixels: int) -> int:
    """Steps that a chain may have, which bounds the time that a small file takes.

    Args:
        size: bytes of the data sections up to that of the last step.
        pixels: of the noisy image.
    """
    return FREE_STEPS + _WORK * size // pixels


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
    sent = np.cumsum(errors.densities[first - LOWEST : last - LOWEST + 1])
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
    chain: Chain,
    first: int,
    goal: Goal,
    size: PayloadSize,
    report: Report,
) -> list[bytes]:
    """The data sections of an image.

    Args:
        samples: (h, w, 1 or 3).
        chain: at its start.
        first: level that the first step leads to.

    Raises:
        OptionError: the file cannot be as small as asked for, or the picture as good.
    """
    image = image_of(samples, *chain.z.shape[2:])
    control = _Control(chain, image, samples, first, goal, size)
    share = samples.size / goal.steps
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
        first: level that the first step leads to.
        size: see `PayloadSize`.
    """

    chain: Chain
    image: Tensor
    samples: Samples
    first: int
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
        allowed, total = self.goal.size, sum(map(len, done)) + held
        if allowed is None:
            return self._paid(self._unbounded(), total)
        at = self.chain.level
        gains = self.chain.gains(self.image)
        used = self.size([*done, bytes(held)])
        high = self._paid(self._affordable(gains, 8 * (allowed - used)), total)

        def fits(level: int) -> bool:
            bits = self.chain.price(gains, level) + _SPARE_BITS
            return self.size([*done, bytes(held + bits // 8 + 1)]) <= allowed

        if high is None or fits(high):
            return high
        if at is None:
            return None
        level = at + bisect_left(range(at + 1, high), True, key=lambda level: not fits(level))
        return level if level - at >= _LEAST_STEP else None

    def _paid(self, wanted: int | None, size: int) -> int | None:
        """The wanted level, or a higher one if steps as short as that might become too many.

        Args:
            size: bytes of all sections so far.
        """
        at, most = self.chain.level, most_steps(size, self.chain.z[0, 0].numel())
        if wanted is None or at is None or self.chain.steps >= most:
            return wanted if at is None else None
        free = self.goal.size is None and self.goal.psnr is None
        last = self.goal.level if free else HIGHEST
        rest = -(-max(last - wanted, 0) // LONGEST_STEP)
        if self.chain.steps + 1 + rest <= most:
            return wanted
        return min(at + LONGEST_STEP, last)

    def _unbounded(self) -> int | None:
        """The next level if files of any size are allowed."""
        at, wanted = self.chain.level, self.goal.psnr
        if at is None or wanted is None:
            return self._towards(self.goal.level)
        if (reached := psnr(self.samples, self.chain.estimate())) >= wanted:
            return None
        if at >= HIGHEST:
            raise out_of_reach(wanted, reached)
        error = (2 * SPAN) ** 2 * 10 ** (-wanted / 10)
        gains = self.chain.gains(self.image)
        enough = bisect_left(
            range(at + _LEAST_STEP, HIGHEST),
            True,
            key=lambda level: self.chain.forecast_error(gains, level) <= error,
        )
        return self._towards(at + _LEAST_STEP + enough)

    def _affordable(self, gains: Ints, bits: int) -> int | None:
        """The next level on the way to the highest one that so many bits allow; it may be too high.

        Args:
            gains: the present ones.
        """
        at, left = self.chain.level, self._left()
        if at is None or at >= HIGHEST:
            return self._towards(HIGHEST)
        if left == 1:
            return min(at + LONGEST_STEP, HIGHEST)

        def is_dear(level: int) -> bool:
            steps = min(left, _FORECAST_STEPS)
            path = levels(self.chain.errors, at, level, steps + 1)
            return self.chain.forecast_bits(gains, path) > bits

        return self._towards(at + 1 + bisect_left(range(at + 2, HIGHEST + 1), True, key=is_dear))

    def _towards(self, last: int) -> int | None:
        """The next level on the way to a last one; None: it is reached."""
        at = self.chain.level
        if at is None:
            return self.first
        path = levels(self.chain.errors, at, last, self._left() + 1)
        return path[1] if len(path) > 1 else None

    def _left(self) -> int:
        """Steps that are left, at least one."""
        return max(1, self.goal.steps - self.chain.steps)


def receive(chain: Chain, payloads: Sequence[bytes], first: int) -> Iterator[Chain]:
    """The chain after each data section.

    Raises:
        CorruptError: a section leads beyond the range of levels, or has too many steps.
    """
    size = 0
    pixels = chain.z[0, 0].numel()
    for payload in payloads:
        coder = Decoder(payload)
        size += len(payload)
        ends = False
        while not ends:
            if chain.steps >= (most := most_steps(size, pixels)):
                raise CorruptError(f"more than {most} steps, too many for {size} bytes")
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
