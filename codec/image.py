"""The border between users' images and the integer samples that the codecs see.

Everything that knows about Pillow modes, palettes, colour keys, metadata and file formats is here.
The rule of this module: samples are either kept exactly or the image is refused with an
`UnsupportedImageError` that names what was wrong and what is supported. Pillow alone does not keep
that rule (it reads 16-bit colour as 8-bit, rescales odd depths, divides premultiplied alpha), so
every format that can hold more than 8 bits is looked at before Pillow's samples are believed.

What is kept: samples, palette with its transparency, ICC profile, EXIF, XMP. What is not: gamma and
chromaticity chunks, resolution, text, thumbnails. Orientation tags are not applied (the tag comes
back with the EXIF), except for TIFF, whose orientation is a property of the stored rows and whose
tags we do not keep: there the rows are turned upright.
"""

from __future__ import annotations

import struct
import threading
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeAlias

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, UnidentifiedImageError

from ..bitstream.errors import NoisepressError, UnsupportedImageError

if TYPE_CHECKING:
    import torch

Samples: TypeAlias = NDArray[Any]  # uint8 or uint16, shape (h, w, c)

MAX_PIXELS: Final = 1 << 30


class Mode(IntEnum):
    """Sample layout of an image. The numbers are in files: append only, never renumber."""

    BILEVEL = 0
    L8 = 1
    LA8 = 2
    RGB8 = 3
    RGBA8 = 4
    PALETTE8 = 5
    L16 = 6
    RGB16 = 7
    LA16 = 8
    RGBA16 = 9

    @property
    def channels(self) -> int:
        """Samples a pixel, 1 to 4 (an index into a palette is one sample)."""
        return _LAYOUTS[self].channels

    @property
    def dtype(self) -> np.dtype[Any]:
        """uint8 or uint16, native byte order."""
        return _LAYOUTS[self].dtype

    @property
    def has_alpha(self) -> bool:
        """Whether the last channel is opacity (a palette keeps its opacity elsewhere)."""
        return _LAYOUTS[self].has_alpha

    @property
    def pillow(self) -> str | None:
        """Pillow's name of the mode, or None where Pillow has no such mode."""
        return _LAYOUTS[self].pillow


@dataclass(frozen=True)
class _Layout:
    channels: int
    dtype: np.dtype[Any]
    has_alpha: bool
    pillow: str | None


_U8: Final = np.dtype(np.uint8)
_U16: Final = np.dtype(np.uint16)

_LAYOUTS: Final[Mapping[Mode, _Layout]] = {
    Mode.BILEVEL: _Layout(1, _U8, False, "1"),
    Mode.L8: _Layout(1, _U8, False, "L"),
    Mode.LA8: _Layout(2, _U8, True, "LA"),
    Mode.RGB8: _Layout(3, _U8, False, "RGB"),
    Mode.RGBA8: _Layout(4, _U8, True, "RGBA"),
    Mode.PALETTE8: _Layout(1, _U8, False, "P"),
    Mode.L16: _Layout(1, _U16, False, "I;16"),
    Mode.RGB16: _Layout(3, _U16, False, None),
    Mode.LA16: _Layout(2, _U16, True, None),
    Mode.RGBA16: _Layout(4, _U16, True, None),
}

# Modes by bytes a sample and channels, for arrays, tensors and 16-bit files.
_BY_SHAPE: Final[Mapping[tuple[int, int], Mode]] = {
    (mode.dtype.itemsize, mode.channels): mode
    for mode in Mode
    if mode not in (Mode.BILEVEL, Mode.PALETTE8)
}

_BY_PILLOW: Final[Mapping[str, Mode]] = {
    **{mode.pillow: mode for mode in Mode if mode.pillow},
    "I;16B": Mode.L16,
    "I;16L": Mode.L16,
    "I;16N": Mode.L16,
    "I": Mode.L16,  # 16-bit PGM; everything else of this mode is refused
}

_PILLOW_MODES: Final = "1, L, LA, RGB, RGBA, P and 16-bit I;16"


