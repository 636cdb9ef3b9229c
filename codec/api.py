"""The public functions: encode, decode and its previews, inspect, truncate, verify, estimate."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from threading import Event
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..bitstream import container
from ..bitstream.container import DEFAULT_LIMITS, Contents, Limits, SectionKind, read
from ..bitstream.errors import (
    CorruptError,
    LossWarning,
    OptionError,
    TruncatedError,
    UnsupportedImageError,
    warn,
)
from .alpha import unpack_plane
from .ardm.codec import Ardm, ArdmCodec, modes
from .completeness import has_all_samples, lacks, require_whole
from .fallback.attempts import FIRST, attempted, is_clear
from .image.jpeg import beside
from .image.metadata import unpack_metadata
from .image.raster import Mode, Raster, Samples, checksum, to_array
from .image.reduction import Reduction, Simpler, reduce, reduction_of
from .image.strip import Strip, stripped
from .inputs import Data, UnreadJpeg, as_data, as_image, as_raster
from .jpegfile.codec import (
    JpegFile,
    JpegFileCodec,
    keep_unread,
    kept_file,
    kept_metadata,
    kept_raster,
    kept_unread,
)
from .options import Options, given
from .protocol import Codec, Decoding, Encoded, Report, assemble
from .registry import by_id, by_name, by_options
from .screen.codec import Screen, may_win

MOST_LEVELS = 24
"""Of a picture with the longest side that a file can have, the last one is a pixel."""

Progress = Callable[[int, int], None]
"""Called with the samples coded so far and in all."""


@dataclass(frozen=True)
class FileInfo:
    """What a file says of itself, without decoding it.

    Attributes:
        codec: which coder won: `ardm`, `vdm`, `screen`, `webp`, `png` or `jpegxl`; or `diffc` or
            `hfd`; `jpegfile` if `original_file` gives back a JPEG file.
        mode: sample layout, such as `RGB8`.
        width: in pixels.
        height: in pixels.
        size: bytes of the data at hand.
        bits_per_sample: 8 size / (width height channels); of the whole file.
        truncated: the file was cut.
        missing: what is not there of a file that was cut, such as `pixels`, `opacity` or `EXIF`.
        metadata: which of `icc`, `exif`, `xmp` and `chunks` (of PNG) there are.
        sections: kind, bytes of the payload, and whether the section is there.
        parameters: the codec's own fields: order, model, digest and so on; and `coded`, the layout
            of the simpler image that was coded in place of the image, if one was.
    """

    codec: str
    mode: str
    width: int
    height: int
    size: int
    bits_per_sample: float
    truncated: bool
    missing: tuple[str, ...]
    metadata: tuple[str, ...]
    sections: tuple[tuple[str, int, bool], ...]
    parameters: Mapping[str, int | str]


def chosen(codec: str | Options | None, options: Mapping[str, Any]) -> tuple[Codec, Options]:
    """A codec and its options, from a name and keywords or from options alone; by default ardm.

    Raises:
        OptionError: there is no such codec, or an option is unknown, not supported or given twice.
    """
    if codec is None:
        codec = ArdmCodec.NAME
    if isinstance(codec, Options):
        found = by_options(codec)
        return found, given(found.OPTIONS, codec, options)
    if not isinstance(codec, str):
        raise OptionError(f"codec is a {type(codec).__name__}, a name or options are supported")
    found = by_name(codec)
    return found, given(found.OPTIONS, None, options)


def check_decoding(options: Options) -> Decoding:
    """How to decode what was encoded with options: with the models that they name."""
    names = [getattr(options, name, None) for name in ("model", "coarse")]
    return Decoding(model=[name for name in names if name])


def reporter(progress: Progress | None, total: int, done: float = 0.0) -> Report:
    """What codecs report to, for a caller's progress function."""

    def report(count: float) -> None:
        nonlocal done
        done += count
        if progress:
            progress(min(round(done), total), total)

    return report


