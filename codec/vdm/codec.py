"""The vdm codec: options, header fields, and the sections of a file.

The image at half the resolution is coded in lattice order, coarse to fine, so that a file that was
cut decodes to it; the rest tile by tile (codec/vdm/tiles.py) on one stack of bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

from ...bitstream.container import Contents
from ...bitstream.header import UINT32, VARINT, Field, pack, unpack_all
from ...models import registry
from ...models.card import Card
from ..image.raster import Mode, Raster, Samples
from ..model_reference import MODEL_FIELDS, describe_model, record, recorded_model
from ..options import Doc, Options
from ..protocol import Decoding, Encoded, NetworkCodec, Report

MODES = (Mode.RGB8, Mode.RGBA8)
STEPS = (1, 384)
"""Range of the steps: at most one for each level of noise (models/vdm.py)."""

FIELDS = (
    *MODEL_FIELDS,
    Field("coarse", VARINT, 0, 2**31, "number of the model of the coarser levels"),
    Field("coarse digest", UINT32, 0, 2**32 - 1, "first 4 bytes of that file's SHA-256"),
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
class Parameters:
    """Everything that a decoder needs to know, as stored in the header.

    Attributes:
        card: the model of the finest pixels.
        coarse: the model of the coarser levels.
        steps: of the chain.
    """

    card: Card
    coarse: Card
    steps: int

    @classmethod
    def choose(cls, options: Vdm) -> Parameters:
        """Parameters of an encode.

        Raises:
            ModelError: there is no such model.
        """
        return cls(registry.find(options.model), registry.find(options.coarse), options.steps)

    @classmethod
    def parse(cls, data: bytes, models: Sequence[str] = ()) -> Parameters:
        """Parameters from a header.

        Args:
            models: paths of model files to look at before the bundled ones.

        Raises:
            CorruptError, TruncatedError: see `header.unpack_all`.
            ModelError: a model is not there or has another digest.
        """
        values = unpack_all(FIELDS, data, "vdm")
        return cls(
            recorded_model(values, models),
            recorded_model(values, models, "coarse"),
            values["steps"],
        )

    def pack(self) -> bytes:
        """Header bytes."""
        models = record(self.card) | record(self.coarse, "coarse")
        return pack(FIELDS, {**models, "steps": self.steps})


class VdmCodec(NetworkCodec):
    """The codec behind the common protocol, also for groups of images (codec/protocol.py)."""

    ID: ClassVar[int] = 5
    NAME: ClassVar[str] = "vdm"
    LOSSLESS: ClassVar[bool] = True
    OPTIONS: ClassVar[type[Options]] = Vdm
    GROUP_MODES: ClassVar[tuple[Mode, ...]] = MODES

    def encode_group(
        self, rasters: Sequence[Raster], options: Vdm, report: Report
    ) -> tuple[list[Encoded], bytes]:
        """See `GroupCodec.encode_group`."""
        coded: tuple[list[Encoded], bytes] = self.coding().encode_group(rasters, options, report)
        return coded

    def decode_group(
        self, files: Sequence[Contents], details: bytes, decoding: Decoding, report: Report
    ) -> list[Samples]:
        """See `GroupCodec.decode_group`."""
        images: list[Samples] = self.coding().decode_group(files, details, decoding, report)
        return images

    def describe(self, parameters: bytes) -> dict[str, int | str]:
        values = unpack_all(FIELDS, parameters, self.NAME)
        coarse = describe_model(values, "coarse")
        beside = {"coarse model": coarse["coarse"], "coarse digest": coarse["coarse digest"]}
        return {**describe_model(values), **beside, "steps": values["steps"]}
