"""Images as integer samples: layouts, palettes, rasters, and how arrays and tensors become them."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Self, TypeAlias

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ...bitstream.errors import LimitError, UnsupportedImageError, one_line

if TYPE_CHECKING:
    import torch

Samples: TypeAlias = NDArray[Any]
"""uint8 or uint16, shape (h, w, c)."""
Shape: TypeAlias = tuple[int, int, int]
"""Rows, columns and channels."""

MAX_PIXELS = 2**30


_U8, _U16 = np.dtype(np.uint8), np.dtype(np.uint16)


class Mode(IntEnum):
    """Sample layout of an image. The numbers are in files: append only, never renumber.

    Attributes:
        channels: samples a pixel, 1 to 4 (an index into a palette is one sample).
        dtype: uint8 or uint16, native byte order.
        has_alpha: whether the last channel is opacity (a palette keeps its opacity elsewhere).
        pillow: Pillow's name of the mode, or None where Pillow has no such mode.
    """

    # Number, and the attributes in order.
    BILEVEL = 0, 1, _U8, False, "1"
    L8 = 1, 1, _U8, False, "L"
    LA8 = 2, 2, _U8, True, "LA"
    RGB8 = 3, 3, _U8, False, "RGB"
    RGBA8 = 4, 4, _U8, True, "RGBA"
    PALETTE8 = 5, 1, _U8, False, "P"
    L16 = 6, 1, _U16, False, "I;16"
    RGB16 = 7, 3, _U16, False, None
    LA16 = 8, 2, _U16, True, None
    RGBA16 = 9, 4, _U16, True, None

    channels: int
    dtype: np.dtype[Any]
    has_alpha: bool
    pillow: str | None

    def __new__(cls, number: int, *layout: Any) -> Self:
        mode = int.__new__(cls, number)
        mode._value_ = number
        mode.channels, mode.dtype, mode.has_alpha, mode.pillow = layout
        return mode

    @property
    def colours(self) -> int:
        """Channels without opacity."""
        return self.channels - self.has_alpha


PILLOW_MODES: Mapping[str, Mode] = {
    **{mode.pillow: mode for mode in Mode if mode.pillow},
    "I;16B": Mode.L16,
    "I;16L": Mode.L16,
    "I;16N": Mode.L16,
    "I": Mode.L16,
}
"""Modes by Pillow's names. `I` may hold 32 bits: it is L16 only where the samples fit."""

_SHAPES: Mapping[tuple[np.dtype[Any], int], Mode] = {
    (mode.dtype, mode.channels): mode for mode in Mode if mode not in (Mode.BILEVEL, Mode.PALETTE8)
}


def mode_of(samples: Samples) -> Mode:
    """The mode of samples (h, w, 1 to 4) that mean shades: neither two levels nor indices."""
    return _SHAPES[samples.dtype, samples.shape[2]]


