"""The ardm codec at work: an image to data sections and back."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...bitstream.binary import (
    BinaryDecoder,
    BinaryEncoder,
    BinaryTally,
    join_streams,
    split_streams,
)
from ...bitstream.coders import Coder, Decoder, Encoder, Tally
from ...bitstream.container import Contents, Section, SectionKind
from ...bitstream.errors import CorruptError, ModelError, OptionError
from ...bitstream.mixing import BYTE, Depth
from ...models.lattice import LatticeNet
from ...models.masked import STAGES, MaskedNet
from ...models.registry import load_network
from ...models.surroundings import in_settled
from ..alpha import split_alpha, with_alpha
from ..image.raster import Mode, Raster, Samples, Shape
from ..protocol import Decoding, Encoded, Report, Size, check_mode, watched
from . import groups, planes, ranks
from .codec import Ardm, ArdmParameters, modes
from .conversions import RGB, WHOLE, named
from .lattice import Lanes, Lattice, streams
from .location import located_bits
from .random_order import RandomOrder

_FREE_CALLS = 64
"""Network calls that a file in random order may have, whatever its size."""
_FREE_WORK, _WORK = 2**22, 2**12
"""Pixels that further calls may be made on, in all and for each byte of the file."""
_CROP = 192
"""Side of the square of an image by which source planes and ranks are compared with its samples."""


@in_settled
def encode(raster: Raster, options: Ardm, report: Report, size: Size) -> Encoded | None:
    """See `protocol.Codec.encode`."""
    if raster.mode not in modes(options.order, options.effort):
        return None
    colour, alpha = split_alpha(raster)
    source = Source.choose(colour, options)
    parameters = source.parameters
    encoder = BinaryEncoder if parameters.mixing else Encoder
    counts = _streams(parameters, shape_of(colour))
    encoders = [[encoder() for _ in range(count)] for count in counts]
    source.code(coders_of(encoders, report, _share(parameters)))
    payloads = payloads_of(encoders)
    if (most := _most_calls(parameters, shape_of(colour), payloads)) < parameters.calls:
        raise OptionError(f"calls is {parameters.calls}, supported are {most} for this image")
    data = [Section(SectionKind.DATA, payload) for payload in payloads]
    return Encoded(parameters.pack(), [*source.sections, *data, *alpha])


@in_settled
def estimate(raster: Raster, options: Ardm) -> float:
    """Bits of the data sections by the model's probabilities, and of the sections before them.

    Raises:
        ModelError: the model is made for another order, or damaged.
    """
    source = Source.choose(raster.samples[..., : raster.mode.colours], options)
    return source.bits + source.bits_before


@in_settled
def decode(
    contents: Contents, decoding: Decoding, report: Report, *, previews: bool
) -> Iterator[Samples]:
    """See `protocol.Codec.decode`."""
    coded = _Coded.of(contents, decoding, report)
    for done, picture in enumerate(coded.pictures, 1):
        shown = coded.convert(picture)
        yield with_alpha(shown, contents, complete=done == len(coded.counts))


@in_settled
def bits_by_place(contents: Contents, decoding: Decoding, cell: int) -> NDArray[np.float64]:
    """Where the bits of a file in lattice order went, without those of opacity.

    The model is run over the image in blocks of the size of a cell, and what it needs for the parts
    of a level is scaled to the size of the section that holds the level.

    Args:
        cell: side of the square cells, a power of two from 4.

    Returns:
        (ceil(h / cell), ceil(w / cell)), bits of each cell.

    Raises:
        CorruptError, ModelError: see `protocol.Codec.decode`.
    """
    coded = _Coded.of(contents, decoding, lambda _: None)
    samples = deque(coded.pictures, maxlen=1)[0]
    sizes = [8 * len(payload) for payload in contents.payloads(SectionKind.DATA)]
    network = load_network(coded.parameters.model, LatticeNet)
    mixing, chroma = coded.parameters.mixing, coded.parameters.chroma
    return located_bits(network, samples, coded.depth, chroma, sizes, cell, mixing=mixing)


@dataclass(frozen=True)
class _Coded:
    """What a file codes.

    Attributes:
        parameters: of the file.
        counts: streams of each data section.
        depth: of the samples.
        convert: makes the colour of a level of the samples.
        pictures: the samples (h', w', c) after each section that is there.
    """

    parameters: ArdmParameters
    counts: Sequence[int]
    depth: Depth
    convert: Callable[[Samples], Samples]
    pictures: Iterable[Samples]

    @classmethod
    def of(cls, contents: Contents, decoding: Decoding, report: Report) -> _Coded:
        """What a file codes; decoded as `pictures` are asked for.

        Raises:
            CorruptError, ModelError: see `protocol.Codec.decode`.
        """
        header = contents.header
        parameters = ArdmParameters.parse(header.parameters, decoding.models)
        supported = modes(parameters.order, parameters.effort)
        check_mode(header, supported, f"ardm in {parameters.order} order")
        shape = (header.height, header.width, Mode(header.mode).colours)
        counts = _streams(parameters, shape)
        planned = sum(kind == SectionKind.DATA for kind, _ in contents.table)
        if planned != len(counts):
            raise CorruptError(f"{planned} data sections do not fit the image's size")
        payloads = contents.payloads(SectionKind.DATA)
        if (most := _most_calls(parameters, shape, payloads)) < parameters.calls:
            raise CorruptError(f"{parameters.calls} network calls, {most} are supported")
        decoders = decoders_of(payloads, counts, mixing=parameters.mixing)
        depth, convert = conversion_of(parameters, contents, shape)
        coders = coders_of(decoders, report, _share(parameters))
        pictures = _loop(parameters, depth).run(None, shape, coders)
        there = itertools.islice(pictures, len(decoders))
        return cls(parameters, counts, depth, convert, there)


@dataclass(frozen=True)
class Source:
    """What is coded of an image.

    Attributes:
        parameters: with the planes.
        samples: (h, w, c), the planes or ranks, or the colour itself.
        sections: what else turns the samples into the colour; they go before the data.
        depth: of the samples.
        used: the values that the samples are ranks of, if they are ranks.
    """

    parameters: ArdmParameters
    samples: Samples
    sections: Sequence[Section] = ()
    depth: Depth = BYTE
    used: ranks.Used | None = None

    @classmethod
    def choose(cls, colour: Samples, options: Ardm, counts: ranks.Counts | None = None) -> Source:
        """What codes an image (h, w, c) in the fewest bits, by a square of it.

        Besides the samples there are source planes and ranks for images that show signs of them;
        of images of 16 bits there are always ranks.

        Args:
            counts: of the values that shall have ranks, among which are those of the image; None:
                these alone.

        Raises:
            ModelError: there is no such model, or it is made for another order.
        """
        parameters = ArdmParameters.choose(options)
        if counts is None:
            counts = ranks.count(colour)
        if colour.dtype == np.uint16:
            sources = list(cls._deep(parameters, colour, counts))
        else:
            sources = [cls(parameters, colour)]
            if options.order == "lattice":
                if options.planes != RGB and colour.shape[2] == 3:
                    sources += cls._planes(parameters, colour)
                sources += cls._ranks(parameters, colour, counts)
        if len(sources) == 1:
            return sources[0]
        corner = _busiest(colour)
        return min(sources, key=lambda source: source._bits_of_crop(corner))

    @classmethod
    def _planes(cls, parameters: ArdmParameters, colour: Samples) -> Iterator[Source]:
        """The source planes of an image (h, w, 3), if it has any."""
        found = planes.find(colour)
        for conversion in planes.candidates(colour, found) if found else ():
            yield cls(replace(parameters, planes=conversion.name), colour).follow(colour)

    @classmethod
    def _ranks(
        cls, parameters: ArdmParameters, colour: Samples, counts: ranks.Counts
    ) -> Iterator[Source]:
        """The ranks of an image (h, w, c), if values are left out."""
        used = ranks.find(counts)
        if used is not None:
            values = Section(SectionKind.VALUES, ranks.pack(used))
            yield cls(parameters, ranks.to_ranks(colour, used), [values], used=used)

    @classmethod
    def _deep(
        cls, parameters: ArdmParameters, colour: Samples, counts: ranks.Counts
    ) -> Iterator[Source]:
        """The ranks of an image (h, w, c) among all values of the range, and among those in use."""
        for used in (ranks.span(counts), ranks.find(counts)):
            if used is not None:
                samples = ranks.to_ranks(colour, used)
                depth = ranks.depth(samples, used)
                values = Section(SectionKind.VALUES, ranks.pack_deep(used, depth.shift))
                yield cls(parameters, samples, [values], depth, used)

    def follow(self, colour: Samples) -> Source:
        """What codes another image (h, w, c) by the same planes or values, in sections of its own.

        Args:
            colour: its values are among those that have ranks.
        """
        if self.used is not None:
            return replace(self, samples=ranks.to_ranks(colour, self.used), sections=())
        if self.parameters.planes == RGB:
            return replace(self, samples=colour)
        separated, differences = planes.separate(colour, named(self.parameters.planes))
        sections = []
        if differences.any():
            sections.append(Section(SectionKind.EXCEPTIONS, planes.pack(differences)))
        return replace(self, samples=separated, sections=sections)

    def code(self, coders: Iterator[Any]) -> None:
        """Run the coding loop to its end."""
        loop = _loop(self.parameters, self.depth)
        deque(loop.run(self.samples, shape_of(self.samples), coders), maxlen=0)

    @property
    def bits(self) -> float:
        """Bits of the samples by the model's probabilities."""
        mixing = self.parameters.mixing
        tally = BinaryTally if mixing else Tally
        counts = _streams(self.parameters, shape_of(self.samples))
        if mixing:  # a tally adds nothing for a further stream
            counts[1:] = [self.samples.shape[2]] * len(counts[1:])
        tallies = [[tally() for _ in range(count)] for count in counts]
        self.code(coders_of(tallies, lambda _: None, 1.0))
        return sum(each.bits for group in tallies for each in group)

    @property
    def bits_before(self) -> int:
        """Bits of the sections before the data."""
        return sum(8 * len(section.payload) for section in self.sections)

    def _bits_of_crop(self, corner: tuple[int, int]) -> float:
        """Bits of a square of the image, with its share of the sections before the data."""
        top, left = corner
        crop = replace(self, samples=self.samples[top : top + _CROP, left : left + _CROP])
        return crop.bits + crop.samples.size / self.samples.size * self.bits_before


