"""Stacks: frames of equal size in one file, each coded with what those before it tell.

A stack is an archive (archive.py) of the codec `frames` whose members are named by their numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from operator import index as as_index
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from ..bitstream.container import DEFAULT_LIMITS, Limits
from ..bitstream.errors import CorruptError, UnsupportedImageError
from .api import Progress
from .archive import Archive, archive
from .frames.codec import Frames
from .image.raster import Mode, Raster, to_array
from .inputs import Data
from .options import given
from .protocol import Decoding


def encode_stack(
    frames: Iterable[NDArray[Any]],
    options: Frames | None = None,
    *,
    group: int = 32,
    limits: Limits = DEFAULT_LIMITS,
    progress: Progress | None = None,
) -> bytes:
    """Encode slices of a volume, video frames or a time series, lossless.

    Args:
        frames: an array (n, h, w) or (n, h, w, c) of bool, uint8 or uint16 with c from 1 to 4; or
            an iterable of its frames, of which a group at a time is in memory.
        options: of the codec `frames`.
        group: frames of a group. To get one frame, all of its group is decoded; larger groups
            make smaller files.
        limits: of the frames' pixels.
        progress: called with the samples coded so far, and those of the frames opened so far.

    Returns:
        The bytes of a .nzp file, which was checked to decode to the same samples.

    Raises:
        UnsupportedImageError: there is no frame, or frames differ in shape or dtype, or are not
            images.
        OptionError: the group is not a whole number from 1 to 2^20.
        ModelError: there is no such model.
    """
    return archive(
        _named(frames), options or Frames(), group=group, limits=limits, progress=progress
    )


def _named(frames: Iterable[NDArray[Any]]) -> Iterator[tuple[str, NDArray[Any]]]:
    """Frames with their numbers.

    Raises:
        UnsupportedImageError: a frame differs from the first one in shape or dtype.
    """
    kind: tuple[object, ...] | None = None
    for number, frame in enumerate(frames):
        array = np.asarray(frame)
        kind = kind or (array.shape, array.dtype)
        if (array.shape, array.dtype) != kind:
            raise UnsupportedImageError(
                f"frame {number} is {array.dtype} {array.shape}, the first is {kind[1]} {kind[0]}"
            )
        yield str(number), array


class Stack:
    """Read-only access to a stack, a group at a time; the last group that was read is kept.

    Args:
        data: the file, see `noisepress.Archive`.
        limits: what to accept.
        decoding: see `noisepress.decode`.
        options: fields of `Decoding`, instead of one.

    Attributes:
        shape: (n, h, w), or (n, h, w, c) of frames with colour or opacity.
        dtype: of the samples.

    Raises:
        CorruptError: the file is no stack: an image, or an archive of images that differ in size
            or layout.
        NoisepressError: another subclass names what is wrong with the header or the index.
    """

    def __init__(
        self,
        data: Data,
        decoding: Decoding | None = None,
        *,
        limits: Limits = DEFAULT_LIMITS,
        **options: Any,
    ) -> None:
        self._archive = Archive(data, limits=limits)
        self._decoding = given(Decoding, decoding, options)
        members = self._archive.members
        mode = Mode[members[0].mode]
        kinds = {(each.mode, each.height, each.width) for each in members}
        if len(kinds) > 1 or mode is Mode.PALETTE8:
            raise CorruptError(
                "the images of the archive differ in size or layout, so are no stack"
            )
        size = len(members), members[0].height, members[0].width
        self.shape = size if mode.channels == 1 else (*size, mode.channels)
        self.dtype = np.dtype(np.bool_ if mode is Mode.BILEVEL else mode.dtype)
        self._length = len(self._archive.groups[0])
        self._group, self._frames = -1, [np.zeros(0)]

    @property
    def groups(self) -> list[range]:
        """The numbers of the frames of each group."""
        starts = range(0, len(self), self._length)
        return [range(start, min(start + self._length, len(self))) for start in starts]

    def __len__(self) -> int:
        """Number of frames."""
        return self.shape[0]

    @overload
    def __getitem__(self, place: int) -> NDArray[Any]: ...
    @overload
    def __getitem__(self, place: slice) -> NDArray[Any]: ...
    def __getitem__(self, place: int | slice) -> NDArray[Any]:
        """A frame (h, w) or (h, w, c), or those of a slice (m, h, w) or (m, h, w, c).

        Raises:
            IndexError: there is no such frame.
            NoisepressError: a subclass says what is wrong with the group, which it names.
        """
        if isinstance(place, slice):
            numbers = range(len(self))[place]
            out = np.empty((len(numbers), *self.shape[1:]), self.dtype)
            for at, number in enumerate(numbers):
                out[at] = self[number]
            return out
        number = range(len(self))[as_index(place)]
        group, rest = divmod(number, self._length)
        if group != self._group:
            self._frames = [
                _array(image) for image in self._archive.read_group(group, self._decoding)
            ]
            self._group = group
        return self._frames[rest].copy()

    def __iter__(self) -> Iterator[NDArray[Any]]:
        """The frames in order."""
        return (self[number] for number in range(len(self)))


def _array(image: object) -> NDArray[Any]:
    if not isinstance(image, Raster):
        raise CorruptError("the archive holds a file whose picture is not supported")
    return to_array(image)
