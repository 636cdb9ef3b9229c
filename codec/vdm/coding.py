"""The vdm codec at work: one image or a group of them to sections, and back."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence

import numpy as np

from ...bitstream.coders import Decoder, Encoder, Stack
from ...bitstream.container import Contents, Header, Section, SectionKind
from ...bitstream.errors import CorruptError
from ...bitstream.header import pack, unpack
from ...models.lattice import LatticeNet
from ...models.registry import load_network
from ...models.surroundings import in_settled
from ...models.vdm import VdmNet
from ..alpha import split_alpha, with_alpha
from ..ardm.lattice import Lattice, sections
from ..image.raster import Raster, Samples
from ..protocol import Decoding, Encoded, Report, Size, check_mode, watched
from .bits_back import BitsBack
from .codec import DETAILS, MODES, Vdm, VdmParameters
from .tiles import Tiles

_BLOCK = 512
_COLOURS = 3


def encode(raster: Raster, options: Vdm, report: Report, size: Size) -> Encoded | None:
    """See `protocol.Codec.encode`."""
    if raster.mode not in MODES:
        return None
    (coarse,), details = encode_group([raster], options, report)
    data = [part for part in coarse.sections if part.kind == SectionKind.DATA]
    alpha = [part for part in coarse.sections if part.kind == SectionKind.ALPHA]
    return Encoded(coarse.parameters, [*data, Section(SectionKind.DATA, details), *alpha])


@in_settled
def encode_group(
    rasters: Sequence[Raster], options: Vdm, report: Report
) -> tuple[list[Encoded], bytes]:
    """See `protocol.GroupCodec.encode_group`."""
    parameters = VdmParameters.choose(options)
    coarse = lattice(parameters, finest=1)
    found, colours = [], []
    for raster in rasters:
        colour, alpha = split_alpha(raster)
        half = colour[::2, ::2]
        encoders = [Encoder() for _ in sections(*half.shape[:2])]
        shape = (half.shape[0], half.shape[1], _COLOURS)
        coders = (watched(encoder, report) for encoder in encoders)
        deque(coarse.run(half, shape, coders), maxlen=0)
        data = [encoder.finish() for encoder in encoders]
        found.append(Encoded.of(parameters.pack(), data, alpha))
        colours.append(colour)
    stack = Stack()
    plain = _tiles(parameters).push(stack, colours, report)
    return found, pack(DETAILS, {"plain": plain}) + stack.seal()


@in_settled
def decode(
    contents: Contents, decoding: Decoding, report: Report, *, previews: bool
) -> Iterator[Samples]:
    """See `protocol.Codec.decode`."""
    parameters = _parameters(contents, decoding)
    coarse = len(sections(*_half(contents.header)))
    planned = sum(kind == SectionKind.DATA for kind, _ in contents.table)
    if planned != coarse + 1:
        raise CorruptError(f"{planned} data sections do not fit the image's size")
    picture = None
    for picture in _coarse(contents, parameters, report):
        yield with_alpha(picture, contents, complete=False)
    payloads = contents.payloads(SectionKind.DATA)
    if picture is not None and len(payloads) == planned:
        yield _whole([contents], [picture], payloads[-1], parameters, report)[0]


@in_settled
def decode_group(
    files: Sequence[Contents], details: bytes, decoding: Decoding, report: Report
) -> list[Samples]:
    """See `protocol.GroupCodec.decode_group`."""
    parameters = _parameters(files[0], decoding)
    pictures = [deque(_coarse(file, parameters, report), maxlen=1)[0] for file in files]
    return _whole(files, pictures, details, parameters, report)


def _parameters(contents: Contents, decoding: Decoding) -> VdmParameters:
    return VdmParameters.parse(contents.header.parameters, decoding.models)


def _coarse(contents: Contents, parameters: VdmParameters, report: Report) -> Iterator[Samples]:
    """The pictures (h', w', 3) up to half the resolution."""
    header = contents.header
    check_mode(header, MODES, "vdm")
    coarse = lattice(parameters, finest=1)
    half = _half(header)
    payloads = contents.payloads(SectionKind.DATA)[: len(sections(*half))]
    decoders = [Decoder(payload) for payload in payloads]
    coders = (watched(decoder, report) for decoder in decoders)
    pictures = coarse.run(None, (*half, _COLOURS), coders)
    # First the decoders, so that no picture is begun for which there is none.
    yield from (picture for _, picture in zip(decoders, pictures, strict=False))


def _whole(
    files: Sequence[Contents],
    pictures: Sequence[Samples],
    details: bytes,
    parameters: VdmParameters,
    report: Report,
) -> list[Samples]:
    """The images whose pictures at half the resolution are given."""
    tiles = _tiles(parameters)
    values, position = unpack(DETAILS, details, 0)
    images = []
    for file, picture in zip(files, pictures, strict=True):
        image = np.zeros((file.header.height, file.header.width, _COLOURS), np.uint8)
        image[::2, ::2] = picture
        images.append(image)
    tiles.pop(Stack(details[position:]), images, values["plain"], report)
    pairs = zip(images, files, strict=True)
    return [with_alpha(image, file, complete=True) for image, file in pairs]


def lattice(parameters: VdmParameters, finest: int) -> Lattice:
    """The loop for images that are the level `finest` of a larger image's pyramid."""
    return Lattice(load_network(parameters.coarse, LatticeNet), _BLOCK, finest)


def _tiles(parameters: VdmParameters) -> Tiles:
    """The loop for the finest pixels."""
    chain = BitsBack(load_network(parameters.model, VdmNet), parameters.steps)
    return Tiles(lattice(parameters, finest=0), chain)


def _half(header: Header) -> tuple[int, int]:
    """The sides of an image at half the resolution."""
    return -(-header.height // 2), -(-header.width // 2)