def encode(
    image: object,
    codec: str | Options | None = None,
    *,
    fallback: bool = True,
    pixels: bool = False,
    strip: Strip | None = None,
    limits: Limits = DEFAULT_LIMITS,
    progress: Progress | None = None,
    **options: Any,
) -> bytes:
    """Encode an image, or keep a JPEG file.

    Without `codec`, what comes as a JPEG file is kept as that file, in fewer bytes, also where its
    picture is not supported (CMYK, 12 bits, damage): `original_file` gives it back.

    Args:
        image: path, bytes or binary file object of an image file; array (h, w) or (h, w, c) of
            uint8, uint16 or bool, c = 1 to 4 (grey, grey and alpha, RGB, RGBA), as anything that
            numpy takes for one; torch tensor (h, w) or (c, h, w); or Pillow image of mode 1, L, LA,
            P, RGB, RGBA or I;16, whose ICC profile, EXIF and XMP are kept.
        codec: options such as `noisepress.Diffc(bpp=0.3)`; or a name, `ardm`, `vdm`, `screen`,
            `webp`, `png` or `jpegxl`, which are lossless, `jpegfile`, which keeps JPEG files, or
            `diffc` or `hfd`. None: `jpegfile` for JPEG files, `ardm` for others.
        fallback: also try lossless WebP, PNG and JPEG XL besides a lossless codec, and `screen`
            where pixels repeat, and keep the smallest.
        pixels: of a kept JPEG file, also code the pixels, and keep only them where that is smaller.
        strip: remove metadata, also from JPEG files: `private` all that does not say how the image
            looks, `all` also the ICC profile and the resolution.
        limits: of them, the pixels that the image may have.
        progress: called with (samples coded, samples in all).
        options: of the codec, or of ardm without one: the fields of `noisepress.Ardm`, `Vdm`,
            `Diffc`, `Hfd`, `Screen`, `WebP`, `Png` or `JpegXL`.

    Returns:
        The bytes of a .nzp file; a lossless one was checked to decode to the same samples, and a
        JPEG file to come back.

    Raises:
        UnsupportedImageError: the image is of another kind, or the codec does not take it and
            `fallback` is off.
        OptionError: an option is wrong, or the file cannot be as small or as good as asked for.
        ModelError: there is no such model or device.
        LimitError: the image exceeds `limits`.
        CorruptError: the encoded image does not decode to itself.
        OSError: the path or the file cannot be read.
    """
    asked, settings = chosen(codec, options)
    opened = as_image(image, limits.pixels)
    keeps = codec is None or isinstance(settings, JpegFile)
    if isinstance(opened, UnreadJpeg):
        if not keeps or strip:
            raise UnsupportedImageError(opened.reason)
        return keep_unread(opened)
    raster = stripped(opened, strip) if strip else opened
    total = raster.samples.size
    kept = _file(raster, JpegFileCodec(), JpegFile(), lambda _: None) if keeps else None
    if kept is None or pixels:
        file = _coded(raster, asked, settings, fallback, reporter(progress, total))
        file = min(kept or file, file, key=len)
        if file is not kept:
            warn_of_losses(raster)
    else:
        file = kept
    if progress:
        progress(total, total)
    return file


def warn_of_losses(raster: Raster) -> None:
    """A `LossWarning` of what a JPEG file has besides the pixels and metadata that are coded."""
    if raster.jpeg and (lost := beside(raster.jpeg)):
        warn(LossWarning, f"of the JPEG file are not kept: {', '.join(lost)}")


def _coded(
    raster: Raster, asked: Codec, settings: Options, fallback: bool, report: Report
) -> bytes:
    """The file of an image through a codec, or through a fallback where that is smaller; checked.

    Raises:
        UnsupportedImageError: there is none, because the codec does not take the layout.
    """
    if asked.LOSSLESS and fallback:
        return _smallest(raster, asked, settings, report)
    simpler = reduce(raster) if asked.LOSSLESS else None
    file = _file(raster, asked, settings, report, simpler)
    if file is None:
        raise UnsupportedImageError(
            f"{asked.NAME} does not code {raster.mode.name} images with these options"
        )
    return _checked(raster, file, settings) if asked.LOSSLESS else file


def _file(
    raster: Raster, codec: Codec, options: Options, report: Report, simpler: Simpler | None = None
) -> bytes | None:
    """The file of a codec; None for a layout that it does not take.

    Args:
        simpler: what is coded in place of the image if the codec takes it.
    """
    if simpler and (file := _file_of(raster, *simpler, codec, options, report)):
        return file
    return _file_of(raster, raster, None, codec, options, report)


