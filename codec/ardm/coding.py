"""The ardm codec at work: an image to data sections and back."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

from ...bitstream.binary import (
    BinaryDecoder,
    BinaryEncoder,
    BinaryTally,
    join_streams,
    split_streams,
)
from ...bitstream.coders import Coder, Decoder, Encoder, Tally
from ...bitstream.container import Contents, Section, SectionKind
from ...bitstream.errors import CorruptError, ModelError
from ...models.lattice import LatticeNet
from ...models.masked import STAGES, MaskedNet
from ...models.registry import load_network
from ..alpha import split_alpha, with_alpha
from ..image.raster import Mode, Raster, Samples, Shape
from ..protocol import Decoding, Encoded, Report, Size, check_mode, watched
from . import groups, planes
from .codec import MODES, Ardm, ArdmParameters
from .conversions import RGB, named
from .lattice import Lanes, Lattice, streams
from .random_order import RandomOrder

_CROP = 256
"""Side of the square of an image by which source planes are compared with RGB."""


def encode(raster: Raster, options: Ardm, report: Report, size: Size) -> Encoded | None:
    """See `protocol.Codec.encode`."""
    if raster.mode not in MODES[options.order]:
        return None
    colour, alpha = split_alpha(raster)
    source = Source.choose(colour, options)
    parameters = source.parameters
    encoder = BinaryEncoder if parameters.mixing else Encoder
    counts = _streams(parameters, _shape(colour))
    encoders = [[encoder() for _ in range(count)] for count in counts]
    _exhaust(parameters, source.samples, _coders(encoders, report, _share(parameters)))
    exceptions = (
        [] if source.exceptions is None else [Section(SectionKind.EXCEPTIONS, source.exceptions)]
    )
    payloads = [join_streams([each.finish() for each in group]) for group in encoders]
    data = [Section(SectionKind.DATA, payload) for payload in payloads]
    return Encoded(parameters.pack(), [*exceptions, *data, *alpha])


def estimate(raster: Raster, options: Ardm) -> float:
    """Bits of the data sections by the model's probabilities, and of exceptions.

    Raises:
        ModelError: the model is made for another order, or damaged.
    """
    source = Source.choose(raster.samples[..., : raster.mode.colours], options)
    return _bits(source.parameters, source.samples) + 8 * len(source.exceptions or b"")


def decode(
    contents: Contents, decoding: Decoding, report: Report, *, previews: bool
) -> Iterator[Samples]:
    """See `protocol.Codec.decode`."""
    header = contents.header
    parameters = ArdmParameters.parse(header.parameters, decoding.models)
    check_mode(header, MODES[parameters.order], f"ardm in {parameters.order} order")
    decoder = BinaryDecoder if parameters.mixing else Decoder
    shape = (header.height, header.width, Mode(header.mode).colours)
    counts = _streams(parameters, shape)
    planned = sum(kind == SectionKind.DATA for kind, _ in contents.table)
    if planned != len(counts):
        raise CorruptError(f"{planned} data sections do not fit the image's size")
    payloads = zip(contents.payloads(SectionKind.DATA), counts, strict=False)
    decoders = [
        [decoder(stream) for stream in split_streams(payload, count)] for payload, count in payloads
    ]
    to_rgb = _conversion(parameters, contents, shape)
    coders = _coders(decoders, report, _share(parameters))
    pictures = _loop(parameters).run(None, shape, coders)
    for done, picture in zip(range(1, len(decoders) + 1), pictures, strict=False):
        yield with_alpha(to_rgb(picture), contents, complete=done == planned)


@dataclass(frozen=True)
class Source:
    """What is coded of an image.

    Attributes:
        parameters: with the planes.
        samples: (h, w, c), the planes, or the colour itself.
        exceptions: the section of the pixels that the planes do not give, if there are any.
    """

    parameters: ArdmParameters
    samples: Samples
    exceptions: bytes | None = None

    @classmethod
    def choose(cls, colour: Samples, options: Ardm) -> Source:
        """Source planes where a sample of the image (h, w, c) has them and they pay, else RGB.

        Raises:
            ModelError: there is no such model, or it is made for another order.
        """
        parameters = ArdmParameters.choose(options)
        plain = cls(parameters, colour)
        if options.planes == RGB or options.order != "lattice" or colour.shape[2] == 1:
            return plain
        conversion = planes.find(colour)
        if conversion is None:
            return plain
        separated, differences = planes.separate(colour, conversion)
        exceptions = planes.pack(differences) if differences.any() else None
        found = cls(replace(parameters, planes=conversion.name), separated, exceptions)
        corner = _busiest(colour)
        pays = found._bits_of_crop(corner) < plain._bits_of_crop(corner)
        return found if pays else plain

    def _bits_of_crop(self, corner: tuple[int, int]) -> float:
        """Bits of a square of the image, with its share of the exceptions."""
        top, left = corner
        crop = self.samples[top : top + _CROP, left : left + _CROP]
        share = crop.size / self.samples.size
        return _bits(self.parameters, crop) + share * 8 * len(self.exceptions or b"")


def _busiest(colour: Samples) -> tuple[int, int]:
    """Top and left of the square of an image (h, w, 3) in which neighbours differ most."""
    tops, lefts = (range(0, max(side - _CROP, 0) + 1, _CROP) for side in colour.shape[:2])

    def activity(corner: tuple[int, int]) -> int:
        top, left = corner
        green = colour[top : top + _CROP, left : left + _CROP, 1].astype(np.int16)
        return int(abs(np.diff(green, axis=0)).sum() + abs(np.diff(green, axis=1)).sum())

    return max(itertools.product(tops, lefts), key=activity)


def _conversion(
    parameters: ArdmParameters, contents: Contents, shape: Shape
) -> Callable[[Samples], Samples]:
    """What makes RGB of the levels of a file's image.

    Raises:
        CorruptError: the file has exceptions or planes where there cannot be any, or the exceptions
            are damaged.
    """
    kinds = [kind for kind, _ in contents.table]
    planned = kinds.count(SectionKind.EXCEPTIONS)
    if parameters.planes == RGB:
        if planned:
            raise CorruptError("an image without source planes has exceptions")
        return lambda level: level
    if shape[2] == 1:
        raise CorruptError("a grey image has source planes")
    if planned > 1 or SectionKind.EXCEPTIONS in kinds[kinds.index(SectionKind.DATA) :]:
        raise CorruptError("exceptions are not in one section before the data")
    conversion = named(parameters.planes)
    payloads = contents.payloads(SectionKind.EXCEPTIONS)
    differences = planes.unpack(payloads[0], shape) if payloads else None

    def to_rgb(level: Samples) -> Samples:
        colour = planes.join(level, conversion)
        if differences is not None:
            longest = max(level.shape)
            step = next(2**n for n in itertools.count() if -(-max(shape) >> n) == longest)
            colour += differences[::step, ::step]
        return colour

    return to_rgb


def _shape(samples: Samples) -> Shape:
    return samples.shape[0], samples.shape[1], samples.shape[2]


def _streams(parameters: ArdmParameters, shape: Shape) -> list[int]:
    """How many streams each data section of an image (h, w, c) has."""
    if parameters.order == "random":
        return [1] * STAGES
    return streams(shape, mixing=parameters.mixing)


def _coders(groups: Iterable[Sequence[Coder]], report: Report, share: float) -> Iterator[Any]:
    """The coders of sections (`Coder` or `Lanes`), by those of their streams."""
    for group in groups:
        yield Lanes(group, report) if len(group) > 1 else next(watched(group, report, share))


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
        lattice = load_network(card, LatticeNet)
        return Lattice(lattice, parameters.block, mixing=parameters.mixing)
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


def _bits(parameters: ArdmParameters, samples: Samples) -> float:
    """Bits of samples by the model's probabilities."""
    tally = BinaryTally if parameters.mixing else Tally
    tallies = [[tally() for _ in range(count)] for count in _streams(parameters, _shape(samples))]
    _exhaust(parameters, samples, _coders(tallies, lambda _: None, 1.0))
    return sum(each.bits for group in tallies for each in group)


def _exhaust(parameters: ArdmParameters, samples: Samples, coders: Iterator[Any]) -> None:
    """Run the coding loop to its end."""
    deque(_loop(parameters).run(samples, _shape(samples), coders), maxlen=0)