@dataclass(frozen=True)
class Palette:
    """Up to 256 colours, the first of which may be translucent.

    `colours`: uint8, shape (n, 3), 1 <= n <= 256. `alpha`: up to n bytes, the opacity of the first
    entries; the others are opaque, and the last byte is not 255 (so equal pictures have equal
    bytes). A palette of RGBA entries and one with a transparent index both come to this form.
    """

    colours: NDArray[np.uint8]
    alpha: bytes

    def pack(self) -> bytes:
        """n-1 in one byte, then n times R, G, B, then the alpha bytes to the end."""
        return bytes([len(self.colours) - 1]) + self.colours.tobytes() + self.alpha

    @classmethod
    def unpack(cls, data: bytes) -> Palette:
        """Inverse of `pack`. `UnsupportedImageError` if the bytes are not a palette."""
        n = data[0] + 1 if data else 1
        colours, alpha = data[1 : 1 + 3 * n], data[1 + 3 * n :]
        if len(colours) != 3 * n or len(alpha) > n or alpha.endswith(b"\xff"):
            raise UnsupportedImageError(
                f"palette of {len(data)} bytes is malformed (count-1, RGB entries, alpha bytes)"
            )
        return cls(np.frombuffer(colours, np.uint8).reshape(n, 3), alpha)

    def table(self) -> NDArray[np.uint8]:
        """Entries as pixels: uint8, shape (n, 3), or (n, 4) when any is not opaque."""
        if not self.alpha:
            return self.colours
        alpha = np.frombuffer(self.alpha.ljust(len(self.colours), b"\xff"), np.uint8)
        return np.column_stack([self.colours, alpha])


@dataclass(frozen=True, eq=False)
class Raster:
    """An image as integers, with what must come back beside them.

    `samples`: shape (h, w, c), uint8 or uint16 as `mode` says, values over the whole range of the
    dtype (0 and 1 for BILEVEL; indices into the palette for PALETTE8). `palette`: `Palette.pack`'s
    bytes for PALETTE8, else empty. `icc`, `exif` (the TIFF structure, without JPEG's "Exif" mark)
    and `xmp`: as found, empty when absent. `UnsupportedImageError` if these do not agree. Two
    rasters are equal if all of this is.
    """

    samples: Samples
    mode: Mode
    palette: bytes = b""
    icc: bytes = b""
    exif: bytes = b""
    xmp: bytes = b""

    def __post_init__(self) -> None:
        mode, shape = self.mode, self.samples.shape
        if len(shape) != 3 or shape[2] != mode.channels or self.samples.dtype != mode.dtype:
            raise UnsupportedImageError(
                f"samples of shape {shape} and dtype {self.samples.dtype} are not {mode.name}: "
                f"(h, w, {mode.channels}) {mode.dtype} is"
            )
        _check_size(shape[1], shape[0])
        if bool(self.palette) != (mode is Mode.PALETTE8):
            raise UnsupportedImageError(f"{len(self.palette)} palette bytes with mode {mode.name}")
        if mode in (Mode.BILEVEL, Mode.PALETTE8):
            count = 2 if mode is Mode.BILEVEL else len(Palette.unpack(self.palette).colours)
            top = int(self.samples.max())
            if top >= count:
                raise UnsupportedImageError(
                    f"sample {top} in a {mode.name} image, values up to {count - 1} are supported"
                )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Raster):
            return NotImplemented
        beside = (self.icc, self.exif, self.xmp) == (other.icc, other.exif, other.xmp)
        return beside and self.shows(other)

    __hash__ = None  # type: ignore[assignment]

    def shows(self, other: Raster) -> bool:
        """True if both are the same picture in the same layout, whatever comes beside it."""
        same = (self.mode, self.palette) == (other.mode, other.palette)
        return same and np.array_equal(self.samples, other.samples)

    @property
    def width(self) -> int:
        """Pixels a row."""
        return int(self.samples.shape[1])

    @property
    def height(self) -> int:
        """Rows."""
        return int(self.samples.shape[0])

    @property
    def check(self) -> int:
        """CRC-32 of the samples, row by row, channels interleaved, 16-bit ones little-endian."""
        return checksum(self.samples)


