"""What an image really is: the simpler image that it can be made of, and how.

Grey is often stored as RGB or with a palette of greys, 8 bits in 16, 12 bits shifted to the upper
end, two levels as bytes, and full opacity beside every pixel. The codecs get the simpler image;
a section says how the samples of the image come from those of the simpler one:

1. a simpler sample stands for a multiple of a number, for a share of the whole range, or for an
   entry of a list of values;
2. grey becomes R, G and B;
3. an opacity that all pixels have is added;
4. in an image with a palette, a grey becomes the first entry of that colour.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ...bitstream.container import Contents, Section, SectionKind
from ...bitstream.errors import CorruptError, UnsupportedImageError
from ...bitstream.header import VARINT, Field, pack, read_varint, unpack, write_varint
from .metadata import inflate
from .raster import (
    Mode,
    Palette,
    Raster,
    Samples,
    from_whole_range,
    mode_of,
    to_whole_range,
)

FIELDS = (
    Field("mode", VARINT, 0, 63, "sample layout of the simpler image"),
    Field("opacity", VARINT, 0, 65535, "opacity of all pixels, if only the image has it, else 0"),
    Field("factor", VARINT, 0, 65535, "what a simpler sample is multiplied by; 0: a list follows"),
    Field("maximum", VARINT, 0, 65535, "simpler sample that is scaled to the largest value, or 0"),
)

_LEAST_PIXELS = 1024
"""In smaller images the section takes more bytes than it saves."""
_LEAST_GREYS = 17
"""Fewer indices fit into 4 bits, in which PNG packs them."""
_MOST_LISTED = 256
"""Values in a list: those of an image of 8 bits."""
_MAXIMA = [2**bits - 1 for bits in range(9, 16)]
"""Of samples of 9 to 15 bits, as they are scaled to 16."""
_PIECE = 2**20
"""Samples that are looked at in one go."""


@dataclass(frozen=True)
class Reduction:
    """How the samples of an image come from those of a simpler one.

    Attributes:
        mode: layout of the simpler image.
        opacity: of all pixels, where only the image has opacity; else 0.
        factor: of which samples are multiples; 0 if there are `values`.
        maximum: simpler sample that stands for the largest value; 0: samples are not scaled.
        values: uint16 (n,), what the simpler samples stand for.
    """

    mode: Mode
    opacity: int
    factor: int
    maximum: int = 0
    values: NDArray[np.uint16] | None = None

    def section(self) -> Section:
        """The section of a file."""
        payload = pack(FIELDS, {field.name: getattr(self, field.name) for field in FIELDS})
        if self.values is not None:
            steps = np.diff(self.values, prepend=0).tolist()
            payload += zlib.compress(b"".join(map(write_varint, steps)), 9)
        return Section(SectionKind.REDUCTION, payload)

    def expand(self, samples: Samples, mode: Mode, palette: bytes) -> Samples:
        """The samples (h, w, c') of an image from those of the simpler one (h, w, c).

        Args:
            mode: layout of the image.
            palette: `Raster.palette` of the image.

        Raises:
            CorruptError: a sample stands for no value, or for none that the layout has.
        """
        dtype = np.dtype(np.uint8) if mode is Mode.PALETTE8 else mode.dtype
        valued = self._valued(samples, dtype)
        if mode is Mode.PALETTE8:
            return _entries(valued, palette)
        if mode.colours > self.mode.colours:
            grey, rest = valued[:, :, :1], valued[:, :, 1:]
            valued = np.concatenate([grey, grey, grey, rest], 2)
        if mode.has_alpha and not self.mode.has_alpha:
            opacity = np.full((*valued.shape[:2], 1), self.opacity, dtype)
            valued = np.concatenate([valued, opacity], 2)
        return np.ascontiguousarray(valued)

    def describe(self) -> dict[str, int | str]:
        """In words."""
        return {"coded": f"as {self.mode.name}"}

    def _valued(self, samples: Samples, dtype: np.dtype[Any]) -> Samples:
        """What simpler samples stand for.

        In previews colours may be guesses that stand for no value: those get the last one. Opacity
        that is full everywhere is not there yet, because constant opacity is never left to the
        simpler image.
        """
        most = np.iinfo(dtype).max
        if self.opacity > most:
            raise CorruptError(f"an opacity of {self.opacity} is above {most}")
        if self.values is not None:
            last = len(self.values) - 1
        else:
            last = self.maximum or most // self.factor
        known = np.minimum(samples, min(last, np.iinfo(samples.dtype).max))
        valued: Samples
        if self.maximum:
            valued = to_whole_range(known, self.maximum, dtype)
        elif self.values is not None:
            valued = np.minimum(self.values, most).astype(dtype)[known]
        else:
            valued = known.astype(dtype) * dtype.type(self.factor)
        if self.mode.has_alpha and (samples[..., -1] == np.iinfo(samples.dtype).max).all():
            valued[..., -1] = most
        return valued


Simpler: TypeAlias = tuple[Raster, Reduction]
"""A simpler image, and how another one comes from it."""


def reduce(raster: Raster) -> Simpler | None:
    """The simpler image of an image; None if there is none.

    The simpler image has no metadata. Images of fewer than 1024 pixels are left as they are.
    """
    if raster.width * raster.height < _LEAST_PIXELS or raster.mode is Mode.BILEVEL:
        return None
    greys = _greys(raster) if raster.mode is Mode.PALETTE8 else raster.samples
    if greys is None:
        return None
    samples, opacity = greys, 0
    if raster.mode.has_alpha and (samples[..., -1] == samples[0, 0, -1]).all():
        samples, opacity = samples[..., :-1], int(samples[0, 0, -1])
    if raster.mode.colours == 3 and _is_grey(samples):
        samples = np.delete(samples, (1, 2), 2)
    factor, maximum, values = _scale(samples)
    if maximum:
        samples = from_whole_range(samples, maximum)
    elif values is not None:
        ranks = np.zeros(65536, np.uint16)
        ranks[values] = np.arange(len(values))
        samples = ranks[samples]
    elif factor > 1:
        samples = samples // samples.dtype.type(factor)
    top = int(samples.max())
    if top <= 255:
        samples = samples.astype(np.uint8)
    mode = Mode.BILEVEL if samples.shape[2] == 1 and top <= 1 else mode_of(samples)
    if mode is raster.mode and factor == 1 and not maximum:
        return None
    simpler = Raster(np.ascontiguousarray(samples), mode)
    return simpler, Reduction(mode, opacity, factor, maximum, values)


def _scale(samples: Samples) -> tuple[int, int, NDArray[np.uint16] | None]:
    """The `Reduction.factor`, `maximum` and `values` of samples (h, w, c)."""
    used = np.flatnonzero(_in_use(samples)).astype(np.uint16)
    step, is_grey = int(np.gcd.reduce(used)), samples.shape[2] == 1
    if is_grey and len(used) == 2 and used[0] == 0:
        return step, 0, None
    few = 2 if samples.dtype == np.uint8 else _MOST_LISTED
    if (is_grey or few > 2) and len(used) <= few and int(used[-1]) > max(step, 1) * (few - 1):
        return 0, 0, used
    if samples.dtype == np.uint16 and step == 1:
        for maximum in _MAXIMA:
            if np.array_equal(to_whole_range(from_whole_range(used, maximum), maximum), used):
                return 1, maximum, None
    return (step if samples.dtype == np.uint16 and step else 1), 0, None


def _in_use(samples: Samples) -> NDArray[np.bool_]:
    """For each value, (65536,), whether a sample (h, w, c) has it."""
    in_use = np.zeros(65536, np.bool_)
    rows = max(1, _PIECE // samples[0].size)
    for top in range(0, len(samples), rows):  # indexing makes 64-bit numbers of what it gets
        in_use[samples[top : top + rows]] = True
    return in_use


def _is_grey(samples: Samples) -> bool:
    """Whether R, G and B of samples (h, w, 3 or 4) are equal."""
    return all(np.array_equal(samples[..., 0], samples[..., channel]) for channel in (1, 2))


def _greys(raster: Raster) -> Samples | None:
    """The shades (h, w, 1) of an image with a palette, if it is grey; None for another image."""
    used = np.flatnonzero(_in_use(raster.samples))
    shades = Palette.unpack(raster.palette).colours[:, 0]
    told = _entry_of(raster.palette)[shades[used]] == used
    return shades[raster.samples] if len(used) >= _LEAST_GREYS and told.all() else None


def _entry_of(palette: bytes) -> NDArray[np.int64]:
    """For each shade, (256,), the first entry that is this grey, opaque; -1 if there is none."""
    unpacked = Palette.unpack(palette)
    colours, alpha = unpacked.colours, np.full(len(unpacked.colours), 255, np.uint8)
    alpha[: len(unpacked.alpha)] = np.frombuffer(unpacked.alpha, np.uint8)
    grey = np.flatnonzero((colours == colours[:, :1]).all(1) & (alpha == 255))
    entries = np.full(256, -1)
    entries[colours[grey[::-1], 0]] = grey[::-1]  # the first entry of a shade is written last
    return entries


def _entries(shades: Samples, palette: bytes) -> Samples:
    """Indices (h, w, 1) of greys.

    Raises:
        CorruptError: the palette is damaged or lacks one of them.
    """
    try:
        indices = _entry_of(palette)[shades]
    except UnsupportedImageError as error:
        raise CorruptError(str(error)) from error
    if (indices < 0).any():
        raise CorruptError("the palette has no entry for a shade")
    entries: Samples = indices.astype(np.uint8)
    return entries


def _unpack_values(payload: bytes) -> NDArray[np.uint16]:
    """The list of values, increasing, from its steps.

    Raises:
        CorruptError, TruncatedError: it is damaged.
    """
    steps = inflate(payload, "reduction", _MOST_LISTED * 3)
    values, position = [0], 0
    while position < len(steps):
        step, position = read_varint(steps, position)
        values.append(values[-1] + step)
    if not 1 < len(values) <= _MOST_LISTED + 1 or values[-1] > 65535:
        raise CorruptError("the list of values is empty, too long or has too large ones")
    return np.array(values[1:], np.uint16)


def reduction_of(contents: Contents) -> Reduction | None:
    """How the samples of a file come from those that its codec has; None: they are the same.

    Raises:
        CorruptError, TruncatedError: the section is damaged, or its simpler image is not simpler.
    """
    payloads = contents.payloads(SectionKind.REDUCTION)
    if not payloads:
        return None
    fields, position = unpack(FIELDS, payloads[0], 0)
    if fields["mode"] not in tuple(Mode):
        raise CorruptError(f"sample layout {fields['mode']} is not known to this release")
    mode, whole = Mode(fields["mode"]), Mode(contents.header.mode)
    is_simpler = mode.colours in (1, whole.colours) and mode.has_alpha <= whole.has_alpha
    if not is_simpler or Mode.PALETTE8 is mode or whole is Mode.BILEVEL:
        raise CorruptError(f"a {whole.name} image does not come from a {mode.name} image")
    values = None
    if fields["factor"] == 0:
        values = _unpack_values(payloads[0][position:])
    elif position != len(payloads[0]):
        raise CorruptError("the reduction section has bytes left over")
    if fields["maximum"] and fields["factor"] != 1:
        raise CorruptError("samples are both multiplied and scaled")
    return Reduction(mode, fields["opacity"], fields["factor"], fields["maximum"], values)
