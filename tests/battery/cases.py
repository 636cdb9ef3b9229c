"""The codecs that the battery runs, with options that make them fast."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from numpy.typing import NDArray

import noisepress
from noisepress.bitstream.header import Field
from noisepress.codec.ardm import codec as ardm
from noisepress.codec.diffc import codec as diffc
from noisepress.codec.hfd import codec as hfd
from noisepress.codec.image.raster import Mode, Raster
from noisepress.codec.screen import codec as screen
from noisepress.codec.vdm import codec as vdm

GREY_AND_COLOUR = (Mode.L8, Mode.LA8, Mode.RGB8, Mode.RGBA8)
EIGHT_BITS = (*GREY_AND_COLOUR, Mode.PALETTE8, Mode.BILEVEL)
COLOUR = (Mode.RGB8, Mode.RGBA8)
DEEP = (Mode.L16, Mode.LA16, Mode.RGB16, Mode.RGBA16)


@dataclass(frozen=True)
class Case:
    """A codec as the battery uses it.

    Attributes:
        name: unique name of the case.
        modes: sample layouts that the codec takes.
        fields: of the codec's own header.
        options: of every encode, chosen for speed.
        models: options that name a model, with the fixture of a small one, later with its path.
        floor: least PSNR of any picture in dB; infinite if the codec is lossless.
    """

    name: str
    codec: str
    modes: Sequence[Mode]
    fields: Sequence[Field] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    models: Mapping[str, str] = field(default_factory=dict)
    floor: float = math.inf

    @property
    def lossless(self) -> bool:
        return self.floor == math.inf

    @property
    def paths(self) -> list[str]:
        return list(self.models.values())

    def encode(self, image: object, **options: Any) -> bytes:
        given = {"fallback": False, **self.options, **self.models, **options}
        return noisepress.encode(image, self.codec, **given)

    def decode(self, data: bytes, **options: Any) -> NDArray[Any]:
        return noisepress.decode(data, model=self.paths, **options)

    def raster(self, data: bytes, **options: Any) -> Raster:
        return noisepress.decode_raster(data, model=self.paths, **options)

    def pictures(self, data: bytes) -> list[NDArray[Any]]:
        return list(noisepress.decode_progressive(data, model=self.paths))

    def verify(self, data: bytes, image: object = None) -> None:
        noisepress.verify(data, image, model=self.paths)


def fields_of_order(order: ardm.Order) -> tuple[Field, ...]:
    """The header fields of ardm that a file in an order has."""
    number = {"order": ardm.ORDERS.index(order)}
    return tuple(field for field in ardm.FIELDS if not field.left_out(number))


SMALL = (
    Case(
        "ardm-lattice",
        "ardm",
        (*GREY_AND_COLOUR, *DEEP),
        fields_of_order("lattice"),
        models={"model": "lattice_model"},
    ),
    Case(
        "ardm-random",
        "ardm",
        COLOUR,
        fields_of_order("random"),
        {"order": "random", "calls": 6},
        {"model": "masked_model"},
    ),
    Case(
        "vdm",
        "vdm",
        COLOUR,
        vdm.FIELDS,
        {"steps": 3},
        {"model": "vdm_model", "coarse": "lattice_model"},
    ),
    Case(
        "diffc",
        "diffc",
        GREY_AND_COLOUR,
        diffc.FIELDS,
        {"effort": 6, "quality": 80},
        {"model": "unet_model"},
        floor=28,
    ),
    Case(
        "hfd",
        "hfd",
        GREY_AND_COLOUR,
        hfd.FIELDS,
        {"quality": 100},
        {"model": "score_model"},
        floor=45,
    ),
    Case("screen", "screen", EIGHT_BITS, screen.FIELDS[:1]),
    Case("webp", "webp", EIGHT_BITS),
    Case("png", "png", tuple(Mode)),
    Case("jpegxl", "jpegxl", tuple(Mode), options={"effort": 3}),
)

BUNDLED = tuple(
    replace(case, name=f"{case.name}-bundled", models={}) for case in SMALL if case.models
)
"""The same cases with the models of the package."""
