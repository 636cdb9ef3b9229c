"""The public functions: encode, decode, decode_progressive, inspect, truncate, verify, estimate."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from numbers import Integral
from typing import Any

from numpy.typing import NDArray

from ..bitstream.container import DEFAULT_LIMITS, Contents, Limits, SectionKind, read, truncate
from ..bitstream.errors import CorruptError, OptionError, TruncatedError, UnsupportedImageError
from .ardm.codec import Ardm
from .image.metadata import unpack_metadata
from .image.raster import Mode, Raster, Samples, checksum, to_array
from .image.read import as_raster
from .protocol import (
    MAX_CALLS,
    NO_CHECK,
    RENDERINGS,
    Decoding,
    Render,
    Report,
    assemble,
    check_ranges,
)
from .registry import FALLBACKS, Attempt, by_id, by_name

__all__ = [
    "FileInfo",
    "decode",
    "decode_progressive",
    "decode_raster",
    "encode",
    "estimate",
    "inspect",
    "truncate",
    "verify",
]

Progress = Callable[[int, int], None]
"""Called with the samples coded so far and in all."""

Models = str | Sequence[str] | None
"""Paths of model files to look at before the bundled ones."""


@dataclass(frozen=True)
class FileInfo:
    """What a file says of itself, without decoding it.

    Attributes:
        codec: which coder won: `ardm`, `vdm`, `webp` or `png`; or `diffc` or `hfd`.
        mode: sample layout, such as `RGB8`.
        width, height: in pixels.
        size: bytes of the data at hand.
        bits_per_sample: 8 size / (width height channels); of the whole file.
        truncated: the file was cut.
        sections: kind, bytes of the payload, and whether the section is there.
        parameters: the codec's own fields: order, model, digest and so on.
    """

    codec: str
    mode: str
    width: int
    height: int
    size: int
    bits_per_sample: float
    truncated: bool
    sections: tuple[tuple[str, int, bool], ...]
    parameters: Mapping[str, int | str]


def paths(model: Models) -> Sequence[str]:
    """The paths that a caller gave."""
    if model is None:
        return ()
    return (model,) if isinstance(model, str) else model


def asked_models(options: Mapping[str, Any]) -> list[str]:
    """The models that a codec's options name."""
    return [options[name] for name in ("model", "coarse", "decoder") if options.get(name)]


def reporter(progress: Progress | None, total: int, done: float = 0.0) -> Report:
    """What codecs report to, for what a caller wants to be told."""

    def report(count: float) -> None:
        nonlocal done
        done += count
        if progress:
            progress(min(round(done), total), total)

    return report


def _fallback_files(raster: Raster, tried: Attempt, own: int | None) -> list[bytes]:
    """Files through WebP and PNG.

    Args:
        tried: not to be tried again.
        own: bytes of the file that the fallbacks have to beat, if there is one.
    """
    files: list[bytes] = []
    for attempt, unless in FALLBACKS:
        if attempt == tried:
            continue
        if own is not None and files and own < unless * min(map(len, files)):
            break
        codec = by_name(attempt.codec)
        if encoded := codec.encode(raster, attempt.options, lambda _: None):
            files.append(assemble(raster, codec.ID, raster.check, encoded))
    return files


def encode(
    image: object,
    codec: str = "ardm",
    *,
    fallback: bool = True,
    progress: Progress | None = None,
    **options: Any,
) -> bytes:
    """Encode an image.

    Args:
        image: path or bytes of an image file; numpy array (h, w) or (h, w, c) of uint8,
            uint16 or bool, c = 1 to 4 (grey, grey and alpha, RGB, RGBA); torch tensor (h, w)
            or (c, h, w); or Pillow image of mode 1, L, LA, P, RGB, RGBA or I;16, whose ICC
            profile, EXIF and XMP are kept.
        codec: `ardm`, `vdm`, `webp` or `png`, which are lossless, or `diffc` or `hfd`.
        fallback: of a lossless codec: also try lossless WebP and PNG, and keep the smallest.
        progress: called with (samples coded, samples in all).
        options: of the codec; see `Options` in `noisepress.codec.ardm`, `vdm`, `diffc` and `hfd`.

    Returns:
        The bytes of a .nzp file; a lossless one was checked to decode to the same samples.

    Raises:
        UnsupportedImageError: the image is of another kind, or the codec does not take it and
            `fallback` is off.
        OptionError, ModelError: an option is wrong.
    """
    raster = as_raster(image)
    wanted = by_name(codec)
    total = raster.samples.size
    encoded = wanted.encode(raster, options, reporter(progress, total))
    fallback = fallback and wanted.LOSSLESS
    if encoded is None and not fallback:
        raise UnsupportedImageError(
            f"{codec} does not code {raster.mode.name} images with these options"
        )
    own: bytes | None = None
    if encoded is not None:
        check = raster.check if wanted.LOSSLESS else NO_CHECK
        own = assemble(raster, wanted.ID, check, encoded)
    models = asked_models(options)
    if fallback:
        file = _smallest(raster, own, Attempt(codec, options), models)
    else:
        assert own is not None
        file = _checked(raster, own, models) if wanted.LOSSLESS else own
    if progress:
        progress(total, total)
    return file


