"""Images as integer samples: layouts, palettes, rasters, and how arrays and tensors become them."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ...bitstream.errors import UnsupportedImageError

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
    def colours(self) -> int:
        """Channels without opacity."""
        return self.channels - self.has_alpha

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


U8: Final = np.dtype(np.uint8)


U16: Final = np.dtype(np.uint16)


_LAYOUTS: Final[Mapping[Mode, _Layout]] = {
    Mode.BILEVEL: _Layout(1, U8, False, "1"),
    Mode.L8: _Layout(1, U8, False, "L"),
    Mode.LA8: _Layout(2, U8, True, "LA"),
    Mode.RGB8: _Layout(3, U8, False, "RGB"),
    Mode.RGBA8: _Layout(4, U8, True, "RGBA"),
    Mode.PALETTE8: _Layout(1, U8, False, "P"),
    Mode.L16: _Layout(1, U16, False, "I;16"),
    Mode.RGB16: _Layout(3, U16, False, None),
    Mode.LA16: _Layout(2, U16, True, None),
    Mode.RGBA16: _Layout(4, U16, True, None),
}


# Modes by bytes a sample and channels, for arrays, tensors and 16-bit files.
BY_SHAPE: Final[Mapping[tuple[int, int], Mode]] = {
    (mode.dtype.itemsize, mode.channels): mode
    for mode in Mode
    if mode not in (Mode.BILEVEL, Mode.PALETTE8)
}

BY_PILLOW: Final[Mapping[str, Mode]] = {
    **{mode.pillow: mode for mode in Mode if mode.pillow},
    "I;16B": Mode.L16,
    "I;16L": Mode.L16,
    "I;16N": Mode.L16,
    "I": Mode.L16,  # 16-bit PGM; everything else of this mode is refused
}


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


def check_size(width: int, height: int) -> None:
    if width < 1 or height < 1 or width * height > MAX_PIXELS:
        raise UnsupportedImageError(
            f"image of {width}x{height} pixels, 1 to {MAX_PIXELS} pixels are supported"
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
    mode = Mode.BILEVEL if is_bool else BY_SHAPE[samples.dtype.itemsize, samples.shape[2]]
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


def to_array(raster: Raster) -> NDArray[Any]:
    """Pixels: (h, w) for one channel, else (h, w, c); bool for BILEVEL, uint8 or uint16 otherwise.

    Indices come back as the palette's colours, 3 channels, or 4 when any entry is translucent.
    """
    if raster.mode is Mode.PALETTE8:
        pixels: NDArray[np.uint8] = Palette.unpack(raster.palette).table()[raster.samples[:, :, 0]]
        return pixels
    samples = raster.samples[:, :, 0] if raster.mode.channels == 1 else raster.samples
    return samples.astype(np.bool_) if raster.mode is Mode.BILEVEL else samples