def _busiest(colour: Samples) -> tuple[int, int]:
    """Top and left of the square of an image (h, w, c) in which neighbours differ most."""
    tops, lefts = (range(0, max(side - _CROP, 0) + 1, _CROP) for side in colour.shape[:2])
    middle = colour.shape[2] // 2

    def activity(corner: tuple[int, int]) -> int:
        top, left = corner
        plane = colour[top : top + _CROP, left : left + _CROP, middle].astype(np.int32)
        return int(abs(np.diff(plane, axis=0)).sum() + abs(np.diff(plane, axis=1)).sum())

    return max(itertools.product(tops, lefts), key=activity)


def conversion_of(
    parameters: ArdmParameters, contents: Contents, shape: Shape
) -> tuple[Depth, Callable[[Samples], Samples]]:
    """The depth of the samples that a file codes, and what makes the colour of a level of them.

    Raises:
        CorruptError: the file has planes, exceptions or values where there cannot be any, has no
            values where there must be, or the exceptions or values are damaged.
    """
    exceptions = _before_data(contents, SectionKind.EXCEPTIONS)
    values = _before_data(contents, SectionKind.VALUES)
    if exceptions is not None and parameters.planes == RGB:
        raise CorruptError("an image without source planes has exceptions")
    if values is not None and (parameters.order != "lattice" or parameters.planes != RGB):
        raise CorruptError("an image in random order or with source planes has values")
    depth, deep = BYTE, Mode(contents.header.mode).dtype == np.uint16
    if deep and values is None:
        raise CorruptError("an image of 16 bits has no section of values")
    if values is not None:
        if deep:
            used, depth = ranks.unpack_deep(values, shape[2])
        else:
            used = ranks.unpack(values, shape[2])
        return depth, lambda level: ranks.to_values(level, used)
    if parameters.planes == RGB:
        return depth, lambda level: level
    if shape[2] == 1:
        raise CorruptError("a grey image has source planes")
    conversion = named(parameters.planes)
    differences = None if exceptions is None else planes.unpack(exceptions, shape)

    def to_rgb(level: Samples) -> Samples:
        longest = max(level.shape[:2])
        step = next(2**n for n in itertools.count() if -(-max(shape[:2]) >> n) == longest)
        colour = planes.join(level, conversion, step)
        if differences is not None and (conversion.chroma == WHOLE or step <= 2):
            colour += differences[::step, ::step]
        return colour

    return depth, to_rgb


