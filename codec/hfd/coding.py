"""The hfd codec at work: an image to data sections and back."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

from torch import Tensor

from ...bitstream.container import Contents, SectionKind
from ...bitstream.errors import CorruptError, ModelError, OptionError
from ...bitstream.information import OCTAVE
from ...models.autoencoder import Autoencoder
from ...models.card import Card
from ...models.registry import load_network
from ...models.unet import CHANNELS, Known, UNet
from ..alpha import split_alpha
from ..image.raster import Raster, Samples
from ..lossy import MODES, out_of_reach, rendered
from ..protocol import Decoding, Encoded, Report, Size, check_mode
from .codec import Hfd, HfdParameters
from .stages import Drawer, Picture, received


def encode(raster: Raster, options: Hfd, report: Report, size: Size) -> Encoded | None:
    """See `protocol.Codec.encode`."""
    if raster.mode not in MODES:
        return None
    parameters = HfdParameters.choose(options)
    drawer(parameters.decoder, parameters.seed)  # a file names a decoder that works
    network = load_network(parameters.model, Autoencoder, options.device)
    colour, alpha = split_alpha(raster)
    picture = Picture(network, colour)
    report(raster.samples.size / 2)

    def at(rate: int) -> Encoded:
        return Encoded.of(replace(parameters, rate=rate).pack(), picture.code(rate), alpha)

    allowed = options.allowed_bytes(raster)
    if allowed is not None:
        return _largest(network.last_rate, at, size, allowed)
    if options.psnr is not None:
        return at(_least(network.last_rate, picture.psnr, options.psnr))
    return at(round(options.quality / 100 * network.last_rate))


def decode(
    contents: Contents, decoding: Decoding, report: Report, *, previews: bool
) -> Iterator[Samples]:
    """See `protocol.Codec.decode`."""
    header = contents.header
    check_mode(header, MODES, "hfd")
    parameters = HfdParameters.parse(header.parameters, decoding.models)
    network = load_network(parameters.model, Autoencoder, decoding.device)
    if parameters.rate > network.last_rate:
        raise CorruptError(
            f"rate {parameters.rate}, model {parameters.model.name} has {network.last_rate}"
        )
    payloads = contents.payloads(SectionKind.DATA)

    def image(synthesise: Callable[[], Known]) -> Tensor:
        first = synthesise()
        if decoding.render == "mmse":
            return first.image
        return drawer(parameters.decoder, parameters.seed, decoding.device).draw(first, decoding)

    known = received(network, parameters.rate, payloads, header.height, header.width)
    images = (partial(image, synthesise) for synthesise in known)
    yield from rendered(contents, images, report, previews=previews)


def drawer(card: Card, seed: int, device: str = "cpu") -> Drawer:
    """What draws images with a score decoder's model.

    Raises:
        ModelError: the model is made for another codec, or there is no such device.
    """
    network = load_network(card, UNet, device)
    if network.config.condition != CHANNELS:
        raise ModelError(f"model {card.name} is not a score decoder for hfd")
    levels = card.tables.get("levels")
    return Drawer(network, levels and [level * math.log(2) / OCTAVE for level in levels], seed)


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
        raise OptionError(f"{allowed} bytes are too few: the smallest file has {least}")
    return best


def _least(last: int, reached: Callable[[int], float], wanted: float) -> int:
    """The lowest rate of a PSNR, if that rises with the rate.

    Raises:
        OptionError: the highest rate does not reach it.
    """
    if (most := reached(last)) < wanted:
        raise out_of_reach(wanted, most)
    return bisect_left(range(last), wanted, key=reached)
