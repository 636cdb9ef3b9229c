"""The diffc codec: options, header fields, and the sections of a file.

An image is sent as a chain of ever less noisy versions of itself (codec/diffc/chain.py). Where the
chain ends sets rate and quality; every section in between is a picture of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from ...bitstream.header import VARINT, Field
from ...models import registry
from ...models.card import Card
from ..lossy import LossyOptions
from ..options import Doc, Options
from ..parameters import Parameters, choice, model_fields
from ..protocol import DeferredCodec

Reverse = Literal["trellis", "pfr"]

REVERSE: tuple[Reverse, ...] = ("trellis", "pfr")

FIELDS = (
    *model_fields("model", "model number"),
    choice("reverse", "0 trellis, 1 pfr", REVERSE),
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
    ] = 16
    effort: Annotated[
        int, Doc("effort of the search: more makes smaller files and takes longer", 6, 16)
    ] = 14
    reverse: Annotated[Reverse, Doc("reverse channel coder")] = "trellis"
    model: Annotated[str, Doc("bundled model, or path of a model file")] = "diffc-photo"


@dataclass(frozen=True)
class DiffcParameters(Parameters):
    """What a decoder needs to know, see `FIELDS`."""

    CODEC: ClassVar[str] = "diffc"
    FIELDS: ClassVar[tuple[Field, ...]] = FIELDS

    model: Card
    reverse: Reverse
    states: int
    seed: int

    @classmethod
    def choose(cls, options: Diffc) -> DiffcParameters:
        """Parameters of an encode.

        Raises:
            ModelError: there is no such model.
        """
        return cls(registry.find(options.model), options.reverse, options.effort, options.seed)


class DiffcCodec(DeferredCodec):
    """The codec behind the common protocol (codec/protocol.py)."""

    ID: ClassVar[int] = 4
    NAME: ClassVar[str] = "diffc"
    LOSSLESS: ClassVar[bool] = False
    OPTIONS: ClassVar[type[Options]] = Diffc
    PARAMETERS: ClassVar[type[Parameters]] = DiffcParameters
