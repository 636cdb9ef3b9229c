"""The vdm codec: lossless coding with a variational diffusion model, by bits-back.

The image at half the resolution is coded in lattice order, coarse to fine, so that a file that was
cut decodes to it; the rest tile by tile (codec/vdm/tiles.py) on one stack of bits.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ...bitstream.container import Contents, Header, Section, SectionKind
from ...bitstream.errors import CorruptError, ModelError
from ...bitstream.header import UINT32, VARINT, Field, pack, unpack, unpack_all
from ...models import registry
from ..alpha import encode_plane, join_alpha, split_alpha
from ..image.raster import Mode, Raster, Samples
from ..model_reference import (
    MODEL_FIELDS,
    chosen_model,
    describe_model,
    load_network,
    record,
    recorded_model,
)
from ..protocol import Decoding, Encoded, Report, check_ranges, parse_options, watched

if TYPE_CHECKING:
    from ...models.vdm import VdmNet
    from ..ardm.lattice import Lattice
    from .tiles import Tiles

MAX_STEPS = 384
_BLOCK = 512

FIELDS = (
    *MODEL_FIELDS,
    Field("coarse", VARINT, 0, 2**31, "number of the model of the coarser levels"),
    Field("coarse digest", UINT32, 0, 2**32 - 1, "first 4 bytes of that file's SHA-256"),
    Field("steps", VARINT, 1, MAX_STEPS, "steps of the chain"),
)
DETAILS = (Field("plain", VARINT, 0, 2**40, "tiles in lattice order"),)
"""What a details payload begins with; a stack follows."""


@dataclass(frozen=True)
class Options:
    """Settings of an encode.

    Attributes:
        steps: of the chain, 1 to 384; more make smaller files and take longer.
        model: name of a bundled model, or path of a model file.
        coarse: the same for the model of the coarser levels, one of ardm's in lattice order.
    """

    steps: int = 50
    model: str | None = None
    coarse: str | None = None


DEFAULT_MODEL = "vdm-photo"
DEFAULT_COARSE = "ardm-photo"


@dataclass(frozen=True)
class Parameters:
    """Everything that a decoder needs to know, as stored in the header."""

    card: registry.Card
    coarse: registry.Card
    steps: int

    @classmethod
    def choose(cls, options: Options) -> Parameters:
        """Parameters for an encode.

        Raises:
            OptionError: an option is not supported.
            ModelError: there is no such model, or it is made for another codec.
        """
        check_ranges([("steps", Integral, options.steps, 1, MAX_STEPS)])
        return cls(
            _made_for("vdm", chosen_model(options.model or DEFAULT_MODEL)),
            _made_for("lattice", chosen_model(options.coarse or DEFAULT_COARSE)),
            options.steps,
        )

    @classmethod
    def parse(cls, data: bytes, extra: Sequence[str] = ()) -> Parameters:
        """Parameters from a header.

        Args:
            extra: paths of model files to look at before the bundled ones.

        Raises:
            CorruptError: values out of range, or bytes left over.
            ModelError: a model is not there or has another digest.
        """
        values = unpack_fields(data)
        return cls(
            _made_for("vdm", recorded_model(values, extra)),
            _made_for("lattice", recorded_model(values, extra, "coarse")),
            values["steps"],
        )

    def pack(self) -> bytes:
        """Header bytes."""
        models = record(self.card) | record(self.coarse, "coarse")
        return pack(FIELDS, {**models, "steps": self.steps})

    def vdm(self) -> VdmNet:
        """The network of the finest pixels."""
        from ...models.vdm import VdmNet

        network = load_network(self.card)
        assert isinstance(network, VdmNet)
        return network

    def lattice(self, finest: int) -> Lattice:
        """What codes images that are a level of a larger one's pyramid."""
        from ...models.lattice import LatticeNet
        from ..ardm.lattice import Lattice

        network = load_network(self.coarse)
        assert isinstance(network, LatticeNet)
        return Lattice(network, _BLOCK, finest)

    def tiles(self) -> Tiles:
        """What codes the finest pixels."""
        from .bits_back import BitsBack
        from .tiles import Tiles

        return Tiles(self.lattice(0), BitsBack(self.vdm(), self.steps))


def _made_for(architecture: str, card: registry.Card) -> registry.Card:
    if card.architecture != architecture:
        raise ModelError(
            f"model {card.name} has the architecture {card.architecture}, not {architecture}"
        )
    return card


def unpack_fields(data: bytes) -> dict[str, int]:
    """The codec's header fields.

    Raises:
        CorruptError: values out of range, or bytes left over.
    """
    return unpack_all(FIELDS, data, "vdm")