def _most_calls(parameters: ArdmParameters, shape: Shape, payloads: Sequence[bytes]) -> int:
    """Network calls in random order that a file may have, which bounds the time that it takes.

    The sections that are there have their share of the calls.
    """
    if parameters.order != "random":
        return parameters.calls
    share = len(payloads) / STAGES
    work = _FREE_WORK + _WORK * sum(map(len, payloads)) / max(share, 1 / STAGES)
    return _FREE_CALLS + int(work) // (shape[0] * shape[1])


def shape_of(samples: Samples) -> Shape:
    return samples.shape[0], samples.shape[1], samples.shape[2]


def _streams(parameters: ArdmParameters, shape: Shape) -> list[int]:
    """How many streams each data section of an image (h, w, c) has."""
    if parameters.order == "random":
        return [1] * STAGES
    return streams(shape, mixing=parameters.mixing)


def payloads_of(groups: Iterable[Sequence[Encoder | BinaryEncoder]]) -> list[bytes]:
    """The payloads of data sections, given the encoders of their streams."""
    return [join_streams([each.finish() for each in group]) for group in groups]


def decoders_of(
    payloads: Iterable[bytes], counts: Iterable[int], *, mixing: bool
) -> list[list[Decoder | BinaryDecoder]]:
    """The decoders of the streams of data sections, as many as there are payloads.

    Args:
        counts: streams of each section.
        mixing: whether distributions are mixed online.
    """
    decoder = BinaryDecoder if mixing else Decoder
    return [
        [decoder(stream) for stream in split_streams(payload, count)]
        for payload, count in zip(payloads, counts, strict=False)
    ]


