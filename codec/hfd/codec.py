"""The hfd codec: an MSE autoencoder, and a score-based decoder that restores plausible detail.

High-Fidelity Image Compression with Score-based Generative Models (arXiv 2305.18231). The file
holds the autoencoder's latents (codec/hfd/hyperprior.py); a receiver shows what they decode to, or
gives that to a diffusion model that draws an image which it may have come from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

from ...bitstream.header import UINT32, VARINT, Field, pack, unpack_all
from ...models import registry
from ...models.card import Card
from ..lossy import LossyOptions
from ..model_reference import MODEL_FIELDS, describe_model, record, recorded_model
from ..options import Doc, Options
from ..protocol import NetworkCodec

FIELDS = (
    *MODEL_FIELDS,
    Field("decoder", VARINT, 0, 2**31, "number of the score decoder's model"),
    Field("decoder digest", UINT32, 0, 2**32 - 1, "first 4 bytes of that file's SHA-256"),
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
class Parameters:
    """Everything that a decoder needs to know, as stored in the header.

    Attributes:
        card: the autoencoder's model.
        decoder: the score decoder's model.
        rate: of the latents, in 1/RATE_UNITS of the trained rates (models/autoencoder.py).
        seed: of the score decoder's noise.
    """

    card: Card
    decoder: Card
    rate: int
    seed: int

    @classmethod
    def choose(cls, options: Hfd) -> Parameters:
        """Parameters of an encode at the lowest rate.

        Raises:
            ModelError: there is no such model.
        """
        models = registry.find(options.model), registry.find(options.decoder)
        return cls(*models, rate=0, seed=options.seed)

    @classmethod
    def parse(cls, data: bytes, models: Sequence[str] = ()) -> Parameters:
        """Parameters from a header.

        Args:
            models: paths of model files to look at before the bundled ones.

        Raises:
            CorruptError, TruncatedError: see `header.unpack_all`.
            ModelError: a model is not there or has another digest.
        """
        values = unpack_all(FIELDS, data, "hfd")
        return cls(
            recorded_model(values, models),
            recorded_model(values, models, "decoder"),
            values["rate"],
            values["seed"],
        )

    def pack(self) -> bytes:
        """Header bytes."""
        models = record(self.card) | record(self.decoder, "decoder")
        return pack(FIELDS, {**models, "rate": self.rate, "seed": self.seed})


class HfdCodec(NetworkCodec):
    """The codec behind the common protocol (codec/protocol.py)."""

    ID: ClassVar[int] = 6
    NAME: ClassVar[str] = "hfd"
    LOSSLESS: ClassVar[bool] = False
    OPTIONS: ClassVar[type[Options]] = Hfd

    def describe(self, parameters: bytes) -> dict[str, int | str]:
        values = unpack_all(FIELDS, parameters, self.NAME)
        return {**values, **describe_model(values), **describe_model(values, "decoder")}
