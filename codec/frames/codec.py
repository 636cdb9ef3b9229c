"""The frames codec: options and header fields."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from ...bitstream.container import Contents
from ...bitstream.header import VARINT, Field
from ...models import registry
from ...models.card import Card
from ..ardm.codec import Ardm, modes
from ..ardm.conversions import NAMES, RGB
from ..image.raster import Mode, Raster, Samples
from ..options import Doc, Options
from ..parameters import Parameters, choice, model_fields
from ..protocol import Decoding, DeferredCodec, Encoded, Report

Start = Literal["anew", "after"]
STARTS: tuple[Start, ...] = ("anew", "after")

MODES = modes("lattice", effort=1)
_BLOCK = (16, 4096)

FIELDS = (
    *model_fields("model", "model number"),
    Field("block", VARINT, *_BLOCK, "side of a coding block in pixels of a sub-lattice"),
    choice("planes", "source planes, 0 for none", NAMES),
    choice("start", "0 starts anew, 1 goes on after the frame before", STARTS),
)


@dataclass(frozen=True, kw_only=True)
class Frames(Options):
    """Options of the lossless codec `frames`: ardm in lattice order, for images that are alike.

    Raises:
        OptionError: a value is not supported.
    """

    model: Annotated[str, Doc("bundled model, or path of a model file")] = "ardm-photo"
    block: Annotated[int, Doc("side of a block, in pixels of a sub-lattice", *_BLOCK)] = 512

    @property
    def of_images(self) -> Ardm:
        """The options that code each frame alone."""
        return Ardm(model=self.model, block=self.block)


@dataclass(frozen=True)
class FramesParameters(Parameters):
    """What a decoder needs to know of a frame, see `FIELDS`."""

    CODEC: ClassVar[str] = "frames"
    FIELDS: ClassVar[tuple[Field, ...]] = FIELDS

    model: Card
    block: int
    planes: str = RGB
    start: Start = "anew"

    @classmethod
    def choose(cls, options: Frames) -> FramesParameters:
        """Parameters of an encode.

        Raises:
            ModelError: there is no such model.
        """
        return cls(registry.find(options.model), options.block)


class FramesCodec(DeferredCodec):
    """The codec behind the common protocol, for groups of frames (codec/protocol.py)."""

    ID: ClassVar[int] = 11
    NAME: ClassVar[str] = "frames"
    LOSSLESS: ClassVar[bool] = True
    OPTIONS: ClassVar[type[Options]] = Frames
    PARAMETERS: ClassVar[type[Parameters]] = FramesParameters
    GROUP_MODES: ClassVar[tuple[Mode, ...]] = MODES

    def encode_group(
        self, rasters: Sequence[Raster], options: Frames, report: Report
    ) -> tuple[list[Encoded], bytes]:
        """See `GroupCodec.encode_group`."""
        coded: list[Encoded] = self.coding().encode_group(rasters, options, report)
        return coded, b""

    def decode_group(
        self, files: Sequence[Contents], details: bytes, decoding: Decoding, report: Report
    ) -> Iterator[Samples]:
        """See `GroupCodec.decode_group`."""
        yield from self.coding().decode_group(files, details, decoding, report)
