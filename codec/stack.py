"""Stacks: frames of equal size in one file, each coded with what those before it tell.

A stack is a file of archives (archive.py), one after another, of one group each. Its members are
images of the codec `frames` that are named by their numbers.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import islice
from operator import index as as_index
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from ..bitstream.container import DEFAULT_LIMITS, Limits, Section
from ..bitstream.errors import CorruptError, OptionError, UnsupportedImageError
from .about import NOTHING, About
from .api import Progress, reporter
from .archive import INDEX, Archive, Rasters, archive_group
from .frames.codec import Frames, FramesCodec
from .image.raster import Mode, Raster, from_array, to_array
from .inputs import Data, as_image
from .options import given
from .processes import results
from .protocol import Decoding, Report

Kind = tuple[tuple[int, ...], np.dtype[Any]]
"""Shape and dtype of a frame."""


@dataclass(frozen=True)
class Coding:
    """How the frames of a stack are coded.

    Attributes:
        options: of the codec `frames`.
        group: frames of a group.
        jobs: processes that code groups at the same time.
        limits: of the frames' pixels.

    Raises:
        OptionError: a value is not supported.
    """

    options: Frames
    group: int
    jobs: int
    limits: Limits = DEFAULT_LIMITS

    def __post_init__(self) -> None:
        for name, most in (("group", INDEX[0].high), ("jobs", 2**10)):
            value = getattr(self, name)
            if not (isinstance(value, int) and 1 <= value <= most):
                raise OptionError(f"{name} is {value!r}, supported are whole numbers to {most}")


def encode_stack(
    frames: Iterable[NDArray[Any]],
    options: Frames | None = None,
    *,
    group: int = 32,
    jobs: int = 1,
    about: About = NOTHING,
    limits: Limits = DEFAULT_LIMITS,
    progress: Progress | None = None,
) -> bytes:
    """Encode slices of a volume, video frames or a time series, lossless.

    Args:
        frames: an array (n, h, w) or (n, h, w, c) of bool, uint8 or uint16 with c from 1 to 4; or
            an iterable of its frames, of which few are in memory at a time: those of a group lie
            in a temporary file while they are coded.
        options: of the codec `frames`.
        group: frames of a group. To get one frame, those of its group are decoded up to it; larger
            groups make smaller files.
        jobs: processes that code groups at the same time.
        about: what the file shall tell beside the samples.
        limits: of the frames' pixels.
        progress: called with the samples coded so far, and those of the groups begun so far.

    Returns:
        The bytes of a .nzp file, which was checked to decode to the same samples.

    Raises:
        UnsupportedImageError: there is no frame, or frames differ in shape or dtype, or are not
            images.
        OptionError: the group or the number of jobs is not supported.
        ModelError: there is no such model.
        ProcessError: a process was killed, for want of memory for example.
    """
    coding = Coding(options or Frames(), group, jobs, limits)
    return b"".join(stack_parts(frames, coding, about, progress=progress))


def append_stack(
    path: str | os.PathLike[str],
    frames: Iterable[NDArray[Any]],
    options: Frames | None = None,
    *,
    group: int = 32,
    jobs: int = 1,
    limits: Limits = DEFAULT_LIMITS,
    progress: Progress | None = None,
) -> int:
    """Encode frames behind those of a stack's file, of which nothing is written again.

    Each group is in the file once it is coded. A group that an earlier call left incomplete at the
    end of the file, for example because it was killed, is removed first.

    Args:
        path: of the file, which is made if it is not there.
        frames: see `encode_stack`; the first one starts a group.
        options: see `encode_stack`.
        group: see `encode_stack`.
        jobs: see `encode_stack`.
        limits: see `encode_stack`.
        progress: see `encode_stack`.

    Returns:
        The number of frames that the stack then has.

    Raises:
        UnsupportedImageError: see `encode_stack`; also for frames that differ from those of the
            file in shape or dtype.
        CorruptError: the file is no stack, or is damaged.
        OSError: the file cannot be read or written.
        NoisepressError: see `encode_stack`.
    """
    coding = Coding(options or Frames(), group, jobs, limits)
    with open(path, "a+b") as file:
        end, count, kind = 0, 0, None
        if file.tell():
            before = Stack(path, limits=limits)
            (end, count), kind = before.whole, (before.shape[1:], before.dtype)
        for place, part in enumerate(
            stack_parts(frames, coding, first=count, kind=kind, progress=progress)
        ):
            if not place:
                file.truncate(end)
            file.write(part)
            file.flush()
            os.fsync(file.fileno())
    return len(Stack(path, limits=limits))


@dataclass(frozen=True)
class _Group:
    """Frames that are coded together.

    Attributes:
        first: number of the first one.
        count: of the frames.
        frames: (m, h, w) or (m, h, w, c), or the path of a .npy file that holds them; what follows
            `count` frames is not used.
        metadata: sections for the group's archive.
    """

    first: int
    count: int
    frames: NDArray[Any] | Path
    metadata: Sequence[Section]

    def open(self) -> NDArray[Any]:
        """The frames (count, h, w) or (count, h, w, c), of a file as a memory map."""
        frames = self.frames
        if isinstance(frames, Path):
            frames = np.load(frames, mmap_mode="r")
        return frames[: self.count]

    def remove(self) -> None:
        """Remove the file."""
        if isinstance(self.frames, Path):
            self.frames.unlink()


def stack_parts(
    frames: Iterable[NDArray[Any]],
    coding: Coding,
    about: About = NOTHING,
    *,
    first: int = 0,
    kind: Kind | None = None,
    progress: Progress | None = None,
) -> Iterator[bytes]:
    """The archives of a stack's groups, one after another.

    Args:
        first: number of the first frame.
        kind: that the frames shall have; None: that of the first one.

    Raises:
        NoisepressError: see `encode_stack`.
    """
    with TemporaryDirectory(prefix="noisepress-") as folder:
        groups = _groups(frames, coding, about, first, kind, Path(folder))
        done = 0
        if coding.jobs == 1:
            for group in groups:
                size = group.open().size
                yield _part(coding, group, reporter(progress, done + size, done))
                done += size
                group.remove()
            return
        for group, part in _in_order(partial(_part, coding), groups, coding.jobs):
            size = group.open().size
            reporter(progress, done + size, done)(size)
            done += size
            group.remove()
            yield part


def _in_order(
    work: Callable[[_Group], bytes], groups: Iterable[_Group], jobs: int
) -> Iterator[tuple[_Group, bytes]]:
    """Groups and what becomes of them in several processes, in their order."""
    begun: deque[int] = deque()
    done: dict[int, tuple[_Group, bytes]] = {}

    def noted() -> Iterator[_Group]:
        for group in groups:
            begun.append(group.first)
            yield group

    with closing(results(work, noted(), jobs)) as outcomes:
        for group, outcome in outcomes:
            if isinstance(outcome, Exception):
                raise outcome
            done[group.first] = group, outcome
            while begun and begun[0] in done:
                yield done.pop(begun.popleft())


def _part(coding: Coding, group: _Group, report: Report = lambda _: None) -> bytes:
    """The archive of a group; also in a process of its own."""
    frames = group.open()
    names = [str(group.first + place) for place in range(len(frames))]
    rasters = Rasters(
        lambda place: as_image(frames[place], coding.limits.pixels), range(len(frames))
    )
    return archive_group(names, rasters, FramesCodec(), coding.options, report, group.metadata)


def _groups(
    frames: Iterable[NDArray[Any]],
    coding: Coding,
    about: About,
    first: int,
    kind: Kind | None,
    folder: Path,
) -> Iterator[_Group]:
    """The groups of frames; those of an iterable, and those for other processes, in files.

    Raises:
        UnsupportedImageError: there is no frame, or one is no image, or differs from those before.
    """
    place, checked = 0, _checked(frames, kind)
    while True:
        batch = islice(checked, coding.group)
        if isinstance(frames, np.ndarray) and coding.jobs == 1:
            source: NDArray[Any] | Path = frames[place : place + coding.group]
            count = sum(1 for _ in batch)
        else:
            source = folder / f"{place}.npy"
            count = _store(batch, coding.group, source)
        if not count:
            break
        yield _Group(first + place, count, source, about.sections(place, count))
        place += count
    if not place:
        raise UnsupportedImageError("a stack needs at least one frame")


def _store(frames: Iterator[NDArray[Any]], most: int, path: Path) -> int:
    """Write at most so many frames into a .npy file; how many there are."""
    count = 0
    for count, frame in enumerate(frames, 1):
        if count == 1:
            shape = (most, *frame.shape)
            file = _mapped(path, frame.dtype, shape)
        file[count - 1] = frame
    return count


def _mapped(path: Path, dtype: np.dtype[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """A new .npy file."""
    create: Any = np.lib.format.open_memmap
    file: NDArray[Any] = create(path, mode="w+", dtype=dtype, shape=shape)
    return file


def _checked(frames: Iterable[NDArray[Any]], kind: Kind | None) -> Iterator[NDArray[Any]]:
    """Frames that are images of one kind.

    Raises:
        UnsupportedImageError: a frame is no image, or differs from those before in shape or dtype.
    """
    for number, frame in enumerate(frames):
        from_array(frame)
        array = np.asarray(frame)
        kind = kind or (array.shape, array.dtype)
        if (array.shape, array.dtype) != kind:
            raise UnsupportedImageError(
                f"frame {number} is {array.dtype} {array.shape}, "
                f"those before are {kind[1]} {kind[0]}"
            )
        yield array


class Stack:
    """Read-only access to a stack. The place is kept, so that the next frame is read fast.

    Args:
        data: the file, see `noisepress.Archive`.
        limits: what to accept.
        decoding: see `noisepress.decode`.
        options: fields of `Decoding`, instead of one.

    Attributes:
        shape: (n, h, w), or (n, h, w, c) of frames with colour or opacity.
        dtype: of the samples.
        groups: the numbers of the frames of each group.
        about: what the file tells beside the samples.
        fault: what is wrong with what follows the frames that are there, see `noisepress.Archive`.

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
        ends = np.cumsum([len(group) for group in self._archive.groups]).tolist()
        self.groups = [range(start, end) for start, end in zip([0, *ends], ends, strict=False)]
        self.about = About.parse(self._archive.metadata, len(members))
        self.fault = self._archive.fault
        self._group, self._next = -1, 0
        self._images: Iterator[object] = iter(())
        self._frame = np.zeros(0)

    @property
    def whole(self) -> tuple[int, int]:
        """See `noisepress.Archive`."""
        return self._archive.whole

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
            for at in sorted(range(len(numbers)), key=numbers.__getitem__):
                out[at] = self[numbers[at]]
            return out
        number = range(len(self))[as_index(place)]
        group = bisect_right([frames.start for frames in self.groups], number) - 1
        rest = number - self.groups[group].start
        if group != self._group or rest < self._next - 1:
            self._group, self._next = group, 0
            self._images = self._archive.iterate_group(group, self._decoding)
        try:
            while self._next <= rest:
                self._frame = _array(next(self._images))
                self._next += 1
        except BaseException:
            self._group = -1  # the next call begins anew
            raise
        return self._frame.copy()

    def __iter__(self) -> Iterator[NDArray[Any]]:
        """The frames in order."""
        return (self[number] for number in range(len(self)))


def _array(image: object) -> NDArray[Any]:
    if not isinstance(image, Raster):
        raise CorruptError("the archive holds a file whose picture is not supported")
    return to_array(image)
