"""What the lossy codecs share: options, layouts, and the pictures of a file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from ..bitstream.container import Contents, SectionKind
from ..bitstream.errors import OptionError
from .alpha import with_alpha
from .image.raster import Mode, Raster, Samples
from .options import Doc, Options
from .protocol import Report

if TYPE_CHECKING:
    from torch import Tensor

MODES = (Mode.L8, Mode.LA8, Mode.RGB8, Mode.RGBA8)


@dataclass(frozen=True, kw_only=True)
class LossyOptions(Options):
    """Options of every lossy codec: at most one of `bpp`, `bytes` and `psnr` replaces `quality`.

    Raises:
        OptionError: a value is not supported, or several of the three are given.
    """

    quality: Annotated[float, Doc("quality of the picture", 0, 100)]
    bpp: Annotated[
        float | None, Doc("largest size of the file in bits per pixel", 0, 10**6, none="any")
    ] = None
    bytes: Annotated[int | None, Doc("largest size of the file in bytes", 0, 2**40, none="any")] = (
        None
    )
    psnr: Annotated[float | None, Doc("least PSNR of the mmse picture in dB", 0, none="any")] = None
    device: Annotated[str, Doc("device of the networks, such as cpu or cuda")] = "cpu"
    seed: Annotated[int, Doc("seed of the shared random numbers", 0, 2**32 - 1)] = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if sum(goal is not None for goal in (self.bpp, self.bytes, self.psnr)) > 1:
            raise OptionError("bpp, bytes and psnr exclude each other: give one of them")

    def allowed_bytes(self, raster: Raster) -> int | None:
        """Bytes that the file of an image may have; None: any number."""
        if self.bpp is None:
            return self.bytes
        return int(self.bpp * raster.height * raster.width / 8)


def out_of_reach(wanted: float, reached: float) -> OptionError:
    """The error that an image cannot have a PSNR, given the best one that was found, in dB."""
    return OptionError(
        f"psnr {wanted:g} dB cannot be reached: at most {reached:.2f} dB is possible for this image"
    )


def rendered(
    contents: Contents,
    images: Iterable[Callable[[], Tensor]],
    report: Report,
    *,
    previews: bool,
) -> Iterator[Samples]:
    """The pictures that are wanted, with the opacity in the last one.

    Args:
        images: after each data section, a function that makes its image, (1, 3, h, w) of -SPAN to
            SPAN.
        previews: False: the last one alone is wanted.
    """
    from .pixels import shown  # loads torch

    header = contents.header
    mode = Mode(header.mode)
    height, width = header.height, header.width
    payloads = contents.payloads(SectionKind.DATA)
    share = height * width * mode.channels / len(payloads)
    for done, image in enumerate(images, 1):
        report(share)
        complete = done == len(payloads)
        if complete or previews:
            picture = shown(image(), height, width, mode.colours)
            yield with_alpha(picture, contents, complete=complete)