def _smallest(raster: Raster, own: bytes | None, tried: Attempt, models: Sequence[str]) -> bytes:
    """The smallest of a file and the fallbacks, checked.

    The fallbacks are made while the file is checked, for both take about as long.
    """
    with ThreadPoolExecutor(1) as pool:
        beaten = len(own) if own and tried.codec == Ardm.NAME else None
        others = pool.submit(_fallback_files, raster, tried, beaten)
        files = [] if own is None else [_checked(raster, own, models)]
        best = min([*files, *others.result()], key=len)
    return best if best is own else _checked(raster, best, models)


def _checked(raster: Raster, file: bytes, models: Sequence[str]) -> bytes:
    """The file itself.

    Raises:
        CorruptError: it does not decode to the image.
    """
    if decode_raster(file, model=models) != raster:
        raise CorruptError("the encoded image does not decode to itself")
    return file


def estimate(image: object, **options: Any) -> float:
    """Bits that ardm's model assigns to an image: the file's data sections but for rounding.

    Raises:
        UnsupportedImageError, OptionError, ModelError: see `encode`.
    """
    return Ardm().estimate(as_raster(image), options)


def _pictures(
    contents: Contents, decoding: Decoding, progress: Progress | None
) -> Iterator[Samples]:
    """The picture after each data section; the complete one is checked."""
    if decoding.render not in RENDERINGS:
        raise OptionError(f"render {decoding.render!r}; supported are {', '.join(RENDERINGS)}")
    if decoding.detail is not None and not 0 <= decoding.detail <= 1:
        raise OptionError(f"detail is {decoding.detail}, supported are 0 to 1")
    if decoding.steps is not None:
        check_ranges([("steps", Integral, decoding.steps, 1, MAX_CALLS)])
    header = contents.header
    codec = by_id(header.codec)
    if header.mode not in tuple(Mode):
        raise CorruptError(f"sample layout {header.mode} is not known to this release")
    mode = Mode(header.mode)
    if not contents.payloads(SectionKind.DATA):
        needed = contents.ends()[1]
        raise TruncatedError(f"the file is cut before its first section ends at byte {needed}")
    samples = header.width * header.height * mode.channels
    complete = (header.height, header.width)
    latest: Samples | None = None
    for picture in codec.decode(contents, decoding, reporter(progress, samples)):
        if latest is not None:
            yield latest
        latest = picture
    if latest is None:
        raise CorruptError("the file holds no picture")
    whole = latest.shape[:2] == complete
    if codec.LOSSLESS:
        whole = whole and checksum(latest) == header.check
    if not (whole or contents.truncated):
        raise CorruptError("the decoded samples do not match the file's checksum")
    yield latest


def to_raster(contents: Contents, samples: Samples) -> Raster:
    """Decoded samples with what a file keeps beside them."""
    metadata = unpack_metadata(contents)
    mode = Mode(contents.header.mode)
    if mode is Mode.PALETTE8 and "palette" not in metadata:
        raise TruncatedError("the file is cut before its palette")
    return Raster(samples=samples, mode=mode, **metadata)


def decode_raster(
    data: bytes,
    *,
    model: Models = None,
    render: Render = "mmse",
    detail: float | None = None,
    steps: int | None = None,
    device: str = "cpu",
    limits: Limits = DEFAULT_LIMITS,
    progress: Progress | None = None,
) -> Raster:
    """Like `decode`, with the sample layout, palette and metadata."""
    decoding = Decoding(paths(model), render, detail, steps, device=device)
    return decoded(data, decoding, limits, progress)


