"""Image files and Pillow images as rasters.

Samples are either kept exactly or the image is refused with an `UnsupportedImageError` that names
what was wrong and what is supported. Pillow alone does not keep that rule (it reads 16-bit colour
as 8-bit, rescales odd depths, divides premultiplied alpha), so every format that can hold more than
8 bits is inspected before Pillow's samples are believed.

What is kept: samples, palette with its transparency, ICC profile, EXIF, XMP, of up to 64 MiB each,
and of PNG files the chunks of colour (gAMA, cHRM, cICP and so on), resolution, text and time. A
`LossWarning` says what else a file has. It does not speak of resolution and comments outside of
PNG, of the maximum of a PNM file, and of the fact that samples have 9 to 15 bits. Orientation tags
are not applied (the tag comes back with the EXIF), except for TIFF and JPEG XL, whose orientation
is a property of the stored rows and is not kept: there the rows are turned upright.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import imagecodecs
import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile

from ...bitstream.errors import (
    LossWarning,
    NoisepressError,
    NoisepressWarning,
    UnsupportedImageError,
    one_line,
    warn,
)
from ..sources import FileSource, file_bytes
from . import jpeg, jpeg2000, jpegxl, png, pnm, tiff
from .metadata import INFLATE_LIMIT
from .pillow import load, open_checked
from .raster import (
    MAX_PIXELS,
    PILLOW_MODES,
    Mode,
    Palette,
    Raster,
    Samples,
    check_page,
    check_size,
    mode_of,
    plain_copy,
    to_whole_range,
)

_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "PPM", "TIFF", "JPEG2000", "AVIF", "QOI")
"""Formats whose 8-bit samples are what the file holds, or that are inspected below."""

_HEIC = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")
"""Brands of HEIF files with HEVC pictures (ISO/IEC 23008-12, annex B); AVIF has others."""

_PILLOW_MODES = "1, L, LA, RGB, RGBA, P and 16-bit I;16"
_INSTEAD = {
    **dict.fromkeys(("CMYK", "YCbCr", "LAB", "HSV", "RGBX"), "convert it to RGB"),
    **dict.fromkeys(("RGBa", "La", "PA"), "convert it to RGBA, which has straight opacity"),
    **dict.fromkeys(("F", "I (32-bit or signed)"), "scale it to 16 bits"),
}
"""What to do with images of other modes."""

_REDUCED = ("LA", "RGB", "RGBA")
"""Pillow's modes that have 8 bits even where the file has 16."""


def open_image(source: FileSource, page: int | None = None, *, pixels: int = MAX_PIXELS) -> Raster:
    """The image in a file, exactly.

    PNG, JPEG, WebP, GIF, BMP, PPM/PGM/PBM, PAM, TIFF, JPEG 2000, JPEG XL, AVIF and QOI; 8-bit
    samples are those that Pillow decodes, 16-bit ones are read whole. Samples of 9 to 15 bits, and
    those of PNM and PAM files with another maximum than 255 or 65535, are scaled to the whole
    range. A JPEG file comes along as `Raster.jpeg`; of several pictures in it (MPO), the first is
    read.

    Args:
        source: a path, the bytes of a file, or a binary file.
        page: of a file with several frames or pages, which one, from 1; needed for those, except
            that of a TIFF file the one page is taken that is not a thumbnail.
        pixels: that the image may have; checked before they are decoded.

    Raises:
        UnsupportedImageError: the file is damaged, has no such page, or the image would not be kept
            exactly.
        LimitError: the image has more pixels.
        OSError: the path or file cannot be read.
    """
    data = file_bytes(source, UnsupportedImageError)
    if data is None:
        raise UnsupportedImageError(
            f"{type(source).__name__} is not an image file: give a path, bytes or a binary file"
        )
    with library_errors("read"):
        if stream := jpegxl.codestream(data):
            return jpegxl.read(data, stream, page, pixels)
        whole = pnm.read(data, pixels) or tiff.read(data, pixels)
        if whole is not None:
            check_page(page, 1, "image")
            return whole
        _refuse_heic(data)
        chunks: list[png.Chunk] = []
        behind, file = 0, data
        if data.startswith(png.SIGNATURE):
            data, chunks, behind = png.split(data)
        image = open_checked(data, _FORMATS)
        check_size(*image.size, pixels)
        is_jpeg = image.format == "JPEG"
        if is_jpeg:
            check_page(page, 1, "JPEG")
        else:
            _choose_page(image, page, pixels)
        deep = _deep_samples(image, data)
        load(image)
        if deep is None:
            raster = _convert(image)
        else:
            samples = plain_copy(deep, np.uint16)
            raster = Raster(samples, mode_of(samples), **_metadata(image.info))
        if is_jpeg:
            return replace(raster, jpeg=file, **jpeg.metadata(file, raster.xmp))
        if image.format == "PNG":
            return _with_chunks(raster, chunks, behind)
        if image.format == "JPEG2000":
            return replace(raster, **jpeg2000.metadata(data))
        return raster


