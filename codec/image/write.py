"""Rasters as image files."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from io import BytesIO
from typing import Any

import imagecodecs
import numpy as np
from PIL import Image
from PIL.ExifTags import Base as Tag

from ...bitstream.errors import LossWarning, UnsupportedImageError, warn
from . import jpeg, png
from .raster import Mode, Palette, Raster, Samples
from .read import library_errors


def save_image(raster: Raster, suffix: str) -> bytes:
    """The image as a file, losslessly.

    PNG takes every mode and all metadata. TIFF and WebP keep ICC and XMP, and WebP keeps EXIF; of
    EXIF, TIFF keeps the orientation. BMP and PNM have no place for metadata: their pixels are
    turned as the orientation says. A `LossWarning` says what a format does not keep. WebP does not
    say whether opaque pixels had an alpha channel. JPEG is not written, except that `raster.jpeg`
    is given back as it is.

    Args:
        suffix: names the format: ".png", ".tif", ".tiff", ".webp", ".bmp", ".pbm", ".pgm", ".ppm",
            ".pnm", ".jpg" or ".jpeg", in upper or lower case.

    Raises:
        UnsupportedImageError: the format cannot hold the samples, or is not one of these.
    """
    if raster.jpeg and suffix.lower() in jpeg.SUFFIXES:
        return raster.jpeg
    writer = _WRITERS.get(suffix.lower())
    if writer is None:
        raise UnsupportedImageError(
            f"cannot write {suffix or 'a file without suffix'}: {', '.join(_WRITERS)} are supported"
        )
    if raster.mode not in writer.modes:
        names = ", ".join(mode.name for mode in writer.modes)
        raise UnsupportedImageError(
            f"{suffix} does not hold {raster.mode.name} exactly (it holds {names}): use .png"
        )
    if raster.palette and not writer.translucent and Palette.unpack(raster.palette).alpha:
        raise UnsupportedImageError(f"{suffix} does not hold a translucent palette: use .png")
    lost = [word for name, word in _WORDS.items() if getattr(raster, name)]
    lost = [word for word in lost if word not in writer.keeps]
    if _EXIF in lost and _is_orientation(raster.exif):
        lost.remove(_EXIF)
    if raster.jpeg:
        lost += jpeg.beside(raster.jpeg)
    if lost:
        warn(LossWarning, f"{suffix} does not keep {', '.join(lost)}")
    with library_errors("write"):
        return writer.write(raster)


def orientation(raster: Raster) -> int:
    """The orientation in the EXIF data, 1 to 8; 1, upright, if there is none that can be read."""
    exif = Image.Exif()
    try:
        exif.load(raster.exif)
        value = exif.get(Tag.Orientation, 1)
    except Exception:  # whatever Pillow raises for damaged data
        return 1
    return value if value in _TURNS else 1


def _is_orientation(exif: bytes) -> bool:
    """Whether EXIF data says nothing but the orientation."""
    found = Image.Exif()
    try:
        found.load(exif)
        return set(found) <= {Tag.Orientation}
    except Exception:  # whatever Pillow raises for damaged data
        return False


_TURNS: Mapping[int, Callable[[Samples], Samples]] = {
    1: lambda samples: samples,
    2: lambda samples: samples[:, ::-1],
    3: lambda samples: samples[::-1, ::-1],
    4: lambda samples: samples[::-1],
    5: lambda samples: samples.swapaxes(0, 1),
    6: lambda samples: samples[::-1].swapaxes(0, 1),
    7: lambda samples: samples[::-1, ::-1].swapaxes(0, 1),
    8: lambda samples: samples[:, ::-1].swapaxes(0, 1),
}
"""How samples (h, w, c) are shown upright, by the orientation of EXIF 2.32, table 6."""


def _upright(raster: Raster) -> Raster:
    """The image as viewers show it, for formats that cannot say how it lies."""
    turned = _TURNS[orientation(raster)](raster.samples)
    return replace(raster, samples=np.ascontiguousarray(turned), exif=b"", jpeg=b"")


def bare_image(raster: Raster) -> Image.Image:
    """Pillow image without metadata, of a raster of a mode that Pillow has."""
    mode, name = raster.mode, raster.mode.pillow
    assert name is not None
    samples = raster.samples
    if mode is Mode.BILEVEL:
        packed = np.packbits(samples[:, :, 0], axis=1).tobytes()
        return Image.frombytes("1", (raster.width, raster.height), packed)
    little = np.ascontiguousarray(samples, dtype=mode.dtype.newbyteorder("<"))
    image = Image.frombytes(name, (raster.width, raster.height), little.tobytes())
    if mode is Mode.PALETTE8:
        palette = Palette.unpack(raster.palette)
        image.putpalette(palette.colours.tobytes())
        image.info.update(transparency(palette))
    return image


def transparency(palette: Palette) -> dict[str, int | bytes]:
    """The opacity of a palette as Pillow's PNG reader has it in `info`, if it has any.

    A single transparent entry is its index.
    """
    if not palette.alpha:
        return {}
    last = len(palette.alpha) - 1
    is_index = palette.alpha == b"\xff" * last + b"\0"
    return {"transparency": last if is_index else palette.alpha}


def _metadata(raster: Raster) -> dict[str, bytes]:
    """What there is of ICC, EXIF and XMP, under Pillow's names."""
    named = {"icc_profile": raster.icc, "exif": raster.exif, "xmp": raster.xmp}
    return {name: value for name, value in named.items() if value}