def decoded(
    data: bytes, decoding: Decoding, limits: Limits, progress: Progress | None = None
) -> Raster:
    """The last picture of a file, see `decode`."""
    contents = read(data, limits)
    last = deque(_pictures(contents, decoding, progress), maxlen=1)
    return to_raster(contents, last[0])


def decode(
    data: bytes,
    *,
    model: Models = None,
    render: Render = "mmse",
    detail: float | None = None,
    steps: int | None = None,
    device: str = "cpu",
    limits: Limits = DEFAULT_LIMITS,
    progress: Progress | None = None,
) -> NDArray[Any]:
    """The samples of a file.

    Args:
        data: a .nzp file, complete or cut.
        model: path or paths of model files, for files made with models that are not bundled.
        render: what a lossy file's picture is: `mmse`, the mean of all images that the file
            allows, nearest to the original but smooth; `flow`, one of those images, which looks
            most natural; `ancestral`, another one, from shared random numbers.
        detail: of `flow`, and of `ancestral` in hfd: 0 is `mmse`, 1 all the detail of a likely
            image, and between is between. The codec's own choice by default.
        steps: of `flow` and `ancestral`, calls of the network; more take longer and may look
            better. The codec's own choice by default.
        device: of networks that compute in floats, which are those of lossy codecs: `cpu`, `cuda`
            or another one of torch's.
        limits: what to accept.
        progress: called with (samples decoded, samples in all).

    Returns:
        (h, w) or (h, w, c) of uint8, uint16 or bool; palettes are applied. A lossless file that
        was cut gives the last whole pyramid level, which is smaller than the image; a lossy one
        a picture of lower quality.

    Raises:
        OptionError: no such rendering.
        NoisepressError: a subclass names what is wrong with the file.
    """
    raster = decode_raster(
        data,
        model=model,
        render=render,
        detail=detail,
        steps=steps,
        device=device,
        limits=limits,
        progress=progress,
    )
    return to_array(raster)


def decode_progressive(
    data: bytes,
    *,
    model: Models = None,
    render: Render = "mmse",
    detail: float | None = None,
    steps: int | None = None,
    device: str = "cpu",
    limits: Limits = DEFAULT_LIMITS,
) -> Iterator[NDArray[Any]]:
    """The picture after each section, from the coarsest to the best.

    Yields:
        Arrays as `decode` returns them, of growing size or quality.

    Raises:
        NoisepressError: see `decode`.
    """
    contents = read(data, limits)
    decoding = Decoding(paths(model), render, detail, steps, previews=True, device=device)
    for picture in _pictures(contents, decoding, None):
        yield to_array(to_raster(contents, picture))


def inspect(data: bytes, *, limits: Limits = DEFAULT_LIMITS) -> FileInfo:
    """What a file says of itself; loads neither torch nor a model.

    Raises:
        NoisepressError: see `decode`.
    """
    contents = read(data, limits)
    header = contents.header
    codec = by_id(header.codec)
    if header.mode not in tuple(Mode):
        raise CorruptError(f"sample layout {header.mode} is not known to this release")
    mode = Mode(header.mode)
    names = {int(kind): kind.name.lower() for kind in SectionKind}
    whole = contents.ends()[-1]
    return FileInfo(
        codec=codec.NAME,
        mode=mode.name,
        width=header.width,
        height=header.height,
        size=len(data),
        bits_per_sample=8 * whole / (header.width * header.height * mode.channels),
        truncated=contents.truncated,
        sections=tuple(
            (names.get(kind, f"kind {kind}"), length, index < len(contents.sections))
            for index, (kind, length) in enumerate(contents.table)
        ),
        parameters=codec.describe(header.parameters),
    )


def verify(data: bytes, image: object = None, *, model: Models = None) -> None:
    """Check that a file is complete and decodes, and that it holds `image` if one is given.

    Raises:
        OptionError: `image` is given, and the file's codec is lossy.
        TruncatedError: the file was cut.
        CorruptError: a checksum or the samples differ.
        NoisepressError: see `decode`.
    """
    contents = read(data)
    codec = by_id(contents.header.codec)
    if image is not None and not codec.LOSSLESS:
        raise OptionError(f"{codec.NAME} is lossy: its files do not hold the samples of an image")
    if contents.truncated:
        raise TruncatedError(
            f"the file was cut: {len(contents.sections)} of {len(contents.table)} sections"
        )
    restored = decode_raster(data, model=model)
    if image is not None and not as_raster(image).shows(restored):
        raise CorruptError("the file decodes to another picture than the image")
