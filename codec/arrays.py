"""Arrays with any number of axes as one file: an image, or an archive of images of equal size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from ..bitstream.container import outline
from ..bitstream.errors import CorruptError, OptionError, UnsupportedImageError
from .api import check_decoding, chosen, decode, encode
from .archive import Archive, archive
from .image.raster import Raster, to_array
from .protocol import Decoding
from .registry import ARCHIVE

Axes: TypeAlias = Literal["yx", "yxc", "cyx"]

_COLOURS = (3, 4)
"""Lengths of a last axis that is taken for colour unless `axes` says otherwise."""


@dataclass(frozen=True)
class ArrayCoding:
    """How the images of an array are coded.

    The last axes are those of an image: rows and columns ("yx"), these and colour ("yxc"), or
    colour and these ("cyx"). All axes before them are a stack of images, which go into an archive.

    Attributes:
        codec: name of the codec, see `noisepress.encode`; None: the lossless default.
        axes: None: "yxc" where the last of three or more axes has a length of 3 or 4, else "yx".
        options: of the codec.
    """

    codec: str | None
    axes: Axes | None
    options: Mapping[str, Any]

    @classmethod
    def of(cls, *, codec: str | None = None, axes: Axes | None = None, **options: Any) -> Self:
        """The coding of a configuration.

        Raises:
            OptionError: a value is not supported, or the codec has no such option.
        """
        chosen(codec, options)
        if axes not in (None, *get_args(Axes)):
            raise OptionError(f"axes is {axes!r}, supported are {', '.join(get_args(Axes))}")
        return cls(codec, axes, options)

    @property
    def config(self) -> dict[str, Any]:
        """The arguments of `of` that are given."""
        named = {"codec": self.codec, "axes": self.axes, **self.options}
        return {name: value for name, value in named.items() if value is not None}

    def encode(self, array: NDArray[Any]) -> bytes:
        """The file of an array with two or more axes, of bool, uint8 or uint16.

        Raises:
            UnsupportedImageError: the array is another one.
            NoisepressError: see `noisepress.encode`.
        """
        images = self._images(array)
        if len(images) == 1:
            return encode(images[0], self.codec, **self.options)
        named = ((str(index), image) for index, image in enumerate(images))
        return archive(named, self.codec, group=len(images), **self.options)

    def decode(self, data: bytes) -> NDArray[Any]:
        """The array of a file, with all axes before those of an image as one.

        Raises:
            NoisepressError: see `noisepress.decode`.
        """
        how = self._decoding
        if outline(data).header.codec == ARCHIVE:
            found = Archive(data)
            groups = (found.read_group(index, how) for index in range(len(found.groups)))
            images = [_pixels(image) for group in groups for image in group]
            if len({(image.shape, image.dtype) for image in images}) != 1:
                raise CorruptError("the images of the archive differ in size, so are no array")
        else:
            images = [decode(data, how)]
        stack = np.stack(images)
        return np.moveaxis(stack, 3, 1) if self.axes == "cyx" and stack.ndim == 4 else stack

    @property
    def _decoding(self) -> Decoding:
        """With the models that the options name."""
        return check_decoding(chosen(self.codec, self.options)[1])

    def _images(self, array: NDArray[Any]) -> NDArray[Any]:
        """(n, h, w) or (n, h, w, c)."""
        axes = self.axes
        if axes is None:
            has_colour = array.ndim > 2 and array.shape[-1] in _COLOURS
            axes = "yxc" if has_colour else "yx"
        if array.ndim < len(axes) or array.size == 0:
            raise UnsupportedImageError(
                f"array of shape {array.shape} is not one of images ({', '.join(axes)} last)"
            )
        images = array.reshape(-1, *array.shape[-len(axes) :])
        return np.moveaxis(images, 1, 3) if axes == "cyx" else images


def _pixels(image: object) -> NDArray[Any]:
    if not isinstance(image, Raster):
        raise CorruptError("the archive holds a file whose picture is not supported")
    return to_array(image)