@dataclass(frozen=True)
class Palette:
    """Up to 256 colours, the first of which may be translucent.

    A palette of RGBA entries and one with a transparent index both come to this form.

    Attributes:
        colours: uint8, shape (n, 3), 1 <= n <= 256.
        alpha: up to n bytes, the opacity of the first entries; the others are opaque. The last
            byte is not 255, so that equal palettes have equal bytes.
    """

    colours: NDArray[np.uint8]
    alpha: bytes

    def pack(self) -> bytes:
        """n-1 in one byte, then n times R, G, B, then the alpha bytes to the end."""
        return bytes([len(self.colours) - 1]) + self.colours.tobytes() + self.alpha

    @classmethod
    def unpack(cls, data: bytes) -> Palette:
        """Inverse of `pack`.

        Raises:
            UnsupportedImageError: the bytes are not a palette.
        """
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
    """An image as integers, with what must come back beside them; equal if all of it is.

    Attributes:
        samples: shape (h, w, c), uint8 or uint16 as `mode` has it, over the whole range of the
            dtype (0 and 1 for BILEVEL; indices into the palette for PALETTE8).
        mode: sample layout.
        palette: bytes of `Palette.pack` for PALETTE8, else empty.
        icc: colour profile as found, empty when absent.
        exif: the TIFF structure without JPEG's "Exif" mark, empty when absent.
        xmp: as found, empty when absent.
        jpeg: the JPEG file that all of it was read from, empty when absent. It is not compared;
            empty it in a copy that has other samples.
        chunks: of a PNG file: colour, resolution, text and time as in the file, one chunk behind
            the other; empty when absent.
        missing: what a file that was cut or damaged no longer has of the image, such as "pixels",
            "opacity" or "EXIF". It is not compared.

    Raises:
        UnsupportedImageError: samples, mode and palette do not agree.
    """

    samples: Samples
    mode: Mode
    palette: bytes = b""
    icc: bytes = b""
    exif: bytes = b""
    xmp: bytes = b""
    jpeg: bytes = field(default=b"", repr=False)
    chunks: bytes = field(default=b"", repr=False)
    missing: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        mode, shape = self.mode, self.samples.shape
        if len(shape) != 3 or shape[2] != mode.channels or self.samples.dtype != mode.dtype:
            raise UnsupportedImageError(
                f"samples of shape {shape} and dtype {self.samples.dtype} are not {mode.name}: "
                f"(h, w, {mode.channels}) {mode.dtype} is"
            )
        check_size(shape[1], shape[0])
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
        kept, others = ((each.icc, each.exif, each.xmp, each.chunks) for each in (self, other))
        return kept == others and self.shows(other)

    __hash__ = None  # type: ignore[assignment]

    def shows(self, other: Raster) -> bool:
        """True if both are the same picture in the same layout, whatever the metadata."""
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
        """The `checksum` of the samples."""
        return checksum(self.samples)