def _file_of(
    raster: Raster,
    coded: Raster,
    reduction: Reduction | None,
    codec: Codec,
    options: Options,
    report: Report,
) -> bytes | None:
    """The file of an image through what is coded in its place."""

    def whole(encoded: Encoded) -> bytes:
        return assemble(raster, codec, encoded, reduction)

    encoded = codec.encode(coded, options, report, lambda encoded: len(whole(encoded)))
    return None if encoded is None else whole(encoded)


def _smallest(raster: Raster, asked: Codec, settings: Options, report: Report) -> bytes:
    """The smallest file of a codec and the fallbacks, checked.

    The fallbacks are made while the codec's file is checked, for both take about as long.
    """
    simpler, repeats = reduce(raster), may_win(raster)
    samples, stopped = raster.samples.size, Event()

    def made(options: Options) -> bytes | None:
        if stopped.is_set() or (isinstance(options, Screen) and not repeats):
            return None
        return _file(raster, by_options(options), options, lambda _: None, simpler)

    files: dict[Options, bytes] = {}
    for options in FIRST if repeats else ():
        if options != settings and (file := made(options)):
            files[options] = file
    own = None
    if not is_clear(samples, files):
        own = _file(raster, asked, settings, report, simpler)
    if own is not None:
        files[settings] = own
    pool = ThreadPoolExecutor(1)
    try:
        others = pool.submit(lambda: attempted(samples, files, made))
        if own is not None:
            _checked(raster, own, settings)
        best, smallest = min(others.result().items(), key=lambda each: len(each[1]))
    finally:  # an interrupt does not wait for a long search, whose result nobody gets
        stopped.set()
        pool.shutdown(wait=False)
    return smallest if smallest is own else _checked(raster, smallest, best)


def _checked(raster: Raster, file: bytes, options: Options) -> bytes:
    """The file itself.

    Raises:
        CorruptError: it does not decode to the image.
    """
    if decode_raster(file, check_decoding(options)) != raster:
        raise CorruptError("the encoded image does not decode to itself")
    return file


def estimate(image: object, codec: Ardm | None = None, **options: Any) -> float:
    """Bits that ardm's model assigns to an image: the file's data sections up to rounding.

    Args:
        image: see `encode`.
        codec: options of ardm.
        options: fields of `Ardm`, instead of one.

    Raises:
        UnsupportedImageError, OptionError, ModelError, OSError: see `encode`.
    """
    from .ardm.coding import estimate as estimated

    settings = given(Ardm, codec, options)
    raster = as_raster(image)
    supported = modes(settings.order, settings.effort)
    simpler = reduce(raster)
    if simpler and simpler[0].mode in supported:
        raster = simpler[0]
    if raster.mode not in supported:
        raise UnsupportedImageError(
            f"ardm in {settings.order} order with effort {settings.effort} does not code "
            f"{raster.mode.name} images"
        )
    return estimated(raster, settings)


def known_mode(contents: Contents) -> Mode:
    """The sample layout of a file.

    Raises:
        CorruptError: it is not known to this release.
    """
    number = contents.header.mode
    if number not in tuple(Mode):
        raise CorruptError(f"sample layout {number} is not known to this release")
    return Mode(number)


def opened(contents: Contents) -> tuple[Codec, Contents, Callable[[Samples], Samples]]:
    """The codec of a file, the file as it knows it, and how its pictures become the image's.

    Raises:
        TruncatedError: there is no data section, or no palette.
    """
    header = contents.header
    codec = by_id(header.codec)
    mode = known_mode(contents)
    if not contents.payloads(SectionKind.DATA):
        needed = contents.useful_ends()[0]
        raise TruncatedError(f"the file is cut before its first section ends at byte {needed}")
    palette = unpack_metadata(contents)["palette"] if mode is Mode.PALETTE8 else b""
    reduction = reduction_of(contents)
    if reduction is None:
        return codec, contents, lambda picture: picture
    coded = replace(contents, header=replace(header, mode=reduction.mode))
    return codec, coded, lambda picture: reduction.expand(picture, mode, palette)