def checksum(samples: Samples) -> int:
    """CRC-32 of samples (h, w, c), row by row, channels interleaved, 16-bit ones little-endian."""
    little = samples.astype(samples.dtype.newbyteorder("<"), copy=False)
    return zlib.crc32(np.ascontiguousarray(little).data)


def _check_size(width: int, height: int) -> None:
    if width < 1 or height < 1 or width * height > MAX_PIXELS:
        raise UnsupportedImageError(
            f"image of {width}x{height} pixels, 1 to {MAX_PIXELS} pixels are supported"
        )


def as_raster(image: object) -> Raster:
    """Any image that the library takes: a Raster, path, file bytes, array, tensor, Pillow image.

    `UnsupportedImageError` for everything else; `OSError` if a path cannot be read.
    """
    if isinstance(image, Raster):
        return image
    if isinstance(image, (str, Path)):
        return open_image(Path(image))
    if isinstance(image, (bytes, bytearray, memoryview)):
        return open_image(bytes(image))
    if isinstance(image, np.ndarray):
        return from_array(image)
    if isinstance(image, Image.Image):
        return from_pillow(image)
    if type(image).__module__.startswith("torch"):  # torch is not imported for those without it
        tensor: Any = image
        return from_tensor(tensor)
    raise UnsupportedImageError(
        f"{type(image).__name__} is not an image: give a path, file bytes, a numpy array, "
        "a torch tensor or a Pillow image"
    )


def from_array(array: NDArray[Any]) -> Raster:
    """Shape (h, w) or (h, w, 1..4), bool (one channel only), uint8 or uint16, channels last.

    2 channels are grey and opacity, 4 are RGB and opacity. `UnsupportedImageError` for the rest.
    """
    kinds = "bool, uint8 and uint16 of shape (h, w) or (h, w, 1..4) are supported"
    samples = array[:, :, np.newaxis] if array.ndim == 2 else array
    is_bool = samples.dtype == np.bool_
    if not is_bool and not (samples.dtype.kind == "u" and samples.dtype.itemsize <= 2):
        raise UnsupportedImageError(f"array of dtype {array.dtype}: {kinds}")
    if samples.ndim != 3 or not 1 <= samples.shape[2] <= (1 if is_bool else 4):
        raise UnsupportedImageError(f"{array.dtype} array of shape {array.shape}: {kinds}")
    mode = Mode.BILEVEL if is_bool else _BY_SHAPE[samples.dtype.itemsize, samples.shape[2]]
    return Raster(np.ascontiguousarray(samples, dtype=mode.dtype), mode)


def from_tensor(tensor: torch.Tensor) -> Raster:
    """Torch tensor, channels first: (h, w) or (1..4, h, w), bool, uint8 or uint16, any device."""
    kinds = "bool, uint8 and uint16 of shape (h, w) or (1..4, h, w) are supported"
    if str(tensor.dtype) not in ("torch.bool", "torch.uint8", "torch.uint16"):
        raise UnsupportedImageError(f"tensor of dtype {tensor.dtype}: {kinds}")
    if tensor.ndim not in (2, 3) or (tensor.ndim == 3 and not 1 <= tensor.shape[0] <= 4):
        raise UnsupportedImageError(f"tensor of shape {tuple(tensor.shape)}: {kinds}")
    array = tensor.detach().cpu().numpy()
    return from_array(np.moveaxis(array, 0, -1) if array.ndim == 3 else array)


