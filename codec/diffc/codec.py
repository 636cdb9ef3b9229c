"""The diffc codec: options, header fields, and the sections of a file.

An image is sent as a chain of ever less noisy versions of itself (codec/diffc/chain.py). Where the
chain ends sets rate and quality; every section in between is a picture of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from ...bitstream.header import VARINT, Field, pack, unpack_all
from ...models import registry
from ...models.card import Card
from ..lossy import LossyOptions
from ..model_reference import MODEL_FIELDS, describe_model, record, recorded_model
from ..options import Doc, Options
from ..protocol import NetworkCodec

Reverse = Literal["trellis", "pfr"]

REVERSE: tuple[Reverse, ...] = ("trellis", "pfr")

FIELDS = (
    *MODEL_FIELDS,
    Field("reverse", VARINT, 0, len(REVERSE) - 1, "0 trellis, 1 pfr"),
    Field("states", VARINT, 1, 16, "trellis: bits of a state"),
    Field("seed", VARINT, 0, 2**32 - 1, "seed of the shared random numbers"),
)


@dataclass(frozen=True, kw_only=True)
class Diffc(LossyOptions):
    """Options of the lossy codec `diffc`, reverse channel coding with a diffusion model.

    At most one of `bpp`, `bytes` and `psnr` replaces `quality`, which is linear in the logarithm of
    the noise that the chain ends at. Above about 30 `steps` files shrink no more. `effort` is the
    number of bits of a trellis state. `reverse` is there for comparison: `pfr`, the Poisson
    functional representation, is much slower and makes larger files.

    Raises:
        OptionError: a value is not supported, or several of the three are given.
    """

    quality: Annotated[float, Doc("quality of the picture", 0, 100)] = 60
    steps: Annotated[
        int, Doc("steps of the chain: more make smaller files and take longer", 10, 1000)
    ] = 12
    effort: Annotated[
        int, Doc("effort of the search: more makes smaller files and takes longer", 6, 16)
    ] = 12
    reverse: Annotated[Reverse, Doc("reverse channel coder")] = "trellis"
    model: Annotated[str, Doc("bundled model, or path of a model file")] = "diffc-photo"


@dataclass(frozen=True)
class Parameters:
    """Everything that a decoder needs to know, as stored in the header.

    Attributes:
        card: the model.
        reverse: the reverse channel coder.
        states: bits of a trellis state.
        seed: of the shared random numbers.
    """

    card: Card
    reverse: Reverse
    states: int
    seed: int

    @classmethod
    def choose(cls, options: Diffc) -> Parameters:
        """Parameters of an encode.

        Raises:
            ModelError: there is no such model.
        """
        return cls(registry.find(options.model), options.reverse, options.effort, options.seed)

    @classmethod
    def parse(cls, data: bytes, models: Sequence[str] = ()) -> Parameters:
        """Parameters from a header.

        Args:
            models: paths of model files to look at before the bundled ones.

        Raises:
            CorruptError, TruncatedError: see `header.unpack_all`.
            ModelError: the model is not there or has another digest.
        """
        values = unpack_all(FIELDS, data, "diffc")
        card = recorded_model(values, models)
        return cls(card, REVERSE[values["reverse"]], values["states"], values["seed"])

    def pack(self) -> bytes:
        """Header bytes."""
        values = {
            "reverse": REVERSE.index(self.reverse),
            "states": self.states,
            "seed": self.seed,
        }
        return pack(FIELDS, {**record(self.card), **values})


class DiffcCodec(NetworkCodec):
    """The codec behind the common protocol (codec/protocol.py)."""

    ID: ClassVar[int] = 4
    NAME: ClassVar[str] = "diffc"
    LOSSLESS: ClassVar[bool] = False
    OPTIONS: ClassVar[type[Options]] = Diffc

    def describe(self, parameters: bytes) -> dict[str, int | str]:
        values = unpack_all(FIELDS, parameters, self.NAME)
        return {**values, **describe_model(values), "reverse": REVERSE[values["reverse"]]}
