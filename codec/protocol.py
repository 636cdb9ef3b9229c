"""What every codec offers, and what codecs share: decoding options, progress, whole files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Protocol, runtime_checkable

from ..bitstream.container import Contents, Header, Section, SectionKind, write
from ..bitstream.errors import CorruptError
from .image.metadata import pack_metadata
from .image.raster import Mode, Raster, Samples
from .image.reduction import Reduction
from .options import Doc, Options
from .parameters import Parameters

if TYPE_CHECKING:
    from ..bitstream.coders import Coder
    from ..bitstream.entropy import EntropyModel, Ints

Report = Callable[[float], None]
"""Called after each piece of work with the number of samples that it coded."""

Render = Literal["mmse", "flow", "ancestral"]


@dataclass(frozen=True, kw_only=True)
class Decoding(Options):
    """How to decode.

    All but `model` concern lossy files; a lossless one has one picture.

    Renderings: `mmse` is the mean of all images that the file allows, nearest to the original but
    smooth. `flow` is one of those images, found by the probability-flow ODE, and looks most
    natural. `ancestral` is another one, drawn with shared random numbers. `detail` goes from 0, the
    `mmse` picture, to 1, all the detail of a likely image.

    Raises:
        OptionError: a value is not supported.
    """

    render: Annotated[
        Render, Doc("picture of a lossy file: the nearest one, or one that looks natural")
    ] = "mmse"
    detail: Annotated[
        float | None, Doc("detail of flow, and of ancestral in hfd", 0, 1, none="the codec's own")
    ] = None
    steps: Annotated[
        int | None,
        Doc("network evaluations of flow and ancestral", 1, 1000, none="the codec's own"),
    ] = None
    device: Annotated[str, Doc("device of the lossy codecs' networks, such as cpu or cuda")] = "cpu"
    model: Annotated[
        str | Sequence[str] | None,
        Doc("path of a model file that is not bundled; repeatable", none="none"),
    ] = None

    @property
    def models(self) -> Sequence[str]:
        """Paths of model files to look at before the bundled ones."""
        if self.model is None:
            return ()
        return (self.model,) if isinstance(self.model, str) else self.model


@dataclass(frozen=True)
class Encoded:
    """A codec's own header bytes and its sections, without those of metadata.

    Attributes:
        metadata_inside: no such sections are needed, for the codec's own hold the metadata.
    """

    parameters: bytes
    sections: Sequence[Section]
    metadata_inside: bool = False

    @classmethod
    def of(cls, parameters: bytes, data: Iterable[bytes], rest: Sequence[Section] = ()) -> Encoded:
        """An image of data sections with these payloads, and the rest."""
        return cls(parameters, [*(Section(SectionKind.DATA, payload) for payload in data), *rest])


Size = Callable[[Encoded], int]
"""Bytes of the whole file that an encoded image makes."""


class Codec(Protocol):
    """A coder of images, with a literal id that is never used for another."""

    @property
    def ID(self) -> int: ...
    @property
    def NAME(self) -> str: ...
    @property
    def LOSSLESS(self) -> bool: ...
    @property
    def OPTIONS(self) -> type[Options]: ...

    def encode(self, raster: Raster, options: Any, report: Report, size: Size) -> Encoded | None:
        """Code an image; None if the codec does not take its layout with these options.

        Args:
            options: an instance of `OPTIONS`.
            size: for codecs that search for a size of the file.

        Raises:
            OptionError: the file cannot be as small as asked for, or the picture as good.
            ModelError: there is no such model, or it is made for another codec, or there is no
                such device.
        """
        ...

    def decode(
        self, contents: Contents, decoding: Decoding, report: Report, *, previews: bool
    ) -> Iterator[Samples]:
        """The picture (h', w', c) after each whole data section, the last one complete.

        Args:
            previews: False: only the last picture is wanted, and lossy codecs yield no other.

        Raises:
            CorruptError: a field, a section or what it decodes to is wrong.
            TruncatedError: a section that the first picture needs is not there.
            ModelError: the model is not there or has another digest, or there is no such device.
        """
        ...

    def describe(self, parameters: bytes) -> dict[str, int | str]:
        """The codec's header fields in words.

        Raises:
            CorruptError, TruncatedError: a field is wrong, or bytes are missing or left over.
        """
        ...


class DeferredCodec:
    """Base of codecs whose work `coding.py` of their folder does.

    That module loads torch or numba, and so is imported when it is first needed. It has the
    functions `encode` and `decode` of `Codec`.
    """

    PARAMETERS: ClassVar[type[Parameters]]

    @classmethod
    def coding(cls) -> Any:
        """The module `coding` beside that of the class."""
        return import_module(".coding", cls.__module__.rpartition(".")[0])

    def encode(self, raster: Raster, options: Any, report: Report, size: Size) -> Encoded | None:
        """See `Codec.encode`."""
        encoded: Encoded | None = self.coding().encode(raster, options, report, size)
        return encoded

    def decode(
        self, contents: Contents, decoding: Decoding, report: Report, *, previews: bool
    ) -> Iterator[Samples]:
        """See `Codec.decode`."""
        yield from self.coding().decode(contents, decoding, report, previews=previews)

    def describe(self, parameters: bytes) -> dict[str, int | str]:
        """See `Codec.describe`."""
        return self.PARAMETERS.describe(parameters)


@runtime_checkable
class GroupCodec(Codec, Protocol):
    """A codec that codes the images of an archive's group together."""

    GROUP_MODES: ClassVar[tuple[Mode, ...]]

    def encode_group(
        self, rasters: Sequence[Raster], options: Any, report: Report
    ) -> tuple[list[Encoded], bytes]:
        """The sections that each image has alone, and the details of all.

        Args:
            rasters: of layouts in `GROUP_MODES`; each may be made anew when it is looked at.
            options: an instance of `OPTIONS`.

        Raises:
            ModelError: see `encode`.
        """
        ...

    def decode_group(
        self, files: Sequence[Contents], details: bytes, decoding: Decoding, report: Report
    ) -> Iterator[Samples]:
        """The images (h, w, c) of `encode_group`, in order, each as soon as it is decoded.

        Args:
            files: in order; see the codec for what their parameters have in common.

        Raises:
            CorruptError, ModelError: see `decode`.
        """
        ...