class Vdm:
    """The codec behind the common protocol (codec/protocol.py), and for several images at once."""

    ID: ClassVar[int] = 5
    NAME: ClassVar[str] = "vdm"
    LOSSLESS: ClassVar[bool] = True

    def encode(self, raster: Raster, options: Mapping[str, Any], report: Report) -> Encoded | None:
        """Sections of an image, or None for a layout that vdm leaves to the carriers.

        Raises:
            OptionError, ModelError: see `Parameters.choose`.
        """
        parameters = Parameters.choose(parse_options(Options, options))
        if raster.mode not in MODES:
            return None
        (coarse,), details = self.encode_together([raster], parameters, report)
        data = [one for one in coarse.sections if one.kind == SectionKind.DATA]
        alpha = [one for one in coarse.sections if one.kind == SectionKind.ALPHA]
        return Encoded(coarse.parameters, [*data, Section(SectionKind.DATA, details), *alpha])

    def encode_together(
        self, rasters: Sequence[Raster], parameters: Parameters, report: Report
    ) -> tuple[list[Encoded], bytes]:
        """Sections of images (h, w) of `MODES` without their details, and the details of all."""
        from ...bitstream.coders import Encoder, Stack
        from ..ardm.lattice import sections

        lattice = parameters.lattice(1)
        found, colours = [], []
        for raster in rasters:
            colour, alpha = split_alpha(raster)
            half = colour[::2, ::2]
            encoders = [Encoder() for _ in sections(*half.shape[:2])]
            shape = (half.shape[0], half.shape[1], _COLOURS)
            deque(lattice.run(half, shape, watched(encoders, report, 1.0)), maxlen=0)
            parts = [Section(SectionKind.DATA, encoder.finish()) for encoder in encoders]
            if alpha is not None:
                parts.append(Section(SectionKind.ALPHA, encode_plane(alpha)))
            found.append(Encoded(parameters.pack(), parts))
            colours.append(colour)
        stack = Stack()
        plain = parameters.tiles().push(stack, colours, report)
        return found, pack(DETAILS, {"plain": plain}) + stack.seal()

    def decode(self, contents: Contents, decoding: Decoding, report: Report) -> Iterator[Samples]:
        from ..ardm.lattice import sections

        header = contents.header
        coarse = len(sections(*_half(header)))
        planned = sum(kind == SectionKind.DATA for kind, _ in contents.table)
        if planned != coarse + 1:
            raise CorruptError(f"{planned} data sections do not fit the image's size")
        opaque = Mode(header.mode).has_alpha
        picture = None
        for picture in self._coarse(contents, decoding, report):
            yield join_alpha(picture, None) if opaque else picture
        payloads = contents.payloads(SectionKind.DATA)
        if picture is not None and len(payloads) == planned:
            yield self._whole([contents], [picture], payloads[-1], decoding, report)[0]

    def decode_together(
        self, files: Sequence[Contents], details: bytes, decoding: Decoding, report: Report
    ) -> list[Samples]:
        """The images of `encode_together`.

        Args:
            files: all with the same parameters.

        Raises:
            CorruptError: the details or a file are damaged.
            ModelError: a model is not there.
        """
        pictures = [deque(self._coarse(one, decoding, report), maxlen=1)[0] for one in files]
        return self._whole(files, pictures, details, decoding, report)

    def _coarse(self, contents: Contents, decoding: Decoding, report: Report) -> Iterator[Samples]:
        """The pictures (h', w', 3) up to half the resolution."""
        from ...bitstream.coders import Decoder
        from ..ardm.lattice import sections

        header = contents.header
        if Mode(header.mode) not in MODES:
            raise CorruptError(f"vdm has no {Mode(header.mode).name} images")
        lattice = Parameters.parse(header.parameters, decoding.models).lattice(1)
        half = _half(header)
        payloads = contents.payloads(SectionKind.DATA)[: len(sections(*half))]
        decoders = [Decoder(payload) for payload in payloads]
        pictures = lattice.run(None, (*half, _COLOURS), watched(decoders, report, 1.0))
        # First the decoders, so that no picture is begun for which there is none.
        yield from (picture for _, picture in zip(decoders, pictures, strict=False))

    def _whole(
        self,
        files: Sequence[Contents],
        pictures: Sequence[Samples],
        details: bytes,
        decoding: Decoding,
        report: Report,
    ) -> list[Samples]:
        """The images of which the pictures are those at half the resolution."""
        from ...bitstream.coders import Stack

        tiles = Parameters.parse(files[0].header.parameters, decoding.models).tiles()
        values, position = unpack(DETAILS, details, 0)
        images = []
        for one, picture in zip(files, pictures, strict=True):
            image = np.zeros((one.header.height, one.header.width, _COLOURS), np.uint8)
            image[::2, ::2] = picture
            images.append(image)
        tiles.pop(Stack(details[position:]), images, values["plain"], report)
        return [
            join_alpha(image, next(iter(one.payloads(SectionKind.ALPHA)), None))
            if Mode(one.header.mode).has_alpha
            else image
            for one, image in zip(files, images, strict=True)
        ]

    def describe(self, parameters: bytes) -> dict[str, int | str]:
        values = unpack_fields(parameters)
        coarse = describe_model(values, "coarse")
        beside = {"coarse model": coarse["coarse"], "coarse digest": coarse["coarse digest"]}
        return {**describe_model(values), **beside, "steps": values["steps"]}


_COLOURS = 3
MODES = (Mode.RGB8, Mode.RGBA8)


def _half(header: Header) -> tuple[int, int]:
    """The sides of an image at half the resolution."""
    return -(-header.height // 2), -(-header.width // 2)
