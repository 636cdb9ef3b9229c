"""The ardm codec: options, header fields, and the sections of a file.

Two orders behind one id: `lattice` for photographs, `random` as in the paper for small images. The
order and all its parameters are in the header.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from ...bitstream.errors import CorruptError
from ...bitstream.header import VARINT, Field, pack, unpack
from ...models import registry
from ...models.card import Card
from ..image.raster import Mode
from ..model_reference import MODEL_FIELDS, describe_model, record, recorded_model
from ..options import Doc, Options
from ..protocol import NetworkCodec

Order = Literal["lattice", "random"]
Schedule = Literal["equal", "dynamic"]

ORDERS: tuple[Order, ...] = ("lattice", "random")
SCHEDULES: tuple[Schedule, ...] = ("equal", "dynamic")
MODES = {
    "lattice": (Mode.L8, Mode.LA8, Mode.RGB8, Mode.RGBA8),
    "random": (Mode.RGB8, Mode.RGBA8),
}
_BLOCK, _SEED, _CALLS = (16, 4096), (0, 2**32 - 1), (4, 1024)

COMMON = (Field("order", VARINT, 0, len(ORDERS) - 1, "0 lattice, 1 random"), *MODEL_FIELDS)
OF_ORDER = {
    "lattice": (
        Field("block", VARINT, *_BLOCK, "side of a coding block in pixels of a sub-lattice"),
    ),
    "random": (
        Field("seed", VARINT, *_SEED, "seed of the order"),
        Field("schedule", VARINT, 0, len(SCHEDULES) - 1, "0 equal groups, 1 dynamic program"),
        Field("calls", VARINT, *_CALLS, "network calls"),
    ),
}


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
    seed: Annotated[int, Doc("seed of the random order", *_SEED)] = 0
    schedule: Annotated[
        Schedule, Doc("sizes of groups in random order: planned by the model's losses, or equal")
    ] = "dynamic"
    calls: Annotated[int, Doc("network calls in random order", *_CALLS)] = 64


@dataclass(frozen=True)
class Parameters:
    """Everything that a decoder needs to know, as stored in the header.

    Attributes:
        order: see `ORDERS`.
        card: the model.
        values: the fields of the order.
    """

    order: Order
    card: Card
    values: Mapping[str, int]

    @classmethod
    def choose(cls, options: Ardm) -> Parameters:
        """Parameters of an encode.

        Raises:
            ModelError: there is no such model.
        """
        default = {"lattice": "ardm-photo", "random": "ardm-small"}[options.order]
        chosen = {
            "block": options.block,
            "seed": options.seed,
            "schedule": SCHEDULES.index(options.schedule),
            "calls": options.calls,
        }
        values = {field.name: chosen[field.name] for field in OF_ORDER[options.order]}
        return cls(options.order, registry.find(options.model or default), values)

    @classmethod
    def parse(cls, data: bytes, models: Sequence[str] = ()) -> Parameters:
        """Parameters from a header.

        Args:
            models: paths of model files to look at before the bundled ones.

        Raises:
            CorruptError, TruncatedError: see `unpack_fields`.
            ModelError: the model is not there or has another digest.
        """
        common, values = unpack_fields(data)
        return cls(ORDERS[common["order"]], recorded_model(common, models), values)

    def pack(self) -> bytes:
        """Header bytes."""
        common = {"order": ORDERS.index(self.order), **record(self.card)}
        return pack(COMMON, common) + pack(OF_ORDER[self.order], self.values)


def unpack_fields(data: bytes) -> tuple[dict[str, int], dict[str, int]]:
    """The common fields and those of the order.

    Raises:
        CorruptError: a value is out of range, or bytes are left over.
        TruncatedError: the bytes end inside a field.
    """
    common, position = unpack(COMMON, data, 0)
    values, position = unpack(OF_ORDER[ORDERS[common["order"]]], data, position)
    if position != len(data):
        raise CorruptError("the ardm header has bytes left over")
    return common, values


class ArdmCodec(NetworkCodec):
    """The codec behind the common protocol (codec/protocol.py)."""

    ID: ClassVar[int] = 1
    NAME: ClassVar[str] = "ardm"
    LOSSLESS: ClassVar[bool] = True
    OPTIONS: ClassVar[type[Options]] = Ardm

    def describe(self, parameters: bytes) -> dict[str, int | str]:
        common, values = unpack_fields(parameters)
        described = {"order": ORDERS[common["order"]], **describe_model(common), **values}
        if "schedule" in values:
            described["schedule"] = SCHEDULES[values["schedule"]]
        return described