def _pillow_file(raster: Raster, kind: str, **options: Any) -> bytes:
    """The samples and palette as a file of Pillow's, with the options of its `save`."""
    out = BytesIO()
    bare_image(raster).save(out, kind, **options)
    return out.getvalue()


def _write_png(raster: Raster) -> bytes:
    if raster.mode.pillow is None:
        pixels = bytes(imagecodecs.png_encode(raster.samples))
    else:
        pixels = _pillow_file(raster, "PNG")
    chunks = b""
    if raster.icc:
        chunks += png.chunk(b"iCCP", b"ICC Profile\0\0" + zlib.compress(raster.icc))
    if raster.exif:
        chunks += png.chunk(b"eXIf", raster.exif)
    if raster.xmp:
        chunks += png.chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + raster.xmp)
    chunks += raster.chunks
    ihdr_end = 8 + 25  # before the palette, where all of them are allowed
    return pixels[:ihdr_end] + chunks + pixels[ihdr_end:]


def _write_tiff(raster: Raster) -> bytes:
    tags: dict[int, Any] = {Tag.XMLPacket: raster.xmp} if raster.xmp else {}
    if (turned := orientation(raster)) > 1:
        tags[Tag.Orientation] = turned
    return _pillow_file(
        raster,
        "TIFF",
        compression="tiff_adobe_deflate",
        icc_profile=raster.icc or None,
        tiffinfo=tags,
    )


def _write_webp(raster: Raster) -> bytes:
    return _pillow_file(raster, "WEBP", lossless=True, exact=True, **_metadata(raster))


def _write_bmp(raster: Raster) -> bytes:
    return _pillow_file(_upright(raster), "BMP")


def _write_pnm(raster: Raster) -> bytes:
    raster = _upright(raster)
    if raster.mode is not Mode.RGB16:
        return _pillow_file(raster, "PPM")
    header = f"P6\n{raster.width} {raster.height}\n65535\n".encode()
    return header + raster.samples.astype(">u2").tobytes()


@dataclass(frozen=True)
class _Writer:
    """How a format is written.

    Attributes:
        modes: those that it holds exactly.
        translucent: whether palette entries may be translucent.
        keeps: metadata, see `_WORDS`.
    """

    write: Callable[[Raster], bytes]
    modes: tuple[Mode, ...]
    translucent: bool = False
    keeps: tuple[str, ...] = ()


_WORDS = {"icc": "the ICC profile", "exif": "EXIF", "xmp": "XMP", "chunks": "PNG chunks"}
"""Metadata by the attributes of a raster."""
_ICC, _EXIF, _XMP, _CHUNKS = _WORDS.values()
_PLAIN = (Mode.BILEVEL, Mode.L8, Mode.RGB8, Mode.PALETTE8)
_TIFF = _Writer(_write_tiff, (*_PLAIN, Mode.LA8, Mode.RGBA8, Mode.L16), keeps=(_ICC, _XMP))
_WRITERS: Mapping[str, _Writer] = {
    ".png": _Writer(_write_png, tuple(Mode), True, (_ICC, _EXIF, _XMP, _CHUNKS)),
    ".tif": _TIFF,
    ".tiff": _TIFF,
    ".webp": _Writer(_write_webp, (Mode.RGB8, Mode.RGBA8), keeps=(_ICC, _EXIF, _XMP)),
    ".bmp": _Writer(_write_bmp, _PLAIN),
    ".pbm": _Writer(_write_pnm, (Mode.BILEVEL,)),
    ".pgm": _Writer(_write_pnm, (Mode.L8, Mode.L16)),
    ".ppm": _Writer(_write_pnm, (Mode.RGB8, Mode.RGB16)),
    ".pnm": _Writer(_write_pnm, (Mode.BILEVEL, Mode.L8, Mode.L16, Mode.RGB8, Mode.RGB16)),
}