def check_mode(header: Header, modes: Sequence[Mode], codec: str) -> None:
    """Check that a file has a layout that its codec takes.

    Args:
        codec: its name, for the message.

    Raises:
        CorruptError: it has another one.
    """
    mode = Mode(header.mode)
    if mode not in modes:
        raise CorruptError(f"{codec} has no {mode.name} images")


NO_CHECK = 0
"""In place of the samples' checksum where they depend on the machine."""


def assemble(
    raster: Raster, codec: Codec, encoded: Encoded, reduction: Reduction | None = None
) -> bytes:
    """The file of an image's sections and metadata.

    Args:
        reduction: how the image comes from what was encoded; None: that is the image.
    """
    check = raster.check if codec.LOSSLESS else NO_CHECK
    header = Header(codec.ID, raster.mode, raster.width, raster.height, check, encoded.parameters)
    before = [reduction.section()] if reduction else []
    metadata = [] if encoded.metadata_inside else pack_metadata(raster)
    return write(header, [*before, *encoded.sections, *metadata])


class _Watched:
    """A coder that reports its progress."""

    def __init__(self, coder: Coder, report: Report, share: float) -> None:
        self._coder, self._report, self._share = coder, report, share

    def code(self, symbols: Ints | None, model: EntropyModel) -> Ints:
        coded = self._coder.code(symbols, model)
        self._report(len(coded) * self._share)
        return coded


def watched(coder: Coder, report: Report, share: float = 1.0) -> Coder:
    """The same coder, reporting after each call; a symbol is `share` of a sample."""
    return _Watched(coder, report, share)
