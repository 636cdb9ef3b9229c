"""The ardm codec: lossless coding with autoregressive diffusion models.

Two orders behind one id: `lattice` for photographs, `random` as in the paper for small
images. The order and all its parameters are in the stream.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from ...bitstream.container import Contents, Section, SectionKind
from ...bitstream.errors import (
    CorruptError,
    FieldError,
    ModelError,
    OptionError,
    UnsupportedImageError,
)
from ...bitstream.header import VARINT, Field, pack, unpack
from ...models import registry
from ..alpha import encode_plane, join_alpha, split_alpha
from ..image.raster import Mode, Raster
from ..model_reference import (
    MODEL_FIELDS,
    chosen_model,
    describe_model,
    load_network,
    record,
    recorded_model,
)
from ..protocol import Decoding, Encoded, Report, parse_options, watched

if TYPE_CHECKING:
    from ...bitstream.coders import Coder
    from .lattice import Lattice
    from .random_order import RandomOrder

Samples = NDArray[np.uint8]
Order = Literal["lattice", "random"]
Schedule = Literal["equal", "dynamic"]

ORDERS: tuple[Order, ...] = ("lattice", "random")
SCHEDULES: tuple[Schedule, ...] = ("equal", "dynamic")
DEFAULT_MODELS = {"lattice": "ardm-photo", "random": "ardm-small"}
ARCHITECTURES = {"lattice": "lattice", "random": "masked"}
STAGES = 4
MAX_CALLS = 1024

COMMON = (Field("order", VARINT, 0, len(ORDERS) - 1, "0 lattice, 1 random"), *MODEL_FIELDS)
OF_ORDER = {
    "lattice": (
        Field("block", VARINT, 16, 4096, "side of a coding block in pixels of a sub-lattice"),
    ),
    "random": (
        Field("seed", VARINT, 0, 2**32 - 1, "seed of the order"),
        Field("schedule", VARINT, 0, len(SCHEDULES) - 1, "0 equal groups, 1 dynamic program"),
        Field("calls", VARINT, STAGES, MAX_CALLS, "network calls"),
    ),
}


@dataclass(frozen=True)
class Options:
    """Settings of an encode.

    Attributes:
        order: see `ORDERS`.
        model: name of a bundled model or path of a model file; None is the order's default.
        block: lattice: side of a block in pixels of a sub-lattice, 16 to 4096. A larger block
            codes slightly better and takes more memory.
        seed: random: 0 to 2^32 - 1.
        schedule: random: see `SCHEDULES`.
        calls: random: network calls, 4 to 1024.
    """

    order: Order = "lattice"
    model: str | None = None
    block: int = 512
    seed: int = 0
    schedule: Schedule = "dynamic"
    calls: int = 64


def _made_for(order: Order, card: registry.Card) -> registry.Card:
    if card.architecture != ARCHITECTURES[order]:
        raise ModelError(f"model {card.name} is not made for the order {order!r}")
    return card


@lru_cache(maxsize=8)
def _ends(curves: tuple[tuple[int, ...], ...], schedule: Schedule, calls: int) -> Any:
    from . import groups as schedules

    if schedule == "dynamic":
        return schedules.dynamic(curves, calls)
    return schedules.equal(STAGES, calls)


@dataclass(frozen=True)
class Parameters:
    """Everything that a decoder needs to know, as stored in the header."""

    order: Order
    card: registry.Card
    values: Mapping[str, int]

    @classmethod
    def choose(cls, options: Options) -> Parameters:
        """Parameters for an encode.

        Raises:
            OptionError: an option is not supported.
            ModelError: there is no such model, or it is made for another order.
        """
        if options.order not in ORDERS:
            raise OptionError(f"order {options.order!r}; supported are {', '.join(ORDERS)}")
        if options.schedule not in SCHEDULES:
            known = ", ".join(SCHEDULES)
            raise OptionError(f"schedule {options.schedule!r}; supported are {known}")
        name = options.model or DEFAULT_MODELS[options.order]
        card = _made_for(options.order, chosen_model(name))
        schedule = SCHEDULES.index(options.schedule)
        given = {
            "block": options.block,
            "seed": options.seed,
            "schedule": schedule,
            "calls": options.calls,
        }
        values = {field.name: given[field.name] for field in OF_ORDER[options.order]}
        chosen = cls(options.order, card, values)
        try:
            chosen.pack()
        except FieldError as error:
            raise OptionError(str(error)) from error
        return chosen

    @classmethod
    def parse(cls, data: bytes, extra: Sequence[str] = ()) -> Parameters:
        """Parameters from a header.

        Args:
            extra: paths of model files to look at before the bundled ones.

        Raises:
            CorruptError: values out of range, or bytes left over.
            ModelError: the model is not there or has another digest.
        """
        common, values = unpack_fields(data)
        order = ORDERS[common["order"]]
        return cls(order, _made_for(order, recorded_model(common, extra)), values)

    def pack(self) -> bytes:
        """Header bytes."""
        common = {"order": ORDERS.index(self.order), **record(self.card)}
        return pack(COMMON, common) + pack(OF_ORDER[self.order], self.values)

    def coder(self) -> Lattice | RandomOrder:
        """The loop that codes with these parameters."""
        network = load_network(self.card)
        if self.order == "lattice":
            from ...models.lattice import LatticeNet
            from .lattice import Lattice

            assert isinstance(network, LatticeNet)
            return Lattice(network, self.values["block"])
        from ...models.masked import MaskedNet
        from .groups import GRID
        from .random_order import RandomOrder

        assert isinstance(network, MaskedNet)
        curves = tuple(tuple(curve) for curve in self.card.tables.get("curves", ()))
        if [len(curve) for curve in curves] != [GRID] * STAGES:
            raise ModelError(f"model {self.card.name} has no loss curves")
        schedule = SCHEDULES[self.values["schedule"]]
        ends = _ends(curves, schedule, self.values["calls"])
        return RandomOrder(network, self.values["seed"], ends)

    @property
    def share(self) -> float:
        """How much of a sample one coded symbol is."""
        return 1 / STAGES if self.order == "random" else 1.0

    def sections(self, height: int, width: int) -> int:
        """How many data sections an image takes."""
        if self.order == "random":
            return STAGES
        from .lattice import sections

        return len(sections(height, width))


def unpack_fields(data: bytes) -> tuple[dict[str, int], dict[str, int]]:
    """The common fields and those of the order.

    Raises:
        CorruptError: values out of range, or bytes left over.
    """
    common, position = unpack(COMMON, data, 0)
    values, position = unpack(OF_ORDER[ORDERS[common["order"]]], data, position)
    if position != len(data):
        raise CorruptError("the ardm header has bytes left over")
    return common, values


class Ardm:
    """The codec behind the common protocol (codec/protocol.py)."""

    ID: ClassVar[int] = 1
    NAME: ClassVar[str] = "ardm"
    LOSSLESS: ClassVar[bool] = True

    def encode(self, raster: Raster, options: Mapping[str, Any], report: Report) -> Encoded | None:
        """Sections of an image, or None for a layout that ardm leaves to the carriers.

        Raises:
            OptionError, ModelError: see `Parameters.choose`.
        """
        from ...bitstream.coders import Encoder

        parameters = Parameters.choose(parse_options(Options, options))
        if not self._takes(raster.mode, parameters.order):
            return None
        colour, alpha = split_alpha(raster)
        count = parameters.sections(*colour.shape[:2])
        encoders = [Encoder() for _ in range(count)]
        _exhaust(parameters, colour, watched(encoders, report, parameters.share))
        sections = [Section(SectionKind.DATA, encoder.finish()) for encoder in encoders]
        if alpha is not None:
            sections.append(Section(SectionKind.ALPHA, encode_plane(alpha)))
        return Encoded(parameters.pack(), sections)

    def estimate(self, raster: Raster, options: Mapping[str, Any]) -> float:
        """Bits of the data sections by the model's probabilities, nothing written.

        Raises:
            UnsupportedImageError: ardm leaves this layout to the carriers.
        """
        from ...bitstream.coders import Tally

        parameters = Parameters.choose(parse_options(Options, options))
        if not self._takes(raster.mode, parameters.order):
            raise UnsupportedImageError(
                f"ardm in {parameters.order} order does not code {raster.mode.name} images"
            )
        tally = Tally()
        _exhaust(parameters, split_alpha(raster)[0], itertools.repeat(tally))
        return tally.bits

    def decode(self, contents: Contents, decoding: Decoding, report: Report) -> Iterator[Samples]:
        from ...bitstream.coders import Decoder

        header = contents.header
        mode = Mode(header.mode)
        parameters = Parameters.parse(header.parameters, decoding.models)
        channels = mode.channels - mode.has_alpha
        if not self._takes(mode, parameters.order):
            raise CorruptError(f"ardm in {parameters.order} order has no {mode.name} images")
        decoders = [Decoder(data) for data in contents.payloads(SectionKind.DATA)]
        planned = sum(kind == SectionKind.DATA for kind, _ in contents.table)
        if planned != parameters.sections(header.height, header.width):
            raise CorruptError(f"{planned} data sections do not fit the image's size")
        shape = (header.height, header.width, channels)
        alphas = contents.payloads(SectionKind.ALPHA)
        pictures = parameters.coder().run(None, shape, watched(decoders, report, parameters.share))
        for done, picture in zip(range(1, len(decoders) + 1), pictures, strict=False):
            plane = alphas[0] if alphas and done == planned else None
            yield join_alpha(picture, plane) if mode.has_alpha else picture

    def describe(self, parameters: bytes) -> dict[str, int | str]:
        common, values = unpack_fields(parameters)
        described = {"order": ORDERS[common["order"]], **describe_model(common), **values}
        if "schedule" in values:
            described["schedule"] = SCHEDULES[values["schedule"]]
        return described

    @staticmethod
    def _takes(mode: Mode, order: Order) -> bool:
        colour = mode.channels - mode.has_alpha
        wide = colour == 3 or order == "lattice"
        return wide and mode in (Mode.L8, Mode.LA8, Mode.RGB8, Mode.RGBA8)


def _exhaust(parameters: Parameters, samples: Samples, coders: Iterator[Coder]) -> None:
    """Run the coding loop to its end."""
    shape = (samples.shape[0], samples.shape[1], samples.shape[2])
    deque(parameters.coder().run(samples, shape, coders), maxlen=0)