def from_pillow(image: Image.Image) -> Raster:
    """Single-frame Pillow image of mode 1, L, LA, RGB, RGBA, P or I;16 (I if from a 16-bit PGM).

    A colour key ("transparency" of an image without alpha) becomes an alpha channel of 0 and full
    opacity, which is the same picture. `UnsupportedImageError` for other modes, animations, and
    files that Pillow is about to read with fewer bits than they have. Once it has done so only a
    TIFF still shows it: `open_image` is the safe way to read a file.
    """
    with _one_error():
        _refuse_frames(image)
        _refuse_reduced(image)
        image.load()
        return _convert(image)


def open_image(source: Path | bytes) -> Raster:
    """The image in a file (or in the bytes of one), exactly.

    PNG, JPEG, WebP, GIF, BMP, PPM/PGM/PBM, TIFF, JPEG 2000, AVIF and QOI; 8-bit samples are those
    that Pillow decodes, 16-bit ones are read whole. `UnsupportedImageError` for damaged files and
    for images that would not be kept exactly; `OSError` if the path cannot be read.
    """
    data = source if isinstance(source, bytes) else source.read_bytes()
    with _one_error(), PixelLimit():
        image = Image.open(BytesIO(data), formats=_FORMATS)
        _check_size(*image.size)
        _refuse_frames(image)
        inspect = _INSPECTIONS.get(image.format or "")
        deep = inspect(image, data) if inspect else None
        image.load()
        return _convert(image) if deep is None else _from_deep(deep, image)


def to_pillow(raster: Raster) -> Image.Image:
    """Pillow image of the same mode, with palette, transparency, ICC, EXIF and XMP in `info`.

    `UnsupportedImageError` for 16-bit images of several channels, which Pillow does not have.
    """
    image = _bare(raster)
    named = {"icc_profile": raster.icc, "exif": raster.exif, "xmp": raster.xmp}
    image.info.update({name: value for name, value in named.items() if value})
    return image


def to_array(raster: Raster) -> NDArray[Any]:
    """Pixels: (h, w) for one channel, else (h, w, c); bool for BILEVEL, uint8 or uint16 otherwise.

    Indices come back as the palette's colours, 3 channels, or 4 when any entry is translucent.
    """
    if raster.mode is Mode.PALETTE8:
        pixels: NDArray[np.uint8] = Palette.unpack(raster.palette).table()[raster.samples[:, :, 0]]
        return pixels
    samples = raster.samples[:, :, 0] if raster.mode.channels == 1 else raster.samples
    return samples.astype(np.bool_) if raster.mode is Mode.BILEVEL else samples


def save_image(raster: Raster, suffix: str) -> bytes:
    """The image as a file of the format that `suffix` (".png", ".tif", ...) names, losslessly.

    PNG takes every mode and all metadata. TIFF and WebP keep ICC and XMP, and WebP keeps EXIF; BMP
    and PNM have no place for metadata. WebP does not say whether opaque pixels had an alpha
    channel. `UnsupportedImageError` where the format cannot hold the samples.
    """
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
    with _one_error():
        return writer.write(raster)


# Reading -------------------------------------------------------------------------------------

# Formats whose 8-bit samples are what the file holds, or that are inspected below.
_FORMATS: Final = (
    "PNG",
    "JPEG",
    "WEBP",
    "GIF",
    "BMP",
    "PPM",
    "TIFF",
    "JPEG2000",
    "AVIF",
    "QOI",
)


@contextmanager
def _one_error() -> Iterator[None]:
    """Turn whatever Pillow or imagecodecs raises into one error with one line."""
    try:
        yield
    except NoisepressError:
        raise
    except UnidentifiedImageError as error:
        raise UnsupportedImageError(
            f"damaged or not a supported image file ({', '.join(_FORMATS)} are supported)"
        ) from error
    except Exception as error:  # plugins raise OSError, SyntaxError, struct.error, KeyError, ...
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UnsupportedImageError(f"cannot read or write the image: {reason}") from error