def _pictures(
    contents: Contents, decoding: Decoding, report: Report, *, previews: bool, partial: bool
) -> Iterator[Samples]:
    """The picture after each data section; the complete one is checked.

    Raises:
        TruncatedError: after the last picture of a part of a file that must be whole.
    """
    codec, coded, expand = opened(contents)
    if not previews:
        require_whole(contents, lossless=codec.LOSSLESS, partial=partial)
    latest: Samples | None = None
    for picture in codec.decode(coded, decoding, report, previews=previews):
        if latest is not None:
            yield latest
        latest = expand(picture)
    yield _whole(contents, codec, latest)
    if previews:
        require_whole(contents, lossless=codec.LOSSLESS, partial=partial)


def _whole(contents: Contents, codec: Codec, picture: Samples | None) -> Samples:
    """The last picture of a file, checked unless the file was cut.

    Raises:
        CorruptError: it is not the one that was encoded, or there is none.
    """
    header = contents.header
    if picture is None:
        raise CorruptError("the file holds no picture")
    whole = picture.shape[:2] == (header.height, header.width)
    if codec.LOSSLESS:
        whole = whole and checksum(picture) == header.check
    if has_all_samples(contents) and not whole:
        raise CorruptError("the decoded samples do not match the file's checksum")
    return picture


def _reduced(contents: Contents, decoding: Decoding, level: int) -> Samples:
    """The picture of every 2^level-th pixel and row, from no more data than it needs.

    Of a file that was cut before that, it is what there is, with a warning.
    """
    codec, coded, expand = opened(contents)
    height, width = contents.header.height, contents.header.width
    least = -(-height >> level), -(-width >> level)
    latest: Samples | None = None
    for latest in codec.decode(coded, decoding, lambda _: None, previews=codec.LOSSLESS):
        rows, columns = latest.shape[:2]
        if rows >= least[0] and columns >= least[1] and (rows, columns) != (height, width):
            picture = expand(_with_opacity(latest, coded))
            break
    else:
        require_whole(contents, lossless=codec.LOSSLESS, partial=True)
        picture = _whole(contents, codec, None if latest is None else expand(latest))
    step = 1 << max(0, level - _level(contents, picture))
    return np.ascontiguousarray(picture[::step, ::step])


def _level(contents: Contents, picture: Samples) -> int:
    """Which k a picture has that is every 2^k-th pixel and row of a file's image."""
    height, width = contents.header.height, contents.header.width
    levels = range(MOST_LEVELS + 1)
    return next(k for k in levels if picture.shape[:2] == (-(-height >> k), -(-width >> k)))


def _with_opacity(picture: Samples, coded: Contents) -> Samples:
    """A smaller picture with the opacity of its pixels, which is a section of its own."""
    header = coded.header
    payloads = coded.payloads(SectionKind.ALPHA)
    if payloads:
        step = 1 << _level(coded, picture)
        plane = unpack_plane(payloads[0], header.height, header.width, picture.dtype)
        picture[..., -1:] = plane[::step, ::step]
    return picture


def to_raster(contents: Contents, samples: Samples) -> Raster:
    """Decoded samples with what a file keeps beside them.

    Raises:
        CorruptError: they do not fit together.
        TruncatedError: the palette is missing.
    """
    metadata = unpack_metadata(contents)
    try:
        return Raster(
            samples=samples,
            mode=Mode(contents.header.mode),
            missing=lacks(contents),
            **metadata,
        )
    except UnsupportedImageError as error:
        raise CorruptError(str(error)) from error


def decode_raster(
    data: Data,
    decoding: Decoding | None = None,
    *,
    partial: bool = False,
    limits: Limits = DEFAULT_LIMITS,
    progress: Progress | None = None,
    **options: Any,
) -> Raster:
    """Like `decode`, with the sample layout, palette and metadata, and what is missing."""
    how = given(Decoding, decoding, options)
    contents = read(as_data(data), limits, partial=partial)
    header = contents.header
    total = header.width * header.height * known_mode(contents).channels
    if header.codec == JpegFileCodec.ID:
        raster = kept_raster(contents)
    else:
        report = reporter(progress, total)
        pictures = _pictures(contents, how, report, previews=False, partial=partial)
        raster = to_raster(contents, deque(pictures, maxlen=1)[0])
    if progress and not contents.truncated:
        progress(total, total)
    return raster


