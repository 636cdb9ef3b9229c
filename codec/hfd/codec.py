"""The hfd codec: a wavelet transform coded by online mixing, and a network that restores detail.

The file holds quantised wavelet coefficients. A receiver shows the picture that they make, restored
by a network if its model is made for that, or gives it to a diffusion model that draws an image
which it may have come from, as in High-Fidelity Image Compression with Score-based Generative
Models (arXiv 2305.18231).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from ...bitstream.header import VARINT, Field
from ...models import registry
from ...models.card import Card
from ..lossy import LossyOptions
from ..options import Doc, Options
from ..parameters import Parameters, model_fields
from ..protocol import DeferredCodec

STEPS = 64, 2**18
"""Least and largest quantiser step, in 1/256 of a level of 8-bit samples."""
FIELDS = (
    *model_fields("model", "number of the model that restores and draws"),
    Field("step", VARINT, *STEPS, "of quantisation, in 1/256 of a level of samples"),
    Field("colours", VARINT, 0, 2**30 - 1, "three angles of 10 bits that turn RGB to the planes"),
    Field("seed", VARINT, 0, 2**32 - 1, "seed of the noise that drawing starts from"),
)


@dataclass(frozen=True, kw_only=True)
class Hfd(LossyOptions):
    """Options of the lossy codec `hfd`, a wavelet transform with a network behind it.

    At most one of `bpp`, `bytes` and `psnr` replaces `quality`. Quality 0 is about 0.02 bits per
    pixel; with 100 the error of a photograph cannot be seen.

    Raises:
        OptionError: a value is not supported, or several of the three are given.
    """

    quality: Annotated[float, Doc("quality of the picture", 0, 100)] = 30
    model: Annotated[str, Doc("bundled model, or path of a model file")] = "hfd-photo"


@dataclass(frozen=True)
class HfdParameters(Parameters):
    """What a decoder needs to know, see `FIELDS`."""

    CODEC: ClassVar[str] = "hfd"
    FIELDS: ClassVar[tuple[Field, ...]] = FIELDS

    model: Card
    step: int
    colours: int
    seed: int

    @classmethod
    def choose(cls, options: Hfd, colours: int) -> HfdParameters:
        """Parameters of an encode at the largest step.

        Args:
            colours: angles, see `FIELDS`.

        Raises:
            ModelError: there is no such model.
        """
        return cls(registry.find(options.model), STEPS[1], colours, options.seed)


class HfdCodec(DeferredCodec):
    """The codec behind the common protocol (codec/protocol.py)."""

    ID: ClassVar[int] = 10
    NAME: ClassVar[str] = "hfd"
    LOSSLESS: ClassVar[bool] = False
    OPTIONS: ClassVar[type[Options]] = Hfd
    PARAMETERS: ClassVar[type[Parameters]] = HfdParameters
