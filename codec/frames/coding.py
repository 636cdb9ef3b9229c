"""The frames codec at work: one image or a group of them to sections, and back."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from itertools import groupby, islice

import numpy as np

from ...bitstream.binary import BinaryEncoder
from ...bitstream.container import Contents, Section, SectionKind
from ...bitstream.errors import CorruptError
from ...bitstream.mixing import Depth, Mixer
from ...models.lattice import LatticeNet
from ...models.registry import load_network
from ...models.surroundings import in_settled
from ..alpha import colour_of, split_alpha, with_alpha
from ..ardm import ranks
from ..ardm.codec import ArdmParameters
from ..ardm.coding import (
    Source,
    coders_of,
    conversion_of,
    decoders_of,
    payloads_of,
    shape_of,
)
from ..ardm.lattice import Lattice, sequence, streams
from ..image.raster import Mode, Raster, Samples, Shape
from ..protocol import Decoding, Encoded, Report, Size, check_mode
from .codec import MODES, Frames, FramesParameters

_UNRELATED = 2.0
"""Differences from the frame before, relative to those between neighbours, that tell of a cut."""


def encode(raster: Raster, options: Frames, report: Report, size: Size) -> Encoded | None:
    """See `protocol.Codec.encode`."""
    if raster.mode not in MODES:
        return None
    return encode_group([raster], options, report)[0]


@in_settled
def encode_group(rasters: Sequence[Raster], options: Frames, report: Report) -> list[Encoded]:
    """The sections of each image, see `protocol.GroupCodec.encode_group`."""
    parameters = FramesParameters.choose(options)
    found: list[Encoded] = []
    kinds = [(raster.mode, raster.samples.shape) for raster in rasters]
    for _, places in groupby(range(len(rasters)), kinds.__getitem__):
        found += _encode_alike(rasters, list(places), parameters, options, report)
    return found


def _encode_alike(
    rasters: Sequence[Raster],
    places: Sequence[int],
    parameters: FramesParameters,
    options: Frames,
    report: Report,
) -> Iterator[Encoded]:
    """The sections of some of the images, of one size and layout; two are in memory."""
    counts = reduce(np.add, (ranks.count(colour_of(rasters[place])) for place in places))
    before: Samples | None = None
    for place in places:
        colour, alpha = split_alpha(rasters[place])
        if before is None or _unrelated(colour, before):
            source = Source.choose(colour, options.of_images, counts)
            mixer = sequence(colour.shape[2], source.depth)
            parameters = replace(parameters, planes=source.parameters.planes, start="anew")
        else:
            source = source.follow(colour)
            parameters = replace(parameters, start="after")
        payloads = _encode_frame(source.samples, parameters, source.depth, mixer, report)
        data = [Section(SectionKind.DATA, payload) for payload in payloads]
        yield Encoded(parameters.pack(), [*source.sections, *data, *alpha])
        before = colour


def _unrelated(frame: Samples, before: Samples) -> bool:
    """Whether a frame (h, w, c) has little in common with the one before it."""
    now, then = frame.astype(np.int32), before.astype(np.int32)
    steps = abs(np.diff(now, axis=0)).sum() + abs(np.diff(now, axis=1)).sum()
    return bool(2 * abs(now - then).sum() > _UNRELATED * steps)


def _encode_frame(
    samples: Samples, parameters: FramesParameters, depth: Depth, mixer: Mixer, report: Report
) -> list[bytes]:
    """The data sections of a frame."""
    shape = shape_of(samples)
    encoders = [[BinaryEncoder() for _ in range(count)] for count in streams(shape, mixing=True)]
    loop = _loop(parameters, depth)
    deque(loop.run(samples, shape, coders_of(encoders, report, 1.0), mixer), maxlen=0)
    return payloads_of(encoders)


def _loop(parameters: FramesParameters, depth: Depth) -> Lattice:
    network = load_network(parameters.model, LatticeNet)
    chroma = _of_images(parameters).chroma
    return Lattice(network, parameters.block, mixing=True, depth=depth, chroma=chroma)


@in_settled
def decode(
    contents: Contents, decoding: Decoding, report: Report, *, previews: bool
) -> Iterator[Samples]:
    """See `protocol.Codec.decode`."""
    run = _Run.of(contents, decoding)
    total = sum(kind == SectionKind.DATA for kind, _ in contents.table)
    for done, picture in enumerate(run.pictures(contents, report), 1):
        yield with_alpha(picture, contents, complete=done == total)


@in_settled
def decode_group(
    files: Sequence[Contents], details: bytes, decoding: Decoding, report: Report
) -> Iterator[Samples]:
    """See `protocol.GroupCodec.decode_group`."""
    if details:
        raise CorruptError("bytes follow the last frame of the group")
    run: _Run | None = None
    for file in files:
        parameters = FramesParameters.parse(file.header.parameters, decoding.models)
        if parameters.start == "anew" or run is None:
            run = _Run.of(file, decoding)
        else:
            run.check(file, parameters)
        picture = deque(run.pictures(file, report), maxlen=1)[0]
        yield with_alpha(picture, file, complete=True)


@dataclass(frozen=True)
class _Run:
    """A frame that starts anew, and what those after it have from it.

    Attributes:
        first: the file of the frame.
        parameters: of the frame.
        shape: (h, w, c) of the colour.
        depth: of the samples.
        mixer: what was learned of the frames so far.
    """

    first: Contents
    parameters: FramesParameters
    shape: Shape
    depth: Depth
    mixer: Mixer

    @classmethod
    def of(cls, contents: Contents, decoding: Decoding) -> _Run:
        """Start with a frame.

        Raises:
            CorruptError, ModelError: see `protocol.Codec.decode`.
        """
        header = contents.header
        parameters = FramesParameters.parse(header.parameters, decoding.models)
        check_mode(header, MODES, "frames")
        if parameters.start != "anew":
            raise CorruptError("the frame before this one is not there")
        shape = (header.height, header.width, Mode(header.mode).colours)
        depth, _ = conversion_of(_of_images(parameters), contents, shape)
        return cls(contents, parameters, shape, depth, sequence(shape[2], depth))

    def check(self, contents: Contents, parameters: FramesParameters) -> None:
        """Check that a frame can follow.

        Raises:
            CorruptError: it has another size, layout or model, other planes or values of its own.
        """
        ours, theirs = self.first.header, contents.header
        same = (ours.mode, ours.width, ours.height) == (theirs.mode, theirs.width, theirs.height)
        kinds = [kind for kind, _ in contents.table]
        if replace(parameters, start="anew") != self.parameters or not same:
            raise CorruptError("the frame differs from the one before in size, layout or model")
        if SectionKind.VALUES in kinds:
            raise CorruptError("a frame that goes on after another has values of its own")

    def pictures(self, contents: Contents, report: Report) -> Iterator[Samples]:
        """The colour (h', w', c) of a frame after each of its data sections.

        Raises:
            CorruptError: the sections do not fit the size, or are damaged.
        """
        counts = streams(self.shape, mixing=True)
        payloads = contents.payloads(SectionKind.DATA)
        if sum(kind == SectionKind.DATA for kind, _ in contents.table) != len(counts):
            raise CorruptError(f"{len(payloads)} data sections do not fit the frame's size")
        whole = contents if contents is self.first else self._with_values(contents)
        _, convert = conversion_of(_of_images(self.parameters), whole, self.shape)
        decoders = decoders_of(payloads, counts, mixing=True)
        coders = coders_of(decoders, report, 1.0)
        loop = _loop(self.parameters, self.depth)
        pictures = loop.run(None, self.shape, coders, self.mixer)
        if len(decoders) < len(counts):  # whole frames run to the end, where the mixer learns of it
            pictures = islice(pictures, len(decoders))
        yield from map(convert, pictures)

    def _with_values(self, contents: Contents) -> Contents:
        """A frame with the section of values of the first one, if that has any."""
        values = [part for part in self.first.sections if part.kind == SectionKind.VALUES]
        entries = [(part.kind, len(part.payload)) for part in values]
        return replace(
            contents,
            sections=[*values, *contents.sections],
            table=[*entries, *contents.table],
        )


def _of_images(parameters: FramesParameters) -> ArdmParameters:
    """The parameters that code a frame alone."""
    return ArdmParameters(
        order="lattice",
        model=parameters.model,
        block=parameters.block,
        effort=1,
        planes=parameters.planes,
    )