def _refuse_heic(data: bytes) -> None:
    if data[4:8] == b"ftyp" and data[8:12] in _HEIC:
        raise UnsupportedImageError(
            "HEIC is not supported: convert it to PNG, or open it with pillow-heif and give the "
            "Pillow image"
        )


def _with_chunks(raster: Raster, chunks: Sequence[png.Chunk], behind: int) -> Raster:
    """An image with what the chunks of its PNG file say."""
    bits = 3 if raster.mode is Mode.PALETTE8 else raster.mode.channels
    found = png.sort(chunks, bits, INFLATE_LIMIT)
    lost = [*found.lost, *([f"{behind} bytes behind the image"] if behind else [])]
    if lost:
        warn(LossWarning, f"of the PNG file are not kept: {', '.join(dict.fromkeys(lost))}")
    return replace(raster, icc=found.icc, exif=found.exif, xmp=found.xmp, chunks=found.kept)


def _choose_page(image: Image.Image, page: int | None, pixels: int) -> None:
    """Go to the page that is asked for, or to the one that is no thumbnail.

    Raises:
        UnsupportedImageError: there is no such page, or there are several.
    """
    frames = getattr(image, "n_frames", 1)  # only plugins of multi-frame formats have it
    if page is None and frames > 1 and isinstance(image, TiffImageFile):
        full = [index for index in range(frames) if not tiff.is_thumbnail(image, index)]
        page = full[0] + 1 if len(full) == 1 else None
        if page is not None:
            text = f"TIFF with {frames} pages: page {page} is read, the others are thumbnails"
            warn(LossWarning, text)
    check_page(page, frames, str(image.format))
    if page is not None and frames > 1:
        image.seek(page - 1)
        check_size(*image.size, pixels)


def jpeg_metadata(data: bytes) -> dict[str, Any]:
    """ICC profile, EXIF and XMP of a JPEG file, by the attributes of `Raster`; decodes no pixels.

    Raises:
        UnsupportedImageError: the file is damaged.
    """
    with library_errors("read"):
        found = _metadata(open_checked(data, ("JPEG",)).info)
        return {**found, **jpeg.metadata(data, found["xmp"])}


def from_pillow(image: Image.Image) -> Raster:
    """A single-frame Pillow image of mode 1, L, LA, RGB, RGBA, P or I;16 (I if of a 16-bit PGM).

    A colour key ("transparency" of an image without alpha) becomes an alpha channel of 0 and full
    opacity, which is the same picture.

    Raises:
        UnsupportedImageError: another mode, an animation, or a file that Pillow is about to read
            with fewer bits than it has. Once that is done only a TIFF still shows it:
            `open_image` is the safe way to read a file.
    """
    with library_errors("read"):
        check_page(None, getattr(image, "n_frames", 1), str(image.format))
        if isinstance(image, ImageFile.ImageFile):
            _refuse_reduced(image)
        load(image)
        return _convert(image)


@contextmanager
def library_errors(verb: str) -> Iterator[None]:
    """Turn whatever Pillow or imagecodecs raises into one error with one line.

    Args:
        verb: what is being done to the image.

    Raises:
        UnsupportedImageError: in place of an error that is not one of ours.
    """
    try:
        yield
    except (NoisepressError, NoisepressWarning):
        raise
    except UnidentifiedImageError as error:
        raise UnsupportedImageError(
            f"damaged or not a supported image file ({', '.join(_FORMATS)}, PAM and JPEG XL are "
            "supported)"
        ) from error
    except Exception as error:  # plugins raise OSError, SyntaxError, struct.error, KeyError, ...
        raise UnsupportedImageError(f"cannot {verb} the image: {one_line(error)}") from error


