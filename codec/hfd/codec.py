"""The hfd codec: an autoencoder for small squared error, and a decoder that adds what looks real.

High-Fidelity Image Compression with Score-based Generative Models (arXiv 2305.18231). The file
holds the autoencoder's latents (codec/hfd/hyperprior.py); a receiver shows what they decode to, or
gives that to a diffusion model that draws an image which it may have come from.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, ClassVar

from ...bitstream.container import Contents, Section, SectionKind
from ...bitstream.errors import CorruptError, ModelError, OptionError
from ...bitstream.header import UINT32, VARINT, Field, pack, unpack_all
from ...bitstream.information import OCTAVE
from ...models import registry
from ..image.raster import Raster, Samples
from ..lossy import MODES, allowed_bytes, check_mode, check_wishes, pictures, split_opacity
from ..model_reference import (
    MODEL_FIELDS,
    chosen_model,
    describe_model,
    load_network,
    record,
    recorded_model,
)
from ..protocol import NO_CHECK, Decoding, Encoded, Report, assemble, check_ranges, parse_options

if TYPE_CHECKING:
    from torch import Tensor

    from ...models.autoencoder import Autoencoder
    from ...models.unet import Known, UNet

MAX_RATE = 2**10

FIELDS = (
    *MODEL_FIELDS,
    Field("decoder", VARINT, 0, 2**31, "number of the score decoder's model"),
    Field("decoder digest", UINT32, 0, 2**32 - 1, "first 4 bytes of that file's SHA-256"),
    Field("rate", VARINT, 0, MAX_RATE, "of the latents, in 1/16 of the trained rates"),
    Field("seed", VARINT, 0, 2**32 - 1, "seed of the score decoder's noise"),
)


@dataclass(frozen=True)
class Options:
    """Settings of an encode. At most one of `bpp`, `bytes` and `psnr`.

    Attributes:
        quality: 0 to 100: the rate, from the lowest that was trained to the highest.
        bpp: bits per pixel that the file may have.
        bytes: bytes that the file may have.
        psnr: dB that the mmse picture has at least.
        seed: 0 to 2^32 - 1.
        model: autoencoder: name of a bundled model, or path of a model file.
        decoder: the same for the score decoder.
        device: of the networks, such as `cuda`.
    """

    quality: float = 30
    bpp: float | None = None
    bytes: int | None = None
    psnr: float | None = None
    seed: int = 0
    model: str | None = None
    decoder: str | None = None
    device: str = "cpu"


DEFAULT_MODEL = "hfd-photo"
DEFAULT_DECODER = "hfd-photo-decoder"


@dataclass(frozen=True)
class Parameters:
    """Everything that a decoder needs to know, as stored in the header."""

    card: registry.Card
    decoder: registry.Card
    rate: int
    seed: int

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
            recorded_model(values, extra),
            recorded_model(values, extra, "decoder"),
            values["rate"],
            values["seed"],
        )

    def pack(self) -> bytes:
        """Header bytes."""
        models = record(self.card) | record(self.decoder, "decoder")
        return pack(FIELDS, {**models, "rate": self.rate, "seed": self.seed})

    def autoencoder(self, device: str) -> Autoencoder:
        """The first stage.

        Raises:
            ModelError: the model is made for another codec, or there is no such device.
            CorruptError: it has no such rate.
        """
        from ...models.autoencoder import Autoencoder

        network = load_network(self.card, device)
        if not isinstance(network, Autoencoder):
            raise ModelError(f"model {self.card.name} is not an autoencoder for hfd")
        if self.rate > network.last_rate:
            raise CorruptError(f"rate {self.rate}, model {self.card.name} has {network.last_rate}")
        return network


def score_decoder(card: registry.Card, device: str) -> tuple[UNet, list[float] | None]:
    """A score decoder's network, and the log-SNRs in nats at which one of few calls is called.

    Raises:
        ModelError: the model is made for another codec, or there is no such device.
    """
    from ...models.unet import CHANNELS, UNet

    network = load_network(card, device)
    if not (isinstance(network, UNet) and network.config.condition == CHANNELS):
        raise ModelError(f"model {card.name} is not a score decoder for hfd")
    levels = card.tables.get("levels")
    return network, levels and [level * math.log(2) / OCTAVE for level in levels]


def unpack_fields(data: bytes) -> dict[str, int]:
    """The codec's header fields.

    Raises:
        CorruptError: values out of range, or bytes left over.
    """
    return unpack_all(FIELDS, data, "hfd")


class Hfd:
    """The codec behind the common protocol (codec/protocol.py)."""

    ID: ClassVar[int] = 6
    NAME: ClassVar[str] = "hfd"
    LOSSLESS: ClassVar[bool] = False

    def encode(self, raster: Raster, options: Mapping[str, Any], report: Report) -> Encoded | None:
        """Sections of an image, or None for a layout that hfd does not take.

        Raises:
            OptionError: an option is not supported, or the file cannot be as small as asked for or
                the picture as good.
            ModelError: there is no such model, or it is made for another codec.
        """
        from .stages import Picture

        chosen = parse_options(Options, options)
        check_ranges(
            [
                ("quality", Real, chosen.quality, 0, 100),
                ("seed", Integral, chosen.seed, 0, 2**32 - 1),
            ]
        )
        check_wishes(chosen.bpp, chosen.bytes, chosen.psnr)
        cards = (
            chosen_model(chosen.model or DEFAULT_MODEL),
            chosen_model(chosen.decoder or DEFAULT_DECODER),
        )
        first = Parameters(*cards, 0, chosen.seed)
        score_decoder(first.decoder, "cpu")
        network = first.autoencoder(chosen.device)
        if raster.mode not in MODES:
            return None
        colour, beside = split_opacity(raster)
        picture = Picture(network, colour)
        report(raster.samples.size / 2)

        def at(rate: int) -> Encoded:
            data = [Section(SectionKind.DATA, payload) for payload in picture.code(rate)]
            return Encoded(Parameters(*cards, rate, chosen.seed).pack(), [*data, *beside])

        def size(encoded: Encoded) -> int:
            return len(assemble(raster, self.ID, NO_CHECK, encoded))

        allowed = allowed_bytes(raster, chosen.bpp, chosen.bytes)
        if allowed is not None:
            return _largest(network.last_rate, at, size, allowed)
        if chosen.psnr is not None:
            return at(_least(network.last_rate, picture.psnr, chosen.psnr))
        return at(round(chosen.quality / 100 * network.last_rate))

    def decode(self, contents: Contents, decoding: Decoding, report: Report) -> Iterator[Samples]:
        from .stages import Drawer, received

        header = contents.header
        check_mode(header, self.NAME)
        parameters = Parameters.parse(header.parameters, decoding.models)
        network = parameters.autoencoder(decoding.device)
        payloads = contents.payloads(SectionKind.DATA)

        def image(synthesise: Callable[[], Known]) -> Tensor:
            first = synthesise()
            if decoding.render == "mmse":
                return first.image
            found = score_decoder(parameters.decoder, decoding.device)
            return Drawer(*found, parameters.seed).draw(first, decoding)

        known = received(network, parameters.rate, payloads, header.height, header.width)
        images = (partial(image, synthesise) for synthesise in known)
        yield from pictures(contents, images, decoding, report)

    def describe(self, parameters: bytes) -> dict[str, int | str]:
        values = unpack_fields(parameters)
        return {**values, **describe_model(values), **describe_model(values, "decoder")}


def _largest(
    last: int, at: Callable[[int], Encoded], size: Callable[[Encoded], int], allowed: int
) -> Encoded:
    """The file of the highest rate that is small enough, if sizes rise with the rate.

    Raises:
        OptionError: even the lowest rate takes more.
    """
    best: Encoded | None = None
    low, high, least = 0, last, math.inf
    while low <= high:
        middle = (low + high) // 2
        encoded = at(middle)
        least = min(least, size(encoded))
        if size(encoded) <= allowed:
            best, low = encoded, middle + 1
        else:
            high = middle - 1
    if best is None:
        raise OptionError(f"{allowed} bytes are too few, the smallest file has {least}")
    return best


def _least(last: int, reached: Callable[[int], float], wanted: float) -> int:
    """The lowest rate of a PSNR, if that rises with the rate.

    Raises:
        OptionError: the highest rate does not reach it.
    """
    if (most := reached(last)) < wanted:
        raise OptionError(f"{wanted} dB are out of reach, {most:.2f} dB are not")
    low, high = 0, last
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if reached(middle) >= wanted else (middle + 1, high)
    return low
