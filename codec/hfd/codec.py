"""The hfd codec: an MSE autoencoder, and a score-based decoder that restores plausible detail.

High-Fidelity Image Compression with Score-based Generative Models (arXiv 2305.18231). The file
holds the autoencoder's latents (codec/hfd/hyperprior.py); a receiver shows what they decode to, or
gives that to a diffusion model that draws an image which it may have come from.
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

FIELDS = (
    *model_fields("model", "model number"),
    *model_fields("decoder", "number of the score decoder's model"),
    Field("rate", VARINT, 0, 2**10, "of the latents, in 1/16 of the trained rates"),
    Field("seed", VARINT, 0, 2**32 - 1, "seed of the score decoder's noise"),
)


@dataclass(frozen=True, kw_only=True)
class Hfd(LossyOptions):
    """Options of the lossy codec `hfd`, an autoencoder with a score-based decoder.

    At most one of `bpp`, `bytes` and `psnr` replaces `quality`, which goes from the lowest rate
    that the autoencoder was trained for to the highest.

    Raises:
        OptionError: a value is not supported, or several of the three are given.
    """

    quality: Annotated[float, Doc("quality of the picture", 0, 100)] = 30
    model: Annotated[str, Doc("bundled model, or path of a model file")] = "hfd-photo"
    decoder: Annotated[str, Doc("model of the score decoder, bundled or a path")] = (
        "hfd-photo-decoder"
    )


@dataclass(frozen=True)
class HfdParameters(Parameters):
    """What a decoder needs to know, see `FIELDS`."""

    CODEC: ClassVar[str] = "hfd"
    FIELDS: ClassVar[tuple[Field, ...]] = FIELDS
    MODELS: ClassVar[tuple[str, ...]] = ("model", "decoder")

    model: Card
    decoder: Card
    rate: int
    seed: int

    @classmethod
    def choose(cls, options: Hfd) -> HfdParameters:
        """Parameters of an encode at the lowest rate.

        Raises:
            ModelError: there is no such model.
        """
        models = registry.find(options.model), registry.find(options.decoder)
        return cls(*models, rate=0, seed=options.seed)


class HfdCodec(DeferredCodec):
    """The codec behind the common protocol (codec/protocol.py)."""

    ID: ClassVar[int] = 6
    NAME: ClassVar[str] = "hfd"
    LOSSLESS: ClassVar[bool] = False
    OPTIONS: ClassVar[type[Options]] = Hfd
    PARAMETERS: ClassVar[type[Parameters]] = HfdParameters