class PixelLimit:
    """While any of these is entered, Pillow takes images of up to `MAX_PIXELS` pixels.

    Pillow's own limit is a global: it is put back when the last user, in any thread, leaves.
    """

    _lock: ClassVar[threading.Lock] = threading.Lock()
    _users: ClassVar[int] = 0
    _before: ClassVar[int | None] = None

    def __enter__(self) -> None:
        with self._lock:
            if PixelLimit._users == 0:
                PixelLimit._before = Image.MAX_IMAGE_PIXELS
                Image.MAX_IMAGE_PIXELS = MAX_PIXELS
            PixelLimit._users += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            PixelLimit._users -= 1
            if PixelLimit._users == 0:
                Image.MAX_IMAGE_PIXELS = PixelLimit._before


def _refuse_frames(image: Image.Image) -> None:
    frames = getattr(image, "n_frames", 1)  # only plugins of multi-frame formats have it
    if frames > 1:
        raise UnsupportedImageError(
            f"{image.format} with {frames} frames or pages, single images are supported"
        )


def _refuse_reduced(image: Image.Image) -> None:
    """Refuse a file that Pillow opened but not yet read, if reading would drop bits."""
    if not isinstance(image, ImageFile.ImageFile):
        return
    if image.format == "TIFF":
        _check_tiff(image)
    raws = [tile.args[0] if isinstance(tile.args, tuple) else tile.args for tile in image.tile]
    deep = any(isinstance(raw, str) and ";16" in raw for raw in raws)
    if (deep and image.mode in _REDUCED) or (image.format == "TIFF" and _tiff_is_deep(image)):
        raise UnsupportedImageError(
            f"Pillow reduces 16-bit {image.mode} to 8 bits: give the path or bytes of the file"
        )


_REDUCED: Final = ("LA", "RGB", "RGBA")


