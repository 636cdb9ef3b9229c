"""What the lossy codecs share: layouts, wishes for a file's size, and the pictures of a file."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from numbers import Integral, Real
from typing import TYPE_CHECKING

from ..bitstream.container import Contents, Header, Section, SectionKind
from ..bitstream.errors import CorruptError, OptionError
from .alpha import encode_plane, join_alpha, split_alpha
from .image.raster import Mode, Raster, Samples
from .protocol import Decoding, Range, Report, check_ranges

if TYPE_CHECKING:
    from torch import Tensor

MODES = (Mode.L8, Mode.LA8, Mode.RGB8, Mode.RGBA8)


def check_wishes(bpp: float | None, bytes: int | None, psnr: float | None) -> None:
    """Check what a file should have instead of a quality.

    Raises:
        OptionError: there is more than one wish, or a value is not supported.
    """
    wishes: tuple[Range, ...] = (
        ("bpp", Real, bpp, 0, 2**40),
        ("bytes", Integral, bytes, 0, 2**40),
        ("psnr", Real, psnr, 0, math.inf),
    )
    given = [wish for wish in wishes if wish[2] is not None]
    check_ranges(given)
    if len(given) > 1:
        raise OptionError("bpp, bytes and psnr exclude each other")


def allowed_bytes(raster: Raster, bpp: float | None, bytes: int | None) -> int | None:
    """The bytes that a file may have; None: any."""
    return bytes if bpp is None else int(bpp * raster.height * raster.width / 8)


def split_opacity(raster: Raster) -> tuple[Samples, list[Section]]:
    """The samples that are coded with loss, and the section of the opacity if there is one."""
    colour, alpha = split_alpha(raster)
    if alpha is None:
        return colour, []
    return colour, [Section(SectionKind.ALPHA, encode_plane(alpha))]


def check_mode(header: Header, codec: str) -> None:
    """Check that a file has one of `MODES`.

    Raises:
        CorruptError: it has not.
    """
    mode = Mode(header.mode)
    if mode not in MODES:
        raise CorruptError(f"{codec} has no {mode.name} images")


def pictures(
    contents: Contents,
    images: Iterable[Callable[[], Tensor]],
    decoding: Decoding,
    report: Report,
) -> Iterator[Samples]:
    """The pictures that are asked for, with the opacity in the last one.

    Args:
        images: after each data section, what makes its image (1, 3, h, w) of -SPAN to SPAN.
    """
    from .pixels import shown

    header = contents.header
    mode = Mode(header.mode)
    height, width = header.height, header.width
    payloads = contents.payloads(SectionKind.DATA)
    alphas = contents.payloads(SectionKind.ALPHA)
    share = height * width * mode.channels / len(payloads)
    for done, image in enumerate(images, 1):
        report(share)
        if done < len(payloads) and not decoding.previews:
            continue
        picture = shown(image(), height, width, mode.channels - mode.has_alpha)
        plane = alphas[0] if alphas and done == len(payloads) else None
        yield join_alpha(picture, plane) if mode.has_alpha else picture