def to_whole_range(
    values: NDArray[Any], maximum: int, dtype: np.dtype[Any] | None = None
) -> Samples:
    """Samples from integers, of any shape, up to a maximum; rounded.

    Args:
        maximum: from 1 to 65535.
        dtype: uint8 or uint16; None: the smaller one that holds the maximum.
    """
    found = dtype or (_U8 if maximum <= 255 else _U16)
    top = np.uint32(np.iinfo(found).max)
    wide = values.astype(np.uint32)
    return ((wide * top + np.uint32(maximum // 2)) // np.uint32(maximum)).astype(found)


def from_whole_range(samples: NDArray[np.uint16], maximum: int) -> NDArray[np.uint16]:
    """Inverse of `to_whole_range`, of uint16 and for a maximum below 65535."""
    wide = samples.astype(np.uint32)
    return ((wide * np.uint32(maximum) + np.uint32(32767)) // np.uint32(65535)).astype(np.uint16)


def checksum(samples: Samples) -> int:
    """CRC-32 of samples (h, w, c), row by row, channels interleaved, 16-bit ones little-endian."""
    little = samples.astype(samples.dtype.newbyteorder("<"), copy=False)
    return zlib.crc32(np.ascontiguousarray(little).data)


def check_size(width: int, height: int, pixels: int = MAX_PIXELS) -> None:
    """Check the sides of an image, in pixels.

    Args:
        pixels: that the image may have.

    Raises:
        UnsupportedImageError: a side is zero, or there are more than `MAX_PIXELS` pixels.
        LimitError: there are more than `pixels`.
    """
    if width < 1 or height < 1 or width * height > MAX_PIXELS:
        raise UnsupportedImageError(
            f"image of {width}x{height} pixels, 1 to {MAX_PIXELS} pixels are supported"
        )
    if width * height > pixels:
        raise LimitError(f"the image has {width} x {height} pixels; the limit is {pixels}")


def check_page(page: int | None, frames: int, kind: str) -> None:
    """Check that a file has a page, or one alone.

    Args:
        page: the one that is asked for, from 1; None: there must be one alone.
        frames: of the file.
        kind: its format.

    Raises:
        UnsupportedImageError: it does not.
    """
    if page is None and frames > 1:
        raise UnsupportedImageError(
            f"{kind} with {frames} frames or pages, single images are supported: "
            "choose one (--page, or page= of open_image)"
        )
    if page is not None and not 1 <= page <= frames:
        raise UnsupportedImageError(f"no page {page}, the file has {frames}")


def from_array(image: object) -> Raster:
    """The raster of an array, or of anything that numpy takes for one, channels last.

    Args:
        image: shape (h, w) or (h, w, 1..4), uint8 or uint16, or bool with one channel; any strides
            and byte order. 2 channels are grey and opacity, 4 are RGB and opacity.

    Raises:
        UnsupportedImageError: the array is another one, has masked samples, or cannot be made.
    """
    kinds = "bool, uint8 and uint16 of shape (h, w) or (h, w, 1..4) are supported"
    try:
        array = np.asarray(image)
    except Exception as error:  # the object's own conversion may raise anything
        name = type(image).__name__
        raise UnsupportedImageError(f"cannot make an array of {name}: {one_line(error)}") from error
    if isinstance(image, np.ma.MaskedArray) and np.any(image.mask):
        raise UnsupportedImageError("array with masked samples: fill them first")
    is_bool = array.dtype == np.bool_
    if not is_bool and not (array.dtype.kind == "u" and array.dtype.itemsize <= 2):
        hint = "; scale floats to 65535 and round them" if array.dtype.kind == "f" else ""
        raise UnsupportedImageError(f"array of dtype {array.dtype}: {kinds}{hint}")
    samples = array[:, :, np.newaxis] if array.ndim == 2 else array
    if samples.ndim != 3 or not 1 <= samples.shape[2] <= (1 if is_bool else 4):
        hint = "; the bytes of a file are array.tobytes()" if array.ndim == 1 else ""
        raise UnsupportedImageError(f"{array.dtype} array of shape {array.shape}: {kinds}{hint}")
    check_size(samples.shape[1], samples.shape[0])
    samples = plain_copy(samples, _U16 if samples.dtype.itemsize == 2 else _U8)
    return Raster(samples, Mode.BILEVEL if is_bool else mode_of(samples))


def from_tensor(tensor: torch.Tensor) -> Raster:
    """The raster of a torch tensor, channels first.

    Args:
        tensor: shape (h, w) or (1..4, h, w), bool, uint8 or uint16, any device and strides.

    Raises:
        UnsupportedImageError: the tensor is another one, or holds no plain samples: it is sparse,
            nested, without data and so on.
    """
    kinds = "bool, uint8 and uint16 of shape (h, w) or (1..4, h, w) are supported"
    if str(tensor.dtype) not in ("torch.bool", "torch.uint8", "torch.uint16"):
        raise UnsupportedImageError(f"tensor of dtype {tensor.dtype}: {kinds}")
    try:
        array = tensor.detach().cpu().numpy()
    except Exception as error:  # torch raises RuntimeError, TypeError, NotImplementedError, ...
        raise UnsupportedImageError(
            f"{tensor.layout} tensor on {tensor.device} has no samples at hand: {one_line(error)}"
        ) from error
    if array.ndim not in (2, 3) or (array.ndim == 3 and not 1 <= array.shape[0] <= 4):
        raise UnsupportedImageError(f"tensor of shape {array.shape}: {kinds}")
    return from_array(np.moveaxis(array, 0, -1) if array.ndim == 3 else array)


def to_array(raster: Raster) -> NDArray[Any]:
    """The pixels: (h, w) for one channel, else (h, w, c); bool, uint8 or uint16.

    BILEVEL comes back as bool, indices as the palette's colours: 3 channels, or 4 if any entry is
    translucent. Always an array of its own: writeable, in C order, sharing no memory.
    """
    pixels = raster.samples[:, :, 0] if raster.mode.channels == 1 else raster.samples
    if raster.mode is Mode.PALETTE8:
        pixels = Palette.unpack(raster.palette).table()[pixels]
    return plain_copy(pixels, np.bool_ if raster.mode is Mode.BILEVEL else raster.mode.dtype)


def plain_copy(array: NDArray[Any], dtype: DTypeLike) -> NDArray[Any]:
    """A copy that is writeable and in C order.

    `numpy.ascontiguousarray` hands on the negative strides of one row, which torch does not take.
    """
    return np.array(array, dtype, order="C")
