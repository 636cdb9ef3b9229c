"""The vdm codec: options, header fields, and the sections of a file.

The image at half the resolution is coded in lattice order, coarse to fine, so that a file that was
cut decodes to it; the rest tile by tile (codec/vdm/tiles.py) on one stack of bits.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

from ...bitstream.container import Contents
from ...bitstream.header import VARINT, Field
from ...models import registry
from ...models.card import Card
from ..image.raster import Mode, Raster, Samples
from ..options import Doc, Options
from ..parameters import Parameters, model_fields
from ..protocol import Decoding, DeferredCodec, Encoded, Report

MODES = (Mode.RGB8, Mode.RGBA8)
STEPS = (1, 384)
"""Range of the steps: at most one for each level of noise (models/vdm.py)."""

FIELDS = (
    *model_fields("model", "model number"),
    *model_fields("coarse", "number of the model of the coarser levels"),
    Field("steps", VARINT, *STEPS, "steps of the chain"),
)
DETAILS = (Field("plain", VARINT, 0, 2**40, "tiles in lattice order"),)
"""What a details payload begins with; a stack follows."""


@dataclass(frozen=True, kw_only=True)
class Vdm(Options):
    """Options of the lossless codec `vdm`, variational diffusion with bits-back coding.

    Raises:
        OptionError: a value is not supported.
    """

    steps: Annotated[
        int, Doc("steps of the chain: more make smaller files and take longer", *STEPS)
    ] = 50
    model: Annotated[str, Doc("bundled model, or path of a model file")] = "vdm-photo"
    coarse: Annotated[str, Doc("model of the coarser levels, one of ardm's for lattice order")] = (
        "ardm-photo"
    )


@dataclass(frozen=True)
class VdmParameters(Parameters):
    """What a decoder needs to know, see `FIELDS`."""

    CODEC: ClassVar[str] = "vdm"
    FIELDS: ClassVar[tuple[Field, ...]] = FIELDS
    MODELS: ClassVar[tuple[str, ...]] = ("model", "coarse")

    model: Card
    coarse: Card
    steps: int

    @classmethod
    def choose(cls, options: Vdm) -> VdmParameters:
        """Parameters of an encode.

        Raises:
            ModelError: there is no such model.
        """
        return cls(registry.find(options.model), registry.find(options.coarse), options.steps)


class VdmCodec(DeferredCodec):
    """The codec behind the common protocol, also for groups of images (codec/protocol.py)."""

    ID: ClassVar[int] = 5
    NAME: ClassVar[str] = "vdm"
    LOSSLESS: ClassVar[bool] = True
    OPTIONS: ClassVar[type[Options]] = Vdm
    PARAMETERS: ClassVar[type[Parameters]] = VdmParameters
    GROUP_MODES: ClassVar[tuple[Mode, ...]] = MODES

    def encode_group(
        self, rasters: Sequence[Raster], options: Vdm, report: Report
    ) -> tuple[list[Encoded], bytes]:
        """See `GroupCodec.encode_group`."""
        coded: tuple[list[Encoded], bytes] = self.coding().encode_group(rasters, options, report)
        return coded

    def decode_group(
        self, files: Sequence[Contents], details: bytes, decoding: Decoding, report: Report
    ) -> Iterator[Samples]:
        """See `GroupCodec.decode_group`."""
        yield from self.coding().decode_group(files, details, decoding, report)

    def describe(self, parameters: bytes) -> dict[str, int | str]:
        found = super().describe(parameters)
        return {"coarse model" if name == "coarse" else name: found[name] for name in found}