def _deep_samples(image: ImageFile.ImageFile, data: bytes) -> Samples | None:
    """16-bit samples (h, w, c) of a file that Pillow would reduce; None where it reads them whole.

    Raises:
        UnsupportedImageError: Pillow would read other samples than the file holds.
    """
    if isinstance(image, TiffImageFile):
        return tiff.inspect(image, data)
    match image.format:
        case "PNG":
            return _inspect_png(image, data)
        case "JPEG2000":
            return _inspect_jpeg2000(image, data)
        case "AVIF":
            return _inspect_avif(image, data)
    return None


def _inspect_png(image: Image.Image, data: bytes) -> Samples | None:
    """16-bit samples that Pillow would reduce; a key on 16-bit samples comes back as alpha."""
    depth, colour = data[24], data[25]
    key = image.info.get("transparency")
    if depth == 16 and (colour != 0 or key is not None):
        if image.tell():
            raise UnsupportedImageError("16-bit PNG of several frames, the first is supported")
        return np.asarray(imagecodecs.png_decode(data))
    if depth in (2, 4) and isinstance(key, int) and colour == 0:
        # Pillow widens the samples to 8 bits, but not the key.
        image.info["transparency"] = (key & ((1 << depth) - 1)) * (255 // ((1 << depth) - 1))
    return None


def _inspect_jpeg2000(image: Image.Image, data: bytes) -> Samples | None:
    """Samples of more than 8 bits, which Pillow shifts to 8 or 16."""
    start = data.index(b"\xff\x4f\xff\x51") + 40  # SIZ marker: the count of components
    (count,) = struct.unpack_from(">H", data, start)
    depths = {component + 1 for component in data[start + 2 : start + 2 + 3 * count : 3]}
    if depths == {8} or (depths == {16} and count == 1):
        return None
    depth = depths.pop()
    if depths or not 8 < depth <= 16 or image.mode not in ("L", "I;16", "RGB"):
        raise UnsupportedImageError(
            f"JPEG 2000 with {count} components of depths {sorted({depth, *depths})[:8]}, "
            "unsigned 8 bits, or grey and RGB of 9 to 16 are supported"
        )
    deep = np.asarray(imagecodecs.jpeg2k_decode(data))
    load(image)
    reduced = np.asarray(image)
    # Two readers, one picture: Pillow shifts up to 16 bits, or rounds to 8.
    shown = deep >> (depth - 8) if reduced.dtype == np.uint8 else deep << (16 - depth)
    agree = shown.shape == reduced.shape and np.abs(shown.astype(int) - reduced).max() <= 1
    if deep.dtype != np.uint16 or not agree:
        raise UnsupportedImageError("JPEG 2000 of a layout that is not understood: use .png")
    return to_whole_range(deep, (1 << depth) - 1).reshape(*deep.shape[:2], -1)


def _inspect_avif(image: Image.Image, data: bytes) -> Samples | None:
    """Samples of 10 and 12 bits, which Pillow rounds to 8."""
    at, depth = data.find(b"av1C"), 8
    while at >= 0:
        flags = data[at + 6 : at + 7] or b"\0"
        if flags[0] & 0x40:  # high_bitdepth, and whether it is 12 bits
            depth = max(depth, 12 if flags[0] & 0x20 else 10)
        at = data.find(b"av1C", at + 4)
    if depth == 8:
        return None
    deep = np.asarray(imagecodecs.avif_decode(data, index=image.tell(), numthreads=1))
    width, height = image.size
    samples = deep.reshape(height, width, -1)
    if deep.dtype != np.uint16 or samples.shape[2] != len(image.getbands()):
        raise UnsupportedImageError("AVIF of a layout that is not understood: use .png")
    return to_whole_range(samples, (1 << depth) - 1)


def _refuse_reduced(image: ImageFile.ImageFile) -> None:
    """Refuse a file that Pillow opened but not yet read, if reading would drop bits."""
    if isinstance(image, TiffImageFile):
        tiff.check(image)
        deep = tiff.is_deep(image)
    else:
        raws = [tile.args[0] if isinstance(tile.args, tuple) else tile.args for tile in image.tile]
        deep = image.mode in _REDUCED and any(";16" in str(raw) for raw in raws)
    if deep:
        raise UnsupportedImageError(
            f"Pillow reduces 16-bit {image.mode} to 8 bits: give the path or bytes of the file"
        )


def _convert(image: Image.Image) -> Raster:
    """Raster of a loaded image whose samples are known to be what the file holds."""
    mode, name = PILLOW_MODES.get(image.mode), image.mode
    if image.mode == "I" and image.format not in ("PNG", "PPM"):
        mode, name = None, "I (32-bit or signed)"
    if mode is None:
        hint = f"; {_INSTEAD[name]}" if name in _INSTEAD else ""
        raise UnsupportedImageError(
            f"Pillow mode {name} is not supported: {_PILLOW_MODES} are{hint}"
        )
    array = np.asarray(image)
    if array.dtype.kind == "i" and not 0 <= int(array.min()) <= int(array.max()) <= 0xFFFF:
        raise UnsupportedImageError("samples outside 0..65535, 16-bit unsigned is supported")
    samples = np.ascontiguousarray(array, dtype=mode.dtype).reshape(*array.shape[:2], -1)
    if mode is Mode.PALETTE8:
        palette = _palette(image, int(samples.max()) + 1)
        return Raster(samples, mode, palette.pack(), **_metadata(image.info))
    key = image.info.get("transparency")
    if key is not None and not mode.has_alpha:
        samples, mode = _key_to_alpha(samples, mode, key)
    return Raster(samples, mode, **_metadata(image.info))


def _key_to_alpha(samples: Samples, mode: Mode, key: Any) -> tuple[Samples, Mode]:
    """Add the opacity channel that a colour key (an integer, or one a channel) stands for."""
    if mode is Mode.BILEVEL:
        samples, mode = samples * np.uint8(255), Mode.L8
    top = np.iinfo(mode.dtype).max
    colour = np.atleast_1d(np.asarray(key))
    if colour.dtype.kind != "i" or colour.shape != (mode.channels,):
        raise UnsupportedImageError(
            f"transparency {key!r} of a {mode.name} image, one integer a channel is supported"
        )
    # PNG stores 16 bits and says that only those of the image's depth count.
    shown = np.any(samples != (colour & top).astype(mode.dtype), axis=2, keepdims=True)
    alpha = np.where(shown, top, 0).astype(mode.dtype)
    samples = np.concatenate([samples, alpha], axis=2)
    return samples, mode_of(samples)


def _palette(image: Image.Image, used: int) -> Palette:
    """Palette of a loaded image, with black added so that it has at least `used` entries.

    Pillow shows indices behind the end as black; PNG would not take them.
    """
    if image.palette is None or image.palette.mode not in ("RGB", "RGBA"):
        raise UnsupportedImageError("palette is not of mode RGB or RGBA, those are supported")
    width = len(image.palette.mode)
    stored = np.frombuffer(image.palette.tobytes(), np.uint8)
    entries = stored[: min(len(stored) // width, 256) * width].reshape(-1, width)
    missing = max(used - len(entries), 0)
    colours = np.vstack([entries[:, :3], np.zeros((missing, 3), np.uint8)])
    alpha = entries[:, 3].tobytes() if width == 4 else b""
    key = image.info.get("transparency")
    if isinstance(key, int):  # one transparent index; Pillow lets it replace the entries' alpha
        alpha = b"\xff" * key + b"\0" if key < len(colours) else b""
    elif isinstance(key, (bytes, bytearray)):
        alpha = bytes(key[: len(colours)])
    elif key is not None:
        raise UnsupportedImageError(
            f"palette transparency of type {type(key).__name__}, an index or bytes are supported"
        )
    return Palette(colours, alpha.rstrip(b"\xff"))


def _metadata(info: Mapping[Any, Any]) -> dict[str, Any]:
    """ICC, EXIF and XMP as Pillow's plugins leave them; EXIF also from ImageMagick's PNG text."""
    xmp = info.get("xmp") or b""
    exif = info.get("exif") or _exif_from_text(info.get("Raw profile type exif"))
    return {
        "icc": bytes(info.get("icc_profile") or b""),
        "exif": bytes(exif).removeprefix(b"Exif\0\0"),
        "xmp": xmp.encode() if isinstance(xmp, str) else bytes(xmp),
    }


def _exif_from_text(text: object) -> bytes:
    """Hexadecimal digits after a blank line, the name and the length; damaged text is no EXIF."""
    if not isinstance(text, str):
        return b""
    try:
        return bytes.fromhex("".join(text.split("\n")[3:]))
    except ValueError:
        return b""
