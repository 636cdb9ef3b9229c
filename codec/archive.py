"""Archives: many images in one file, in groups that are read independently of each other.

An archive is a container whose first section is an index of its members; every other section is a
group of them. A group holds its members' files one after another, without what the archive has as
well (`bitstream.container.pack_member`). Files made by vdm omit their detail sections; the details
of the whole group follow on one shared stack. Only the group's first tiles are then coded in
lattice order, to supply the initial bits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import groupby, islice
from mmap import mmap
from operator import attrgetter
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from ..bitstream.container import (
    DEFAULT_LIMITS,
    FIRST_SKIPPABLE,
    MAX_SIDE,
    Contents,
    Header,
    Limits,
    Section,
    SectionKind,
    outline,
    pack_member,
    read,
    section,
    unpack_member,
    write,
)
from ..bitstream.errors import (
    CorruptError,
    LimitError,
    NoisepressError,
    OptionError,
    TruncatedError,
    UnsupportedImageError,
)
from ..bitstream.header import VARINT, Bytes, Field, Rest, pack, unpack
from .api import (
    Progress,
    check_decoding,
    check_level,
    chosen,
    decode_preview,
    decode_raster,
    encode,
    known_mode,
    original_file,
    reporter,
    to_raster,
    warn_of_losses,
)
from .fallback.codecs import WebP
from .image.raster import Mode, Raster, Samples, checksum, to_array
from .image.strip import Strip, stripped
from .inputs import Data, UnreadJpeg, as_image, as_mapped
from .jpegfile.codec import keep_unread, kept_unread
from .options import Options, given
from .protocol import Decoding, GroupCodec, Report, assemble
from .registry import ARCHIVE, by_id

INDEX = (
    Field("group", VARINT, 1, 2**20, "images of a group; the last group may have fewer"),
    Field("count", VARINT, 1, 2**30, "images"),
)
MEMBER = (
    Field("mode", VARINT, 0, 63, "sample layout id"),
    Field("width", VARINT, 1, MAX_SIDE, "columns of the image"),
    Field("height", VARINT, 1, MAX_SIDE, "rows of the image"),
    Field("name", VARINT, 1, 1024, "bytes of the name, which follows, in UTF-8"),
)


@dataclass(frozen=True)
class Member:
    """An image of an archive.

    Attributes:
        name: unique in the archive; has no slash.
        mode: sample layout, such as `RGB8`.
        width: in pixels.
        height: in pixels.
        group: which one holds it, from 0.
    """

    name: str
    mode: str
    width: int
    height: int
    group: int


def archive(
    images: Iterable[tuple[str, object]],
    codec: str | Options | None = None,
    *,
    group: int = 32,
    pixels: bool = False,
    strip: Strip | None = None,
    limits: Limits = DEFAULT_LIMITS,
    progress: Progress | None = None,
    **options: Any,
) -> bytes:
    """Encode images into one file.

    Args:
        images: names and images, see `noisepress.encode`; each group is opened when its turn comes.
        codec: see `noisepress.encode`. With `vdm`, the images of a group share one chain,
            with `frames` each is coded with what those before it tell; those that the codec does
            not take are coded as WebP, PNG or JPEG XL. With other lossless codecs, so
            are all that come out smaller that way.
            Without a codec, JPEG files are kept as files; with any lossless codec, those whose
            picture is not supported are.
        group: images of a group. To get one image, vdm and frames have to decode all of
            its group.
        pixels: see `noisepress.encode`.
        strip: see `noisepress.encode`.
        limits: see `noisepress.encode`.
        progress: called with the samples coded so far, and those of the images opened so far.
        options: of the codec, see `noisepress.encode`.

    Returns:
        The bytes of a .nzp file; lossless images were checked to decode to the same samples.

    Raises:
        UnsupportedImageError: there is no image, or one is of a kind that is not supported.
        OptionError: an option is wrong, or a name: it is empty, has a slash, or stands twice.
        ModelError: there is no such model.
        OSError: an image cannot be read.
    """
    coder, settings = chosen(codec, options)
    if not (isinstance(group, int) and 1 <= group <= INDEX[0].high):
        raise OptionError(f"group is {group!r}, supported are whole numbers to {INDEX[0].high}")
    names: set[str] = set()
    rows = bytearray()
    payloads: list[bytes] = []
    done = 0
    waiting = iter(images)
    while batch := list(islice(waiting, group)):
        opened: list[Raster | UnreadJpeg] = []
        for name, image in batch:
            _check_name(name, names)
            with _naming(name):
                found = as_image(image, limits.pixels)
                if isinstance(found, UnreadJpeg) and (strip or not coder.LOSSLESS):
                    raise UnsupportedImageError(found.reason)
                if isinstance(found, Raster) and strip:
                    found = stripped(found, strip)
                opened.append(found)
            rows += _row(name, opened[-1])
        total = sum(map(_size, opened))
        report = reporter(progress, done + total, done)
        labels = [name for name, _ in batch]
        if isinstance(coder, GroupCodec):
            payloads.append(_together(opened, coder, settings, report))
        else:
            one = partial(encode, codec=codec, pixels=pixels, **options)
            payloads.append(_separate(labels, opened, one, report))
        done += total
    if not names:
        raise UnsupportedImageError("an archive needs at least one image")
    index = pack(INDEX, {"group": group, "count": len(names)}) + rows
    return _write(index, payloads)


def archive_group(
    names: Sequence[str],
    images: Sequence[Raster],
    codec: GroupCodec,
    options: Options,
    report: Report,
    metadata: Sequence[Section] = (),
) -> bytes:
    """An archive of one group, whose images are coded together.

    Args:
        names: of the images, see `archive`.
        images: each is looked at several times, and may be made anew for that.
        options: an instance of the codec's `OPTIONS`.
        metadata: sections that go before the group.

    Raises:
        CorruptError: it does not decode to the images.
        ModelError: see `archive`.
    """
    index = pack(INDEX, {"group": len(names), "count": len(names)})
    index += b"".join(_row(name, image) for name, image in zip(names, images, strict=True))
    return _write(index, [_together(images, codec, options, report)], metadata)


def _write(index: bytes, groups: Sequence[bytes], metadata: Sequence[Section] = ()) -> bytes:
    header = Header(ARCHIVE, mode=0, width=1, height=1, check=0)
    parts = [Section(SectionKind.GROUP, payload) for payload in groups]
    return write(header, [Section(SectionKind.INDEX, bytes(index)), *metadata, *parts])


def _check_name(name: str, known: set[str]) -> None:
    """Add a name to the known ones.

    Raises:
        OptionError: it is not fit for an archive.
    """
    if not _fit(name):
        raise OptionError(f"{name!r} cannot be a name in an archive")
    if name in known:
        raise OptionError(f"two images have the name {name}")
    known.add(name)


def _fit(name: str) -> bool:
    """True for names that are safe as those of files."""
    length = len(name.encode("utf-8", "replace"))
    plain = name.isprintable() and not set(name) & set("/\\:")
    return plain and name not in (".", "..") and 1 <= length <= MEMBER[-1].high


@contextmanager
def _naming(name: str) -> Iterator[None]:
    """Errors that name the image."""
    try:
        yield
    except NoisepressError as error:
        raise type(error)(f"{name}: {error}") from error


def _size(image: Raster | UnreadJpeg) -> int:
    """Samples to code."""
    return image.samples.size if isinstance(image, Raster) else 0


def _row(name: str, image: Raster | UnreadJpeg) -> bytes:
    text = name.encode()
    values = {"mode": image.mode, "width": image.width, "height": image.height}
    return pack(MEMBER, {**values, "name": len(text)}) + text


def _separate(
    names: Sequence[str],
    images: Sequence[Raster | UnreadJpeg],
    encode_one: Callable[[Raster], bytes],
    report: Report,
) -> bytes:
    """A group of files that have nothing to do with each other."""
    files = []
    for name, image in zip(names, images, strict=True):
        with _naming(name):
            files.append(encode_one(image) if isinstance(image, Raster) else keep_unread(image))
        report(_size(image))
    return _pack_files(files)


@dataclass(frozen=True)
class Rasters(Sequence[Raster]):
    """Images that are each looked up, or made, when it is their turn.

    Attributes:
        at: the image of a place.
        places: of the images, in order.
    """

    at: Callable[[int], object]
    places: Sequence[int]

    def __len__(self) -> int:
        return len(self.places)

    @overload
    def __getitem__(self, index: int) -> Raster: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Raster]: ...
    def __getitem__(self, index: int | slice) -> Raster | Sequence[Raster]:
        if isinstance(index, slice):
            return Rasters(self.at, self.places[index])
        image = self.at(self.places[index])
        assert isinstance(image, Raster)
        return image


def _together(
    images: Sequence[Raster | UnreadJpeg], codec: GroupCodec, options: Options, report: Report
) -> bytes:
    """A group of files with the details of all; the codec's layouts together, others alone.

    JPEG files whose picture is not read are kept.

    Raises:
        CorruptError: it does not decode to the images.
    """
    modes = [image.mode if isinstance(image, Raster) else None for image in images]
    fitting = [place for place, mode in enumerate(modes) if mode in codec.GROUP_MODES]
    rasters = Rasters(images.__getitem__, fitting)
    coded, details = codec.encode_group(rasters, options, report) if fitting else ([], b"")
    waiting = iter(coded)
    members = []
    for image in images:
        if isinstance(image, UnreadJpeg):
            members.append(keep_unread(image))
        elif image.mode in codec.GROUP_MODES:
            warn_of_losses(image)
            members.append(assemble(image, codec, next(waiting)))
        else:
            members.append(encode(image, WebP()))
    payload = _pack_files(members) + details
    found = _members(payload, len(images), check_decoding(options))
    if not all(image == other for image, other in zip(images, found, strict=True)):
        raise CorruptError("the encoded images do not decode to themselves")
    return payload


def _pack_files(files: Sequence[bytes]) -> bytes:
    out, before = bytearray(), None
    for contents in map(read, files):
        out += pack_member(contents, before)
        before = contents.header.parameters
    return bytes(out)


def files_of(payload: bytes, count: int) -> tuple[list[bytes], bytes]:
    """The files of a group, and the details behind them.

    Raises:
        CorruptError, TruncatedError: the group ends before them.
    """
    files, position, before = [], 0, None
    for _ in range(count):
        file, before, position = unpack_member(payload, position, before)
        files.append(file)
    return files, payload[position:]


def _members(
    payload: bytes, count: int, decoding: Decoding, limits: Limits = DEFAULT_LIMITS
) -> Iterator[Raster | UnreadJpeg]:
    """The images of a group.

    Raises:
        NoisepressError: see `noisepress.decode`.
    """
    files, details = files_of(payload, count)
    members = [read(file, limits) for file in files]
    for member in members:
        known_mode(member)
    grouped = [member for member in members if _group_codec(member)]
    if len({member.header.codec for member in grouped}) > 1:
        raise CorruptError("the group has images of several codecs that code groups")
    pictures: Iterator[Samples] = iter(())
    if grouped and (codec := _group_codec(grouped[0])):
        pictures = iter(codec.decode_group(grouped, details, decoding, lambda _: None))
    for file, member in zip(files, members, strict=True):
        if _group_codec(member):
            picture = next(pictures)
            if checksum(picture) != member.header.check:
                raise CorruptError("the decoded samples do not match the file's checksum")
            yield to_raster(member, picture)
        else:
            yield kept_unread(member) or decode_raster(file, decoding, limits=limits)


def _check_indexed(image: Raster | UnreadJpeg, member: Member) -> None:
    """Check that a decoded image is what the index says of it.

    Raises:
        CorruptError: it is not.
    """
    found = Member(member.name, image.mode.name, image.width, image.height, member.group)
    if found != member:
        raise CorruptError(
            f"{member.name} has {found.width} x {found.height} pixels, {found.mode}; "
            f"the index says {member.width} x {member.height}, {member.mode}"
        )


def _group_codec(contents: Contents) -> GroupCodec | None:
    """The codec of a file, if it codes groups."""
    codec = by_id(contents.header.codec)
    return codec if isinstance(codec, GroupCodec) else None


@dataclass(frozen=True)
class _Part:
    """One of the archives that a file consists of.

    Attributes:
        data: the file from the archive's first byte on.
        contents: without sections.
        group: number of its first group.
        members: of all its groups.
    """

    data: Bytes
    contents: Contents
    group: int
    members: tuple[Member, ...]

    @classmethod
    def open(cls, data: Bytes, limits: Limits, group: int) -> _Part:
        contents = outline(data, limits)
        if contents.header.codec != ARCHIVE:
            raise CorruptError("the file is an image, not an archive")
        index = section(data, contents, 0).payload
        return cls(data, contents, group, _parse_index(contents, index, group))

    @property
    def first(self) -> int:
        """Place of the section of its first group."""
        return [kind for kind, _ in self.contents.table].index(SectionKind.GROUP)

    @property
    def groups(self) -> range:
        """The numbers of its groups."""
        return range(self.group, self.group + len(self.contents.table) - self.first)

    @property
    def size(self) -> int:
        """Bytes of the whole archive."""
        return self.contents.ends()[-1]

    @property
    def cut(self) -> list[int]:
        """The groups that are not there."""
        ends = self.contents.ends()[self.first + 1 :]
        return [at for at, end in zip(self.groups, ends, strict=True) if end > len(self.data)]

    def payload(self, group: int) -> bytes:
        """The section of a group."""
        return section(self.data, self.contents, self.first + group - self.group).payload


class Archive:
    """Read-only access to an existing archive.

    A file may consist of several archives, one after another, of which the later ones were
    appended: it has the images of all.

    Args:
        data: the file, see `noisepress.decode`. Of a path or a memory map, only the groups that are
            asked for are read.
        limits: what to accept.

    Attributes:
        members: in the order in which they were put in.
        groups: the members of each group.
        cut: groups, from 0, that are not there because the file was cut.
        fault: why there may be further groups that are not known: what is wrong with what follows
            those that are; None if nothing does.

    Raises:
        NoisepressError: a subclass names what is wrong with the header or the index.
    """

    def __init__(self, data: Data, *, limits: Limits = DEFAULT_LIMITS) -> None:
        self._limits = limits
        self.fault: NoisepressError | None = None
        self._parts = list(self._open(as_mapped(data)))
        self.members = tuple(member for part in self._parts for member in part.members)
        self.groups: Sequence[Sequence[Member]] = [
            list(members) for _, members in groupby(self.members, attrgetter("group"))
        ]
        self.cut = tuple(group for part in self._parts for group in part.cut)
        self._by_group = [part for part in self._parts for _ in part.groups]

    def _open(self, data: bytes | mmap) -> Iterator[_Part]:
        """The archives of the file, as far as they can be read."""
        names: set[str] = set()
        group = start = 0
        while start < len(data) or not start:
            try:
                part = _Part.open(Rest(data, start), self._limits, group)
                if twice := names & {member.name for member in part.members}:
                    raise CorruptError(f"two images have the name {min(twice)}")
                names |= {member.name for member in part.members}
                if len(names) > self._limits.members:
                    raise LimitError(f"the archive has more than {self._limits.members} images")
            except NoisepressError as error:
                if not start:
                    raise
                text = f"from byte {start} on, the file cannot be read: {error}"
                self.fault = type(error)(text)
                return
            yield part
            group, start = part.groups.stop, start + part.size

    @property
    def metadata(self) -> Sequence[Section]:
        """The sections between index and groups, of all archives in the file.

        Raises:
            CorruptError, TruncatedError: one is damaged, or not there.
        """
        return [
            section(part.data, part.contents, place)
            for part in self._parts
            for place in range(1, part.first)
        ]

    @property
    def whole(self) -> tuple[int, int]:
        """Bytes up to the end of the last archive in the file that is whole, and their images.

        Raises:
            CorruptError: what follows them is damaged, and not merely cut.
            TruncatedError: it was cut, but holds whole groups.
        """
        if self.fault and not isinstance(self.fault, TruncatedError):
            raise self.fault
        size = images = 0
        for part in self._parts:
            if 0 < len(part.cut) < len(part.groups):
                text = f"the file was cut inside {_label(part.cut[0], self.groups[part.cut[0]])}"
                raise TruncatedError(text)
            if not part.cut:
                size, images = size + part.size, images + len(part.members)
        return size, images

    def read_group(
        self, index: int, decoding: Decoding | None = None, **options: Any
    ) -> list[Raster | UnreadJpeg]:
        """The images of a group, in the order of its members.

        JPEG files whose picture is not supported are there as `UnreadJpeg`.

        Args:
            index: from 0.
            decoding: see `noisepress.decode`.
            options: fields of `Decoding`, instead of one.

        Raises:
            NoisepressError: a subclass says what is wrong with the group, which it names.
        """
        how = given(Decoding, decoding, options)
        members = self.groups[index]
        with _naming(_label(index, members)):
            return list(self._images(index, how))

    def iterate_group(self, index: int, decoding: Decoding) -> Iterator[Raster | UnreadJpeg]:
        """The images of a group, each as soon as it is decoded, see `read_group`."""
        with _naming(_label(index, self.groups[index])):
            yield from self._images(index, decoding)

    def _images(self, index: int, decoding: Decoding) -> Iterator[Raster | UnreadJpeg]:
        members = self.groups[index]
        images = _members(self._payload(index), len(members), decoding, self._limits)
        for image, member in zip(images, members, strict=True):
            _check_indexed(image, member)
            yield image

    def read(
        self, name: str, decoding: Decoding | None = None, *, level: int = 0, **options: Any
    ) -> NDArray[Any]:
        """One image as `noisepress.decode` returns it.

        Args:
            name: of the member.
            decoding: see `noisepress.decode`.
            level: for a smaller picture, see `noisepress.decode_preview`.
            options: fields of `Decoding`, instead of one.

        Raises:
            OptionError: the archive has no image of that name, or the level is wrong.
            NoisepressError: see `read_group`.
        """
        how = given(Decoding, decoding, options)
        check_level(level)
        member = self._member(name)
        members = self.groups[member.group]
        place = members.index(member)
        with _naming(_label(member.group, members)):
            payload = self._payload(member.group)
            file = files_of(payload, len(members))[0][place]
            if _group_codec(outline(file, self._limits)):
                images = _members(payload, len(members), how, self._limits)
                image = next(islice(images, place, None))
                assert isinstance(image, Raster)
            elif level:
                return decode_preview(file, level, how, limits=self._limits)
            else:
                image = decode_raster(file, how, limits=self._limits)
            _check_indexed(image, member)
            return np.ascontiguousarray(to_array(image)[:: 1 << level, :: 1 << level])

    def original_file(self, name: str) -> bytes:
        """The JPEG file that is kept as an image, see `noisepress.original_file`.

        Args:
            name: of the member.

        Raises:
            OptionError: the archive has no image of that name, or holds its pixels only.
            NoisepressError: see `read_group`.
        """
        member = self._member(name)
        members = self.groups[member.group]
        with _naming(_label(member.group, members)):
            files, _ = files_of(self._payload(member.group), len(members))
            return original_file(files[members.index(member)], limits=self._limits)

    def _member(self, name: str) -> Member:
        for member in self.members:
            if member.name == name:
                return member
        raise OptionError(f"the archive has no image {name!r}")

    def _payload(self, group: int) -> bytes:
        return self._by_group[group].payload(group)


def _label(index: int, members: Sequence[Member]) -> str:
    """A group in words."""
    names = dict.fromkeys([members[0].name, members[-1].name])
    return f"group {index + 1} ({' to '.join(names)})"


def _parse_index(contents: Contents, payload: bytes, group: int) -> tuple[Member, ...]:
    """The members of an archive whose first group has a number.

    Raises:
        CorruptError, TruncatedError: the index is damaged.
    """
    values, position = unpack(INDEX, payload, 0)
    if values["count"] > contents.limits.members:
        raise LimitError(
            f"the archive has {values['count']} images; the limit is {contents.limits.members}"
        )
    kinds = [kind for kind, _ in contents.table]
    groups, found = -(-values["count"] // values["group"]), kinds.count(SectionKind.GROUP)
    between = kinds[1 : len(kinds) - found]
    if (
        (kinds[0], found) != (SectionKind.INDEX, groups)
        or SectionKind.GROUP in between
        or any(kind < FIRST_SKIPPABLE for kind in between)
    ):
        raise CorruptError(f"{found} groups do not fit {values['count']} images")
    members: list[Member] = []
    names: set[str] = set()
    for index in range(values["count"]):
        row, start = unpack(MEMBER, payload, position)
        position = start + row["name"]
        name = payload[start:position].decode("utf-8", "replace")
        if row["mode"] not in tuple(Mode) or not _fit(name) or name in names:
            raise CorruptError(f"the index has no proper entry {index + 1}")
        names.add(name)
        mode = Mode(row["mode"]).name
        members.append(
            Member(name, mode, row["width"], row["height"], group + index // values["group"])
        )
    if position != len(payload):
        raise CorruptError("the index has bytes left over")
    return tuple(members)
