"""A page in the browser that shows .nzp files: one HTML file that needs no other."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.resources import files
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..bitstream.container import Contents, SectionKind, read
from ..bitstream.errors import NoisepressError
from .api import FileInfo, decode, decode_progressive, inspect, opened
from .ardm.codec import ArdmCodec
from .inputs import Data, as_data
from .protocol import Decoding, Render
from .registry import by_name

LONGEST = 1024
"""Pixels of the longer side of a picture on the page; larger ones are reduced."""
CELLS = 800
"""Cells that a map of bits may have, about."""
SMALLEST_CELL = 16
_RENDERINGS: Mapping[Render, str] = {
    "mmse": "nearest to the original",
    "flow": "natural texture",
}
_COLOURS = np.array(
    [(13, 8, 60), (84, 39, 143), (170, 51, 106), (229, 107, 61), (250, 185, 80), (252, 253, 191)]
)
"""Of the map, from no bits to the most; brightness rises evenly."""


@dataclass(frozen=True)
class Picture:
    """A picture on the page.

    Attributes:
        label: what it is.
        detail: its size, and what it needs of the file.
        source: the picture as a data URL.
    """

    label: str
    detail: str
    source: str


@dataclass(frozen=True)
class Shown:
    """What the page shows of a file.

    Attributes:
        name: of the file.
        facts: names and values.
        sections: kind and bytes of each.
        steps: the picture after each section that improves it.
        renderings: of a lossy file.
        map: where the bits went, None if the codec does not say.
        scale: bits per pixel of the darkest and the brightest cell of the map.
        width, height: of the image.
    """

    name: str
    facts: Sequence[tuple[str, str]]
    sections: Sequence[tuple[str, int]]
    steps: Sequence[Picture]
    renderings: Sequence[Picture]
    map: Picture | None
    scale: tuple[float, float]
    width: int
    height: int


def page(data: Sequence[tuple[str, Data]], decoding: Decoding | None = None) -> str:
    """The HTML page of files.

    Args:
        data: names and .nzp files, see `noisepress.decode`.
        decoding: how to decode.

    Raises:
        NoisepressError: see `noisepress.decode`; the message names the file.
        OSError: a file cannot be read.
    """
    shown = []
    for name, file in data:
        try:
            shown.append(asdict(_shown(name, as_data(file)[:], decoding or Decoding())))
        except NoisepressError as error:
            raise type(error)(f"{name}: {error}") from error
    template = files(__package__).joinpath("view.html").read_text(encoding="utf-8")
    # "<" would end the script element that holds the data.
    return template.replace("$files", json.dumps(shown).replace("<", "\\u003c"))


def _shown(name: str, data: bytes, how: Decoding) -> Shown:
    info, contents = inspect(data), read(data)
    sections = [(kind, length) for kind, length, _ in info.sections]
    density = _density(contents, how)
    return Shown(
        name,
        list(_facts(info)),
        sections,
        list(_steps(data, contents, how)),
        list(_renderings(data, info, how)),
        None if density is None else _painted(density),
        (0.0, 0.0) if density is None else (float(density.min()), float(density.max())),
        info.width,
        info.height,
    )


def _facts(info: FileInfo) -> Iterator[tuple[str, str]]:
    yield "codec", info.codec
    yield "image", f"{info.width} x {info.height}, {info.mode}"
    yield "size", f"{info.size:,} bytes, {info.bits_per_sample:.3f} bits per sample"
    if info.metadata:
        yield "metadata", ", ".join(info.metadata)
    yield from ((name, str(value)) for name, value in info.parameters.items())


def _steps(data: bytes, contents: Contents, how: Decoding) -> Iterator[Picture]:
    """The picture after each data section."""
    places = zip(contents.table, contents.ends()[1:], strict=True)
    ends = [end for (kind, _), end in places if kind == SectionKind.DATA]
    for end, pixels in zip(ends, decode_progressive(data, how, partial=True), strict=False):
        detail = f"{pixels.shape[1]} x {pixels.shape[0]} from {end:,} bytes"
        yield Picture(f"{100 * end / len(data):.1f} % of the file", detail, _url(pixels))


def _renderings(data: bytes, info: FileInfo, how: Decoding) -> Iterator[Picture]:
    if by_name(info.codec).LOSSLESS:
        return
    for render, text in _RENDERINGS.items():
        yield Picture(render, text, _url(decode(data, replace(how, render=render))))


def _density(contents: Contents, how: Decoding) -> NDArray[np.float64] | None:
    """Bits per pixel (h, w), equal in a cell; None for cut files and codecs that do not say."""
    codec, coded, _ = opened(contents)
    header = coded.header
    described = codec.describe(header.parameters)
    if codec.NAME != ArdmCodec.NAME or described["order"] != "lattice" or contents.truncated:
        return None
    from .ardm.coding import bits_by_place  # loads torch

    height, width = header.height, header.width
    cell = SMALLEST_CELL
    while -(-height // cell) * -(-width // cell) > CELLS:
        cell *= 2
    bits = bits_by_place(coded, how, cell)
    rows, columns = (np.arange(side) // cell for side in (height, width))
    pixels = np.outer(np.bincount(rows), np.bincount(columns))
    density: NDArray[np.float64] = (bits / pixels)[np.ix_(rows, columns)]
    return density


def _painted(density: NDArray[np.float64]) -> Picture:
    """A map as a picture, from dark, no bits, to bright, the most."""
    level = density / max(float(density.max()), 1e-9) * (len(_COLOURS) - 1)
    knots = np.arange(len(_COLOURS))
    planes = [np.interp(level, knots, channel) for channel in _COLOURS.T]
    return Picture("bits per pixel", "", _url(np.stack(planes, 2).round().astype(np.uint8)))


def _url(pixels: NDArray[Any]) -> str:
    """An array as `noisepress.decode` returns it, as the data URL of a picture of 8 bits."""
    if pixels.dtype == np.uint16:
        pixels = (pixels >> 8).astype(np.uint8)
    if pixels.dtype == np.bool_:
        pixels = pixels.astype(np.uint8) * np.uint8(255)
    image = Image.fromarray(pixels)
    image.thumbnail((LONGEST, LONGEST))
    out = BytesIO()
    image.save(out, "PNG")
    return "data:image/png;base64," + base64.b64encode(out.getvalue()).decode()