def decode(
    data: Data,
    decoding: Decoding | None = None,
    *,
    partial: bool = False,
    limits: Limits = DEFAULT_LIMITS,
    progress: Progress | None = None,
    **options: Any,
) -> NDArray[Any]:
    """The samples of a file.

    Args:
        data: a .nzp file, complete or cut: bytes, bytearray, memoryview, array of uint8, path or
            binary file object.
        decoding: see `Decoding`.
        partial: decode what there is of a lossless file that was cut, or of any that is damaged; a
            lossy one that was cut is a picture in any case. A `TruncatedWarning` says what is
            missing.
        limits: what to accept.
        progress: called with (samples decoded, samples in all).
        options: fields of `Decoding`, instead of one: `decode(data, render="flow")`.

    Returns:
        (h, w) or (h, w, c) of uint8, uint16 or bool; palettes are applied. Part of a lossless file
        gives the last whole pyramid level, which is smaller than the image, or an opaque image; a
        lossy one that was cut gives a picture of lower quality.

    Raises:
        OptionError: an option is wrong.
        ModelError: a model is not there or has another digest, or there is no such device.
        NotNoisepressError, VersionError, UnknownIdError: the data is no .nzp image that this
            release reads.
        CorruptError: the file is damaged.
        TruncatedError: the file was cut before its first picture; or it is lossless, was cut, and
            `partial` is off.
        LimitError: the file exceeds `limits`.
        OSError: the path or the file cannot be read.
    """
    raster = decode_raster(
        data, decoding, partial=partial, limits=limits, progress=progress, **options
    )
    return to_array(raster)


def decode_progressive(
    data: Data,
    decoding: Decoding | None = None,
    *,
    partial: bool = False,
    limits: Limits = DEFAULT_LIMITS,
    **options: Any,
) -> Iterator[NDArray[Any]]:
    """The picture after each section, from the coarsest to the best.

    Args:
        data: see `decode`.
        decoding: see `decode`.
        partial: see `decode`.
        limits: see `decode`.
        options: see `decode`.

    Yields:
        Arrays as `decode` returns them, of growing size or quality.

    Raises:
        NoisepressError, OSError: see `decode`; also between two pictures. Of a lossless file that
            was cut, the error follows the pictures that there are.
    """
    how = given(Decoding, decoding, options)
    contents = read(as_data(data), limits, partial=partial)
    for picture in _pictures(contents, how, lambda _: None, previews=True, partial=partial):
        yield to_array(to_raster(contents, picture))


def check_level(level: int) -> None:
    """Check the level of a preview.

    Raises:
        OptionError: there is none like it.
    """
    if not (isinstance(level, int) and 0 <= level <= MOST_LEVELS):
        raise OptionError(f"level is {level!r}, supported are whole numbers to {MOST_LEVELS}")


def preview_raster(
    data: Data, level: int, decoding: Decoding | None = None, *, limits: Limits = DEFAULT_LIMITS
) -> Raster:
    """Like `decode_preview`, with the sample layout, palette and metadata."""
    check_level(level)
    file = as_data(data)
    contents = read(file, limits)  # damage is an error, also where a part of the file would do
    if level == 0:
        return decode_raster(file, decoding, partial=True, limits=limits)
    reduced = _reduced(contents, decoding or Decoding(), level)
    return replace(to_raster(contents, reduced), jpeg=b"")


def decode_preview(
    data: Data,
    level: int,
    decoding: Decoding | None = None,
    *,
    limits: Limits = DEFAULT_LIMITS,
    **options: Any,
) -> NDArray[Any]:
    """A smaller picture: every 2^level-th pixel of every 2^level-th row.

    Of a resolution pyramid (`ardm` in lattice order, `vdm`) only the beginning is decoded: a level
    has a quarter of the pixels of the next finer one. Other files are decoded as a whole.

    Args:
        data: see `decode`.
        level: from 0, the whole picture, to 24.
        decoding: see `decode`.
        limits: see `decode`.
        options: see `decode`.

    Returns:
        (h', w') or (h', w', c) as `decode` returns it, with h' = ceil(h / 2^level) and
        w' = ceil(w / 2^level), or a smaller level if the file was cut before this one, with a
        `TruncatedWarning`.

    Raises:
        OptionError: the level or an option is wrong.
        NoisepressError, OSError: see `decode`.
    """
    return to_array(preview_raster(data, level, given(Decoding, decoding, options), limits=limits))


