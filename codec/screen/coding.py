"""The screen codec at work: an image to a data section and back."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ...bitstream.binary import BinaryDecoder, BinaryEncoder
from ...bitstream.container import Contents
from ...bitstream.contexts import Page, Pixels, Rows
from ...bitstream.errors import CorruptError
from ..image.raster import Mode, Raster, Samples
from ..protocol import Decoding, Encoded, Report, Size
from .codec import KINDS, Screen, ScreenParameters

_PIXELS, _PAGE = KINDS
_ORDER = {1: (0,), 2: (1, 0), 3: (1, 0, 2), 4: (3, 1, 0, 2)}
"""Channels in coding order: opacity, then grey, or green, red and blue."""
_RUN = 2**16
"""Pixels that are coded together, about: a coder reserves room for what they might take."""


def encode(raster: Raster, options: Screen, report: Report, size: Size) -> Encoded | None:
    """See `protocol.Codec.encode`."""
    mode = raster.mode
    if mode.dtype != np.uint8:
        return None
    pixels = _pack(raster.samples)
    parameters = _parameters(pixels)
    if parameters.kind == _PAGE:
        symbols = (pixels != parameters.zero).astype(np.int32)
    else:
        symbols = pixels.view(np.int32)
    encoder = BinaryEncoder()
    for rows in _rows(parameters, mode, *pixels.shape):
        part = symbols[rows.first : rows.first + rows.height]
        encoder.code(part.ravel(), rows)
        report(rows.count * mode.channels)
    return Encoded.of(parameters.pack(), [encoder.finish()])


def decode(
    contents: Contents, decoding: Decoding, report: Report, *, previews: bool
) -> Iterator[Samples]:
    """See `protocol.Codec.decode`."""
    header = contents.header
    mode = Mode(header.mode)
    if mode.dtype != np.uint8:
        raise CorruptError(f"screen has no {mode.name} images")
    parameters = ScreenParameters.parse(header.parameters)
    if max(parameters.zero, parameters.one) >= 256**mode.channels:
        raise CorruptError(f"a colour has more than the {mode.channels} samples of {mode.name}")
    decoder = BinaryDecoder(contents.only_payload())
    parts = []
    for rows in _rows(parameters, mode, header.height, header.width):
        parts.append(decoder.code(None, rows))
        report(rows.count * mode.channels)
    symbols = np.concatenate(parts).reshape(header.height, header.width)
    pixels = symbols.view(np.uint32)
    if parameters.kind == _PAGE:
        pixels = np.array([parameters.zero, parameters.one], np.uint32)[symbols]
    yield _unpack(pixels, mode.channels)


def _parameters(pixels: NDArray[np.uint32]) -> ScreenParameters:
    """Those of a page if there are at most two colours; 0 is the one of more pixels."""
    first = pixels.flat[0]
    others = pixels[pixels != first]
    if others.size == 0:
        return ScreenParameters(_PAGE, int(first), int(first) ^ 1)
    second = others[0]
    if np.any(others != second):
        return ScreenParameters(_PIXELS)
    if 2 * others.size > pixels.size:
        first, second = second, first
    return ScreenParameters(_PAGE, int(first), int(second))


def _rows(parameters: ScreenParameters, mode: Mode, height: int, width: int) -> Iterator[Rows]:
    page = parameters.kind == _PAGE
    image = Page(height, width) if page else Pixels(height, width, mode.channels)
    step = -(-_RUN // width)
    for first in range(0, height, step):
        yield Rows(image, first, min(step, height - first))


def _pack(samples: Samples) -> NDArray[np.uint32]:
    """The samples of a pixel as one number: (h, w, c) to (h, w), the first in order lowest."""
    pixels = np.zeros(samples.shape[:2], np.uint32)
    for place, channel in enumerate(_ORDER[samples.shape[2]]):
        pixels |= samples[..., channel].astype(np.uint32) << np.uint32(8 * place)
    return pixels


def _unpack(pixels: NDArray[np.uint32], channels: int) -> Samples:
    samples = np.empty((*pixels.shape, channels), np.uint8)
    for place, channel in enumerate(_ORDER[channels]):
        samples[..., channel] = pixels >> np.uint32(8 * place) & np.uint32(255)
    return samples
