"""The ardm codec: options, header fields, and the sections of a file.

Two orders behind one id: `lattice` for photographs, `random` as in the paper for small images. The
order and all its parameters are in the header.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Literal

from ...bitstream.header import VARINT, Field
from ...models import registry
from ...models.card import Card
from ..image.raster import Mode
from ..options import Doc, Options
from ..parameters import Parameters, choice, model_fields
from ..protocol import DeferredCodec
from .conversions import NAMES, RGB, WHOLE, Halving, named

Order = Literal["lattice", "random"]
Schedule = Literal["equal", "dynamic"]
Planes = Literal["auto", "rgb"]

ORDERS: tuple[Order, ...] = ("lattice", "random")
SCHEDULES: tuple[Schedule, ...] = ("equal", "dynamic")
_BLOCK, _EFFORT, _SEED, _CALLS = (16, 4096), (0, 1), (0, 2**32 - 1), (4, 1024)


def _only_in(order: Order, *fields: Field) -> tuple[Field, ...]:
    """Fields that files in another order do not have."""
    return tuple(replace(field, only_if=("order", ORDERS.index(order))) for field in fields)


FIELDS = (
    choice("order", "0 lattice, 1 random", ORDERS),
    *model_fields("model", "model number"),
    *_only_in(
        "lattice",
        Field("block", VARINT, *_BLOCK, "side of a coding block in pixels of a sub-lattice"),
        Field("effort", VARINT, *_EFFORT, "0 the network alone, 1 with online mixing"),
        choice("planes", "source planes, 0 for none", NAMES),
    ),
    *_only_in(
        "random",
        Field("seed", VARINT, *_SEED, "seed of the order"),
        choice("schedule", "0 equal groups, 1 dynamic program", SCHEDULES),
        Field("calls", VARINT, *_CALLS, "network calls"),
    ),
)


@dataclass(frozen=True, kw_only=True)
class Ardm(Options):
    """Options of the lossless codec `ardm`, autoregressive diffusion.

    Raises:
        OptionError: a value is not supported.
    """

    order: Annotated[
        Order, Doc("order of the samples: lattice for photographs, random for small images")
    ] = "lattice"
    model: Annotated[
        str | None,
        Doc("bundled model, or path of a model file", none="ardm-photo or ardm-small, by order"),
    ] = None
    block: Annotated[
        int, Doc("side of a block in lattice order, in pixels of a sub-lattice", *_BLOCK)
    ] = 512
    effort: Annotated[
        int,
        Doc(
            "lattice order: 1 learns from the image too, for smaller files and 16 bits",
            *_EFFORT,
        ),
    ] = 1
    planes: Annotated[
        Planes,
        Doc("what is coded in lattice order: source planes where that pays, or always RGB"),
    ] = "auto"
    seed: Annotated[int, Doc("seed of the random order", *_SEED)] = 0
    schedule: Annotated[
        Schedule, Doc("sizes of groups in random order: planned by the model's losses, or equal")
    ] = "dynamic"
    calls: Annotated[int, Doc("network calls in random order", *_CALLS)] = 64


@dataclass(frozen=True)
class ArdmParameters(Parameters):
    """What a decoder needs to know, see `FIELDS`; values of another order have no effect."""

    CODEC: ClassVar[str] = "ardm"
    FIELDS: ClassVar[tuple[Field, ...]] = FIELDS

    order: Order
    model: Card
    block: int = 0
    effort: int = 0
    planes: str = RGB
    seed: int = 0
    schedule: Schedule = "dynamic"
    calls: int = 0

    @property
    def mixing(self) -> bool:
        """Whether the network's distributions are corrected by online mixing."""
        return self.order == "lattice" and self.effort > 0

    @property
    def chroma(self) -> Halving:
        """Where the finest level has no chroma of its own."""
        return WHOLE if self.planes == RGB else named(self.planes).chroma

    @classmethod
    def choose(cls, options: Ardm) -> ArdmParameters:
        """Parameters of an encode: the options, with the model that they name, without planes.

        Raises:
            ModelError: there is no such model.
        """
        default = {"lattice": "ardm-photo", "random": "ardm-small"}[options.order]
        model = registry.find(options.model or default)
        return cls(**{**vars(options), "model": model, "planes": RGB})


def modes(order: Order, effort: int) -> tuple[Mode, ...]:
    """Layouts that are coded in an order with an effort."""
    if order == "random":
        return Mode.RGB8, Mode.RGBA8
    deep = (Mode.L16, Mode.LA16, Mode.RGB16, Mode.RGBA16)
    return Mode.L8, Mode.LA8, Mode.RGB8, Mode.RGBA8, *(deep if effort else ())


class ArdmCodec(DeferredCodec):
    """The codec behind the common protocol (codec/protocol.py)."""

    ID: ClassVar[int] = 1
    NAME: ClassVar[str] = "ardm"
    LOSSLESS: ClassVar[bool] = True
    OPTIONS: ClassVar[type[Options]] = Ardm
    PARAMETERS: ClassVar[type[Parameters]] = ArdmParameters