def coders_of(groups: Iterable[Sequence[Coder]], report: Report, share: float) -> Iterator[Any]:
    """The coders of sections (`Coder` or `Lanes`), by those of their streams."""
    for group in groups:
        yield Lanes(group, report) if len(group) > 1 else watched(group[0], report, share)


def _before_data(contents: Contents, kind: SectionKind) -> bytes | None:
    """The payload of the section of a kind, which is before the data if the file has one.

    Raises:
        CorruptError: there are several, or one behind the first data section.
    """
    kinds = [each for each, _ in contents.table]
    data = kinds.index(SectionKind.DATA) if SectionKind.DATA in kinds else len(kinds)
    if kinds.count(kind) > 1 or kind in kinds[data:]:
        raise CorruptError(f"{kind.name.lower()} are not in one section before the data")
    return next(iter(contents.payloads(kind)), None)


def _share(parameters: ArdmParameters) -> float:
    """How much of a sample one coded symbol is."""
    return 1 / STAGES if parameters.order == "random" else 1.0


def _loop(parameters: ArdmParameters, depth: Depth) -> Lattice | RandomOrder:
    """The loop that codes with these parameters.

    Raises:
        ModelError: the model is made for another order, or has no loss curves.
    """
    card, calls = parameters.model, parameters.calls
    if parameters.order == "lattice":
        lattice = load_network(card, LatticeNet)
        chroma, mixing = parameters.chroma, parameters.mixing
        return Lattice(lattice, parameters.block, mixing=mixing, depth=depth, chroma=chroma)
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