def _convert(image: Image.Image) -> Raster:
    """Raster of a loaded image whose samples are known to be what the file holds."""
    mode = _BY_PILLOW.get(image.mode)
    if mode is None:
        raise UnsupportedImageError(
            f"Pillow mode {image.mode} is not supported: {_PILLOW_MODES} are"
        )
    if image.mode == "I" and image.format not in ("PNG", "PPM"):
        raise UnsupportedImageError(
            f"Pillow mode I (32-bit or signed) is not supported: {_PILLOW_MODES} are"
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


def _from_deep(deep: Samples, image: Image.Image) -> Raster:
    samples = np.ascontiguousarray(deep, dtype=_U16)
    return Raster(samples, _BY_SHAPE[2, samples.shape[2]], **_metadata(image.info))


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
    return np.concatenate([samples, alpha], axis=2), _BY_SHAPE[
        mode.dtype.itemsize, mode.channels + 1
    ]


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


def _metadata(info: Mapping[Any, Any]) -> dict[str, bytes]:
    """ICC, EXIF and XMP as Pillow's plugins leave them; EXIF also from ImageMagick's PNG text."""
    exif = info.get("exif") or _exif_from_text(info.get("Raw profile type exif"))
    return {
        "icc": bytes(info.get("icc_profile") or b""),
        "exif": bytes(exif).removeprefix(b"Exif\0\0"),
        "xmp": _bytes(info.get("xmp") or b""),
    }


def _exif_from_text(text: object) -> bytes:
    """Hexadecimal digits after a blank line, the name and the length; damaged text is no EXIF."""
    if not isinstance(text, str):
        return b""
    try:
        return bytes.fromhex("".join(text.split("\n")[3:]))
    except ValueError:
        return b""


def _bytes(value: str | bytes) -> bytes:
    return value.encode() if isinstance(value, str) else bytes(value)


def _inspect_png(image: Image.Image, data: bytes) -> Samples | None:
    """16-bit samples that Pillow would reduce; a key on 16-bit samples comes back as alpha."""
    depth, colour = data[24], data[25]
    key = image.info.get("transparency")
    if depth == 16 and (colour != 0 or key is not None):
        return np.asarray(imagecodecs.png_decode(data))
    if depth in (2, 4) and isinstance(key, int) and colour == 0:
        # Pillow widens the samples to 8 bits, but not the key.
        image.info["transparency"] = (key & ((1 << depth) - 1)) * (255 // ((1 << depth) - 1))
    return None


def _inspect_ppm(image: Image.Image, data: bytes) -> Samples | None:
    """16-bit colour that Pillow would reduce; maxima that it would rescale are refused."""
    codec, _, offset, args = _only_tile(image)
    if codec == "raw":
        return None
    maximum = args[-1] if isinstance(args, tuple) else 1
    if maximum == 0xFFFF and codec == "ppm" and image.mode == "RGB":
        width, height = image.size
        return np.frombuffer(data, ">u2", 3 * width * height, offset).reshape(height, width, 3)
    if maximum not in {"1": (1,), "I": (0xFFFF,)}.get(image.mode, (0xFF,)):
        raise UnsupportedImageError(
            f"{image.mode} PNM with maximum {maximum}, 255 and (binary) 65535 are supported"
        )
    return None


def _only_tile(image: Image.Image) -> tuple[str, Any, int, Any]:
    tile = image.tile[0] if isinstance(image, ImageFile.ImageFile) else None
    if tile is None:
        raise UnsupportedImageError("file without pixels, whole images are supported")
    return tile.codec_name, tile.extents, tile.offset, tile.args


def _inspect_jpeg2000(image: Image.Image, data: bytes) -> Samples | None:
    """Pillow shifts every depth to 8 or 16 bits: take only those that are there already."""
    start = data.index(b"\xff\x4f\xff\x51") + 40  # SIZ marker: the count of components
    (count,) = struct.unpack_from(">H", data, start)
    depths = [component + 1 for component in data[start + 2 : start + 2 + 3 * count : 3]]
    if not depths or (set(depths) != {8} and depths != [16]):
        raise UnsupportedImageError(
            f"JPEG 2000 with {count} components of depths {sorted(set(depths))[:8]}, "
            "unsigned 8 bits or one of 16 are supported"
        )
    return None


def _inspect_avif(image: Image.Image, data: bytes) -> Samples | None:
    """Pillow rounds 10 and 12 bits to 8."""
    at = data.find(b"av1C")
    while at >= 0:
        if data[at + 6 : at + 7] and data[at + 6] & 0x40:  # high_bitdepth
            raise UnsupportedImageError("AVIF of 10 or 12 bits, AVIF of 8 bits is supported")
        at = data.find(b"av1C", at + 4)
    return None


_TIFF_BITS, _TIFF_PHOTOMETRIC, _TIFF_ORIENTATION, _TIFF_SAMPLES = 258, 262, 274, 277
_TIFF_PLANAR, _TIFF_COLORMAP, _TIFF_EXTRA, _TIFF_FORMAT = 284, 320, 338, 339
_SEPARATE_PLANES: Final = 2
_WHITE_IS_ZERO: Final = 0
_STRAIGHT_ALPHA: Final = 2

# Rows and columns as stored, to upright; index is the orientation tag.
_UPRIGHT: Final[Mapping[int, Callable[[Samples], Samples]]] = {
    1: lambda x: x,
    2: lambda x: x[:, ::-1],
    3: lambda x: x[::-1, ::-1],
    4: lambda x: x[::-1],
    5: lambda x: x.swapaxes(0, 1),
    6: lambda x: x.swapaxes(0, 1)[:, ::-1],
    7: lambda x: x.swapaxes(0, 1)[::-1, ::-1],
    8: lambda x: x.swapaxes(0, 1)[::-1],
}


def _tags(image: Image.Image) -> Mapping[int, Any]:
    return getattr(image, "tag_v2", {})


def _tuple_tag(tags: Mapping[int, Any], tag: int, default: int) -> tuple[int, ...]:
    value = tags.get(tag, default)
    return tuple(value) if isinstance(value, tuple) else (int(value),)


def _tiff_is_deep(image: Image.Image) -> bool:
    tags = _tags(image)
    return _tuple_tag(tags, _TIFF_BITS, 1)[0] == 16 and int(tags.get(_TIFF_SAMPLES, 1)) > 1


def _check_tiff(image: Image.Image) -> None:
    """Refuse what Pillow reads otherwise than as stored; the tags say so before it reads."""
    tags, mode = _tags(image), _BY_PILLOW.get(image.mode)
    if mode is None:
        return  # refused by its mode, whose name says more than the tags
    bits = set(_tuple_tag(tags, _TIFF_BITS, 1)[: mode.channels])
    if bits not in ({1}, {2}, {4}, {8}, {16}) or (mode.channels > 1 and min(bits) < 8):
        raise UnsupportedImageError(
            f"TIFF with {sorted(bits)} bits a sample, 1, 2, 4, 8 and 16 bits are supported"
        )
    if set(_tuple_tag(tags, _TIFF_FORMAT, 1)) != {1}:
        raise UnsupportedImageError("TIFF with signed or float samples, unsigned is supported")
    if int(tags.get(_TIFF_SAMPLES, 1)) != mode.channels:
        raise UnsupportedImageError(
            f"TIFF with {tags[_TIFF_SAMPLES]} samples a pixel, {mode.channels} are supported"
            f" for {image.mode}"
        )
    extra = _tuple_tag(tags, _TIFF_EXTRA, _STRAIGHT_ALPHA)
    if mode.has_alpha and extra not in ((), (_STRAIGHT_ALPHA,)):
        raise UnsupportedImageError(
            f"TIFF with premultiplied or unknown extra samples {extra}, straight alpha is supported"
        )
    if mode is Mode.L16 and int(tags.get(_TIFF_PHOTOMETRIC, 1)) == _WHITE_IS_ZERO:
        raise UnsupportedImageError("16-bit TIFF with white as 0, black as 0 is supported")
    if mode is Mode.PALETTE8 and any(
        entry & 0xFF not in (0, entry >> 8) for entry in tags.get(_TIFF_COLORMAP, ())
    ):
        raise UnsupportedImageError("TIFF palette of 16-bit colours, 8-bit colours are supported")


def _inspect_tiff(image: Image.Image, data: bytes) -> Samples | None:
    """Check the tags; 16-bit samples of several channels, rows upright, channels last."""
    _check_tiff(image)
    if not _tiff_is_deep(image) or image.mode not in ("RGB", "RGBA"):
        return None
    turn = _UPRIGHT.get(int(_tags(image).get(_TIFF_ORIENTATION, 1)), _UPRIGHT[1])
    planar = int(_tags(image).get(_TIFF_PLANAR, 1)) == _SEPARATE_PLANES
    deep = np.asarray(imagecodecs.tiff_decode(data, index=0))
    samples = turn(np.moveaxis(deep, 0, -1) if planar else deep)
    # Two readers, one picture: Pillow keeps the upper bytes, which guards the layout above. Not so
    # for separate planes, which Pillow misreads when they are not compressed.
    reduced = np.asarray(image)
    agree = samples.shape == reduced.shape and (planar or np.array_equal(samples >> 8, reduced))
    if samples.dtype != _U16 or not agree:
        raise UnsupportedImageError("16-bit TIFF of a layout that is not understood: use .png")
    return samples


_INSPECTIONS: Final[Mapping[str, Callable[[Image.Image, bytes], Samples | None]]] = {
    "PNG": _inspect_png,
    "PPM": _inspect_ppm,
    "TIFF": _inspect_tiff,
    "JPEG2000": _inspect_jpeg2000,
    "AVIF": _inspect_avif,
}


# Writing -------------------------------------------------------------------------------------


def _bare(raster: Raster) -> Image.Image:
    """Pillow image without metadata."""
    mode, name = raster.mode, raster.mode.pillow
    if name is None:
        raise UnsupportedImageError(
            f"Pillow has no {mode.name} images: write .png, or take the samples as an array"
        )
    samples = raster.samples
    if mode is Mode.BILEVEL:
        packed = np.packbits(samples[:, :, 0], axis=1).tobytes()
        return Image.frombytes("1", (raster.width, raster.height), packed)
    little = np.ascontiguousarray(samples, dtype=mode.dtype.newbyteorder("<"))
    image = Image.frombytes(name, (raster.width, raster.height), little.tobytes())
    if mode is Mode.PALETTE8:
        palette = Palette.unpack(raster.palette)
        image.putpalette(palette.colours.tobytes())
        if palette.alpha:
            # Pillow's PNG reader gives a single transparent entry as its index; do the same.
            last = len(palette.alpha) - 1
            is_index = palette.alpha == b"\xff" * last + b"\0"
            image.info["transparency"] = last if is_index else palette.alpha
    return image


def _with_pillow(
    kind: str, keep: Callable[[Raster], Mapping[str, Any]] = lambda raster: {}, **options: Any
) -> Callable[[Raster], bytes]:
    def write(raster: Raster) -> bytes:
        out = BytesIO()
        _bare(raster).save(out, kind, **options, **keep(raster))
        return out.getvalue()

    return write


def _write_png(raster: Raster) -> bytes:
    pixels = (
        bytes(imagecodecs.png_encode(raster.samples))
        if raster.mode.pillow is None
        else _with_pillow("PNG")(raster)
    )
    chunks = b""
    if raster.icc:
        chunks += png_chunk(b"iCCP", b"ICC Profile\0\0" + zlib.compress(raster.icc))
    if raster.exif:
        chunks += png_chunk(b"eXIf", raster.exif)
    if raster.xmp:
        chunks += png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + raster.xmp)
    ihdr_end = 8 + 25  # before the palette, where all three are allowed
    return pixels[:ihdr_end] + chunks + pixels[ihdr_end:]


def png_chunk(kind: bytes, body: bytes) -> bytes:
    """One PNG chunk: length, four letters, body, CRC."""
    crc = zlib.crc32(kind + body)
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", crc)


def _write_pnm(raster: Raster) -> bytes:
    if raster.mode is not Mode.RGB16:
        return _with_pillow("PPM")(raster)
    header = f"P6\n{raster.width} {raster.height}\n65535\n".encode()
    return header + raster.samples.astype(">u2").tobytes()


def _tiff_metadata(raster: Raster) -> Mapping[str, Any]:
    xmp = {"tiffinfo": {700: raster.xmp}} if raster.xmp else {}
    return {"icc_profile": raster.icc or None, **xmp}


def _webp_metadata(raster: Raster) -> Mapping[str, Any]:
    return {"icc_profile": raster.icc, "exif": raster.exif, "xmp": raster.xmp}


@dataclass(frozen=True)
class _Writer:
    write: Callable[[Raster], bytes]
    modes: tuple[Mode, ...]
    translucent: bool = False  # whether palette entries may be translucent


_PLAIN: Final = (Mode.BILEVEL, Mode.L8, Mode.RGB8, Mode.PALETTE8)
_TIFF: Final = _Writer(
    _with_pillow("TIFF", _tiff_metadata, compression="tiff_adobe_deflate"),
    (*_PLAIN, Mode.LA8, Mode.RGBA8, Mode.L16),
)
_WRITERS: Final[Mapping[str, _Writer]] = {
    ".png": _Writer(_write_png, tuple(Mode), translucent=True),
    ".tif": _TIFF,
    ".tiff": _TIFF,
    ".webp": _Writer(
        _with_pillow("WEBP", _webp_metadata, lossless=True, exact=True), (Mode.RGB8, Mode.RGBA8)
    ),
    ".bmp": _Writer(_with_pillow("BMP"), _PLAIN),
    ".pbm": _Writer(_write_pnm, (Mode.BILEVEL,)),
    ".pgm": _Writer(_write_pnm, (Mode.L8, Mode.L16)),
    ".ppm": _Writer(_write_pnm, (Mode.RGB8, Mode.RGB16)),
    ".pnm": _Writer(_write_pnm, (Mode.BILEVEL, Mode.L8, Mode.L16, Mode.RGB8, Mode.RGB16)),
}