def original_file(data: Data, *, limits: Limits = DEFAULT_LIMITS) -> bytes:
    """The JPEG file that a .nzp file keeps, byte for byte.

    Args:
        data: see `decode`.
        limits: see `decode`.

    Raises:
        OptionError: the file was made of pixels; `inspect` names another codec than `jpegfile`.
        TruncatedError: the file was cut.
        NoisepressError, OSError: see `decode`.
    """
    contents = read(as_data(data), limits)
    codec = by_id(contents.header.codec)
    if not isinstance(codec, JpegFileCodec):
        raise OptionError(f"the file holds pixels ({codec.NAME}) and keeps no JPEG file: decode it")
    return kept_file(contents)


def inspect(data: Data, *, limits: Limits = DEFAULT_LIMITS) -> FileInfo:
    """What a file says of itself; loads neither torch nor a model.

    Args:
        data: see `decode`.
        limits: see `decode`.

    Raises:
        NoisepressError, OSError: see `decode`.
    """
    file = as_data(data)
    contents = read(file, limits)
    header = contents.header
    codec = by_id(header.codec)
    mode = known_mode(contents)
    names = {int(kind): kind.name.lower() for kind in SectionKind}
    whole = contents.ends()[-1]
    reduction = reduction_of(contents)
    return FileInfo(
        codec=codec.NAME,
        mode=mode.name,
        width=header.width,
        height=header.height,
        size=len(file),
        bits_per_sample=8 * whole / (header.width * header.height * mode.channels),
        truncated=contents.truncated,
        missing=lacks(contents),
        sections=tuple(
            (names.get(kind, f"kind {kind}"), length, index < len(contents.sections))
            for index, (kind, length) in enumerate(contents.table)
        ),
        parameters=codec.describe(header.parameters) | (reduction.describe() if reduction else {}),
        metadata=_metadata_names(contents),
    )


def _metadata_names(contents: Contents) -> tuple[str, ...]:
    """Which metadata a file has, in sections of its own or in a JPEG file."""
    if contents.header.codec == JpegFileCodec.ID and not contents.truncated:
        found = kept_metadata(contents)
        return tuple(name for name in ("icc", "exif", "xmp") if found.get(name))
    kinds = (SectionKind.ICC, SectionKind.EXIF, SectionKind.XMP, SectionKind.CHUNKS)
    return tuple(kind.name.lower() for kind in kinds if contents.payloads(kind))


def truncate(data: Data, max_bytes: int) -> bytes:
    """The longest prefix of a file that ends behind a whole section.

    Args:
        data: see `decode`.
        max_bytes: that the prefix may have.

    Raises:
        TruncatedError: not even the first section fits.
        NoisepressError, OSError: see `decode`.
    """
    return container.truncate(as_data(data), max_bytes)


def verify(
    data: Data, image: object = None, decoding: Decoding | None = None, **options: Any
) -> None:
    """Check that a file is complete and decodes, and that it holds `image` if one is given.

    Args:
        data: see `decode`.
        decoding: see `decode`.
        options: see `decode`.
        image: see `encode`.

    Raises:
        OptionError: `image` is given, and the file's codec is lossy.
        TruncatedError: the file was cut.
        CorruptError: a checksum or the samples differ.
        NoisepressError, OSError: see `decode` and, of the image, `encode`.
    """
    file = as_data(data)
    contents = read(file)
    codec = by_id(contents.header.codec)
    if image is not None and not codec.LOSSLESS:
        raise OptionError(f"{codec.NAME} is lossy: its files do not hold the samples of an image")
    if contents.truncated:
        raise TruncatedError(
            f"the file was cut: {len(contents.sections)} of {len(contents.table)} sections"
        )
    restored = kept_unread(contents) or decode_raster(file, decoding, **options)
    if image is None:
        return
    expected = as_image(image)
    if isinstance(expected, Raster) and isinstance(restored, Raster):
        same = expected.shows(restored)
    else:
        same = expected == restored
    if not same:
        raise CorruptError("the file decodes to another picture than the image")
