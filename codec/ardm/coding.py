"""The ardm codec at work: an image to data sections and back."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator
from functools import lru_cache

from ...bitstream.binary import BinaryDecoder, BinaryEncoder, BinaryTally
from ...bitstream.coders import Coder, Decoder, Encoder, Tally
from ...bitstream.container import Contents, SectionKind
from ...bitstream.errors import CorruptError, ModelError
from ...models.lattice import LatticeNet
from ...models.masked import STAGES, MaskedNet
from ...models.registry import load_network
from ..alpha import split_alpha, with_alpha
from ..image.raster import Mode, Raster, Samples
from ..protocol import Decoding, Encoded, Report, Size, check_mode, watched
from . import groups
from .codec import MODES, Ardm, ArdmParameters
from .lattice import Lattice, sections
from .random_order import RandomOrder


def encode(raster: Raster, options: Ardm, report: Report, size: Size) -> Encoded | None:
    """See `protocol.Codec.encode`."""
    if raster.mode not in MODES[options.order]:
        return None
    parameters = ArdmParameters.choose(options)
    colour, alpha = split_alpha(raster)
    encoder = BinaryEncoder if parameters.mixing else Encoder
    encoders = [encoder() for _ in range(_section_count(parameters, *colour.shape[:2]))]
    coders = watched(encoders, report, _share(parameters))
    _exhaust(parameters, colour, coders)
    return Encoded.of(parameters.pack(), [each.finish() for each in encoders], alpha)


def estimate(raster: Raster, parameters: ArdmParameters) -> float:
    """Bits of the data sections by the model's probabilities; nothing is written.

    Raises:
        ModelError: the model is made for another order, or damaged.
    """
    tally = BinaryTally() if parameters.mixing else Tally()
    colour = raster.samples[..., : raster.mode.colours]
    _exhaust(parameters, colour, itertools.repeat(tally))
    return tally.bits


def decode(
    contents: Contents, decoding: Decoding, report: Report, *, previews: bool
) -> Iterator[Samples]:
    """See `protocol.Codec.decode`."""
    header = contents.header
    parameters = ArdmParameters.parse(header.parameters, decoding.models)
    check_mode(header, MODES[parameters.order], f"ardm in {parameters.order} order")
    decoder = BinaryDecoder if parameters.mixing else Decoder
    decoders = [decoder(data) for data in contents.payloads(SectionKind.DATA)]
    planned = sum(kind == SectionKind.DATA for kind, _ in contents.table)
    if planned != _section_count(parameters, header.height, header.width):
        raise CorruptError(f"{planned} data sections do not fit the image's size")
    shape = (header.height, header.width, Mode(header.mode).colours)
    pictures = _loop(parameters).run(None, shape, watched(decoders, report, _share(parameters)))
    for done, picture in zip(range(1, len(decoders) + 1), pictures, strict=False):
        yield with_alpha(picture, contents, complete=done == planned)


def _section_count(parameters: ArdmParameters, height: int, width: int) -> int:
    """How many data sections an image takes."""
    return STAGES if parameters.order == "random" else len(sections(height, width))


def _share(parameters: ArdmParameters) -> float:
    """How much of a sample one coded symbol is."""
    return 1 / STAGES if parameters.order == "random" else 1.0


def _loop(parameters: ArdmParameters) -> Lattice | RandomOrder:
    """The loop that codes with these parameters.

    Raises:
        ModelError: the model is made for another order, or has no loss curves.
    """
    card, calls = parameters.model, parameters.calls
    if parameters.order == "lattice":
        network = load_network(card, LatticeNet)
        return Lattice(network, parameters.block, mixing=parameters.mixing)
    network = load_network(card, MaskedNet)
    curves = tuple(tuple(curve) for curve in card.tables.get("curves", ()))
    if [len(curve) for curve in curves] != [groups.GRID] * STAGES:
        raise ModelError(f"model {card.name} has no loss curves")
    dynamic = parameters.schedule == "dynamic"
    ends = _dynamic(curves, calls) if dynamic else groups.equal(STAGES, calls)
    return RandomOrder(network, parameters.seed, ends)


@lru_cache(maxsize=8)
def _dynamic(curves: tuple[tuple[int, ...], ...], calls: int) -> list[list[int]]:
    return groups.dynamic(curves, calls)


def _exhaust(parameters: ArdmParameters, samples: Samples, coders: Iterator[Coder]) -> None:
    """Run the coding loop to its end."""
    shape = (samples.shape[0], samples.shape[1], samples.shape[2])
    deque(_loop(parameters).run(samples, shape, coders), maxlen=0)
