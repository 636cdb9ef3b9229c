"""What every codec offers, and what codecs share: options, progress."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, TypeVar

from ..bitstream.container import Contents, Header, Section, write
from ..bitstream.errors import OptionError
from .image.metadata import pack_metadata
from .image.raster import Raster, Samples

if TYPE_CHECKING:
    from ..bitstream.coders import Coder
    from ..bitstream.entropy import EntropyModel, Ints

Report = Callable[[float], None]
"""Told after each piece of work how many samples it coded."""


@dataclass(frozen=True)
class Encoded:
    """A codec's own header bytes and its sections, without metadata."""

    parameters: bytes
    sections: Sequence[Section]


Render = Literal["mmse", "flow", "ancestral"]
RENDERINGS: tuple[Render, ...] = ("mmse", "flow", "ancestral")


MAX_CALLS = 1000
"""Of a denoiser in one rendering."""


@dataclass(frozen=True)
class Decoding:
    """How to decode.

    Attributes:
        models: paths of model files to look at before the bundled ones.
        render: see `noisepress.decode`. Lossless codecs have only
            one picture.
        detail: 0 to 1; None: what the codec thinks right.
        steps: calls of a denoiser that `flow` and `ancestral` take; None: as many as the codec
            thinks right.
        previews: False if only the last picture is wanted.
        device: of networks that compute in floats, such as `cuda`.
    """

    models: Sequence[str] = ()
    render: Render = "mmse"
    detail: float | None = None
    steps: int | None = None
    previews: bool = False
    device: str = "cpu"


class Codec(Protocol):
    """A coder of images, with a literal id that is never used for another."""

    ID: ClassVar[int]
    NAME: ClassVar[str]
    LOSSLESS: ClassVar[bool]

    def encode(self, raster: Raster, options: Mapping[str, Any], report: Report) -> Encoded | None:
        """Code an image; None if the codec does not take its layout."""
        ...

    def decode(self, contents: Contents, decoding: Decoding, report: Report) -> Iterator[Samples]:
        """The picture (h', w', c) after each whole data section, the last one complete."""
        ...

    def describe(self, parameters: bytes) -> dict[str, int | str]:
        """The codec's header fields in words."""
        ...


NO_CHECK = 0
"""In place of the samples' checksum where they depend on the machine."""


def assemble(raster: Raster, codec_id: int, check: int, encoded: Encoded) -> bytes:
    """The file of an image's sections and metadata.

    Args:
        check: of the decoded samples, or `NO_CHECK`.
    """
    height, width = raster.samples.shape[:2]
    header = Header(codec_id, raster.mode, width, height, check, encoded.parameters)
    return write(header, [*encoded.sections, *pack_metadata(raster)])


OptionsT = TypeVar("OptionsT")


def parse_options(kind: Callable[..., OptionsT], given: Mapping[str, Any]) -> OptionsT:
    """An options dataclass from keywords.

    Raises:
        OptionError: names the unknown option and the known ones.
    """
    known = [field.name for field in dataclasses.fields(kind)]  # type: ignore[arg-type]
    for name in given:
        if name not in known:
            supported = ", ".join(known) or "none"
            raise OptionError(f"unknown option {name!r}; supported are {supported}")
    return kind(**given)


Range = tuple[str, type[Any], Any, float, float]
"""An option: its name, Real or Integral, its value, the smallest and the largest supported."""


def check_ranges(ranges: Iterable[Range]) -> None:
    """Check options' values.

    Raises:
        OptionError: names an option whose value is not supported, and the values that are.
    """
    for name, kind, value, low, high in ranges:
        if not (isinstance(value, kind) and low <= value <= high):
            whole = "whole numbers from " if kind is Integral else ""
            raise OptionError(f"{name} is {value!r}, supported are {whole}{low} to {high}")


class _Watched:
    """A coder that reports its progress."""

    def __init__(self, coder: Coder, report: Report, share: float) -> None:
        self._coder, self._report, self._share = coder, report, share

    def code(self, symbols: Ints | None, model: EntropyModel) -> Ints:
        coded = self._coder.code(symbols, model)
        self._report(len(coded) * self._share)
        return coded


def watched(coders: Iterable[Coder], report: Report, share: float) -> Iterator[Coder]:
    """The same coders, reporting after each call; a symbol is `share` of a sample."""
    return (_Watched(coder, report, share) for coder in coders)
