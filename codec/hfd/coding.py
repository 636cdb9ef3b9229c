"""The hfd codec at work: an image to data sections and back."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace

from ...bitstream.container import Contents, SectionKind
from ...bitstream.errors import OptionError
from ...models.surroundings import in_settled
from ..alpha import split_alpha
from ..image.raster import Mode, Raster, Samples
from ..lossy import MODES, out_of_reach, rendered
from ..pixels import psnr
from ..protocol import Decoding, Encoded, Report, Size, check_mode
from .codec import STEPS, Hfd, HfdParameters
from .first_stage import Source, received
from .stages import Painter

_WITHIN, _WITHIN_DB = 0.005, 0.1
"""What files may be smaller than a size, as a share of it, and their PSNR above that asked for."""
_TRIALS = 16
_FARTHEST = 60.0
"""Excesses beyond count as this one."""
_OCTAVE_OF_SIZE, _OCTAVE_OF_PSNR = -0.8, 4.0
"""How the logarithm of a size, and the distance to a PSNR in dB, change with an octave of steps."""


@in_settled
def encode(raster: Raster, options: Hfd, report: Report, size: Size) -> Encoded | None:
    """See `protocol.Codec.encode`."""
    if raster.mode not in MODES:
        return None
    colour, alpha = split_alpha(raster)
    source = Source(colour)
    parameters = HfdParameters.choose(options, source.angles)
    painter = Painter.of(parameters.model, parameters.seed, options.device)

    def at(step: int) -> Encoded:
        payloads, _ = source.coded(step)
        return Encoded.of(replace(parameters, step=step).pack(), payloads, alpha)

    allowed = options.allowed_bytes(raster)
    if allowed is not None:
        encoded = _of_size(at, size, allowed, source.likely_step(8 * allowed))
    elif options.psnr is not None:
        encoded = at(_of_psnr(source, colour, painter, options.psnr))
    else:
        encoded = at(step_of(options.quality))
    report(raster.samples.size)
    return encoded


@in_settled
def decode(
    contents: Contents, decoding: Decoding, report: Report, *, previews: bool
) -> Iterator[Samples]:
    """See `protocol.Codec.decode`."""
    header = contents.header
    check_mode(header, MODES, "hfd")
    parameters = HfdParameters.parse(header.parameters, decoding.models)
    painter = Painter.of(parameters.model, parameters.seed, decoding.device)
    known = received(
        contents.payloads(SectionKind.DATA),
        header.height,
        header.width,
        Mode(header.mode).colours,
        parameters.step,
        parameters.colours,
    )
    images = (lambda first=first: painter.picture(first(), decoding) for first in known)
    yield from rendered(contents, images, report, previews=previews)


def step_of(quality: float) -> int:
    """The step of a quality from 0 to 100, in 1/256: from 512 levels to one."""
    return round(2 ** (17 - 0.09 * quality))


def _of_size(
    at: Callable[[int], Encoded], size: Callable[[Encoded], int], allowed: int, first: int
) -> Encoded:
    """The largest file that is small enough.

    Raises:
        OptionError: all files are larger.
    """
    tried: dict[int, Encoded] = {}

    def excess(step: int) -> float:
        tried[step] = at(step)
        return math.log(size(tried[step]) / max(allowed, 0.5))

    step = fitted(excess, first, _OCTAVE_OF_SIZE, _WITHIN)
    if step is not None:
        return tried[step]
    smallest = at(STEPS[1])
    if size(smallest) > allowed:
        raise OptionError(f"{allowed} bytes are too few: the smallest file has {size(smallest)}")
    return smallest


def _of_psnr(source: Source, colour: Samples, painter: Painter, wanted: float) -> int:
    """The largest step at which the picture is good enough.

    Raises:
        OptionError: it is not at any step.
    """
    best = -math.inf

    def lack(step: int) -> float:
        nonlocal best
        _, known = source.coded(step)
        reached = psnr(colour, painter.restored(source.picture(known, step)))
        best = max(best, reached)
        return 0.0 if reached == wanted else wanted - reached

    first = round(256 * 2 ** ((58 - wanted) / _OCTAVE_OF_PSNR))
    step = fitted(lack, first, _OCTAVE_OF_PSNR, _WITHIN_DB)
    if step is None:
        raise out_of_reach(wanted, best)
    return step


def fitted(
    excess: Callable[[int], float], first: int, slope: float, tolerance: float
) -> int | None:
    """A step at which an excess, which rises or falls with the step, is just not above 0.

    The secant method within a bracket, in octaves of the step.

    Args:
        excess: of a step.
        first: step to try first.
        slope: about the change of the excess in an octave, which tells whether it rises.
        tolerance: distance to 0 that is near enough.

    Returns:
        A step with an excess of -tolerance to 0, else the highest below; None if there is none.
    """
    (low, high), step = STEPS, min(max(first, STEPS[0]), STEPS[1])
    best: tuple[float, int] | None = None
    change, before = slope, (math.nan, math.nan)
    for _ in range(_TRIALS):
        found = min(max(excess(step), -_FARTHEST), _FARTHEST)
        if found <= 0:
            best = max(best or (found, step), (found, step))
            if found >= -tolerance:
                break
        if (found > 0) == (slope > 0):
            high = step - 1
        else:
            low = step + 1
        if low > high:
            break
        place = math.log2(step)
        secant = (found - before[1]) / (place - before[0])
        if 0.3 < secant / slope < 3:
            change = secant
        before = place, found
        step = round(2 ** (place - (found + tolerance / 2) / change))
        if not low <= step <= high:
            step = math.isqrt(low * high)
    return best and best[1]
