"""Archives: many images in one file, in groups that are read independently of each other.

An archive is a container whose first section is an index of its members; every other section is a
group of them. A group holds its members' files one after another, without what the archive has as
well (`bitstream.container.pack_member`). Those that vdm makes lack their details, which stand
behind the files on one stack, so that only the group's first tiles are coded in lattice order to
have bits to borrow.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any

from numpy.typing import NDArray

from ..bitstream.container import (
    DEFAULT_LIMITS,
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
from ..bitstream.errors import CorruptError, NoisepressError, OptionError, UnsupportedImageError
from ..bitstream.header import VARINT, Field, pack, unpack
from .api import Models, Progress, asked_models, decoded, encode, paths, reporter, to_raster
from .image.raster import Mode, Raster, checksum, to_array
from .image.read import as_raster
from .protocol import Decoding, Render, Report, assemble, parse_options
from .registry import ARCHIVE, by_name
from .vdm.codec import MODES, Options, Parameters, Vdm

INDEX = (
    Field("group", VARINT, 1, 2**20, "images of a group, but for the last, which may have fewer"),
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
        width, height: in pixels.
        group: which one holds it, from 0.
    """

    name: str
    mode: str
    width: int
    height: int
    group: int


def archive(
    images: Iterable[tuple[str, object]],
    codec: str = "ardm",
    *,
    group: int = 32,
    progress: Progress | None = None,
    **options: Any,
) -> bytes:
    """Encode images into one file.

    Args:
        images: names and images, see `noisepress.encode`; each group is opened when its turn comes.
        codec: see `noisepress.encode`. With `vdm`, the images of a group share one chain; those
            that vdm does not take, and all that come out smaller as WebP or PNG with other
            lossless codecs, are coded so.
        group: images of a group. To get one image, vdm has to decode all of its group.
        progress: called with the samples coded so far, and those of the images opened so far.
        options: of the codec.

    Returns:
        The bytes of a .nzp file; lossless images were checked to decode to the same samples.

    Raises:
        UnsupportedImageError: there is no image, or one is of a kind that is not supported.
        OptionError: an option is wrong, or a name: it is empty, has a slash, or stands twice.
        ModelError: there is no such model.
    """
    by_name(codec)
    if not 1 <= group <= INDEX[0].high:
        raise OptionError(f"group is {group}, supported are 1 to {INDEX[0].high}")
    names: set[str] = set()
    rows = bytearray()
    payloads: list[bytes] = []
    done = 0
    waiting = iter(images)
    while batch := list(islice(waiting, group)):
        rasters = []
        for name, image in batch:
            _check_name(name, names)
            with _naming(name):
                rasters.append(as_raster(image))
            rows += _row(name, rasters[-1])
        total = sum(raster.samples.size for raster in rasters)
        report = reporter(progress, done + total, done)
        labels = [name for name, _ in batch]
        if codec == Vdm.NAME:
            payloads.append(_chained(rasters, options, report))
        else:
            payloads.append(_separate(labels, rasters, codec, options, report))
        done += total
    if not names:
        raise UnsupportedImageError("an archive needs at least one image")
    index = pack(INDEX, {"group": group, "count": len(names)}) + rows
    groups = [Section(SectionKind.GROUP, payload) for payload in payloads]
    header = Header(ARCHIVE, mode=0, width=1, height=1, check=0)
    return write(header, [Section(SectionKind.INDEX, bytes(index)), *groups])


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


def _row(name: str, raster: Raster) -> bytes:
    text = name.encode()
    values = {"mode": raster.mode, "width": raster.width, "height": raster.height}
    return pack(MEMBER, {**values, "name": len(text)}) + text


def _separate(
    names: Sequence[str],
    rasters: Sequence[Raster],
    codec: str,
    options: dict[str, Any],
    report: Report,
) -> bytes:
    """A group of files that have nothing to do with each other."""
    files = []
    for name, raster in zip(names, rasters, strict=True):
        with _naming(name):
            files.append(encode(raster, codec, **options))
        report(raster.samples.size)
    return _pack_files(files)


def _chained(rasters: Sequence[Raster], options: dict[str, Any], report: Report) -> bytes:
    """A group of vdm's files, and others for what it does not take, with the details of all.

    Raises:
        CorruptError: it does not decode to the images.
    """
    parameters = Parameters.choose(parse_options(Options, options))
    fitting = [raster for raster in rasters if raster.mode in MODES]
    details = b""
    files: Iterator[bytes] = iter(())
    if fitting:
        coded, details = Vdm().encode_together(fitting, parameters, report)
        files = iter(
            [
                assemble(raster, Vdm.ID, raster.check, one)
                for raster, one in zip(fitting, coded, strict=True)
            ]
        )
    members = [next(files) if one.mode in MODES else encode(one, "webp") for one in rasters]
    payload = _pack_files(members) + details
    if _members(payload, len(rasters), Decoding(asked_models(options))) != list(rasters):
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
) -> list[Raster]:
    """All images of a group.

    Raises:
        NoisepressError: see `noisepress.decode`.
    """
    files, details = files_of(payload, count)
    contents = [read(file, limits) for file in files]
    chained = [one for one in contents if one.header.codec == Vdm.ID]
    found: Iterator[Raster] = iter(())
    if chained:
        pictures = Vdm().decode_together(chained, details, decoding, lambda _: None)
        for one, picture in zip(chained, pictures, strict=True):
            if checksum(picture) != one.header.check:
                raise CorruptError("the decoded samples do not match the file's checksum")
        found = iter([to_raster(one, p) for one, p in zip(chained, pictures, strict=True)])
    return [
        next(found) if one.header.codec == Vdm.ID else decoded(file, decoding, limits)
        for file, one in zip(files, contents, strict=True)
    ]


class Archive:
    """An archive that is there, to look into and to read from.

    Args:
        data: bytes of the file, or anything that gives bytes where it is sliced, such as a memory
            map; groups that are not asked for are not looked at.
        limits: what to accept.

    Attributes:
        members: in the order in which they were put in.

    Raises:
        NoisepressError: a subclass names what is wrong with the header or the index.
    """

    def __init__(self, data: bytes, *, limits: Limits = DEFAULT_LIMITS) -> None:
        self._data, self._limits = data, limits
        self._contents = outline(data, limits)
        if self._contents.header.codec != ARCHIVE:
            raise CorruptError("the file is an image, not an archive")
        self.members = _parse_index(self._contents, section(data, self._contents, 0).payload)

    @property
    def groups(self) -> Sequence[Sequence[Member]]:
        """The members of each group."""
        found: list[list[Member]] = [[] for _ in self._contents.table[1:]]
        for member in self.members:
            found[member.group].append(member)
        return found

    def read_group(
        self,
        index: int,
        *,
        model: Models = None,
        render: Render = "mmse",
        detail: float | None = None,
        steps: int | None = None,
        device: str = "cpu",
    ) -> list[Raster]:
        """The images of a group, in the order of its members.

        Args:
            index: from 0.
            model, render, detail, steps, device: see `noisepress.decode`.

        Raises:
            NoisepressError: a subclass says what is wrong with the group, which it names.
        """
        members = self.groups[index]
        with _naming(_label(index, members)):
            payload = section(self._data, self._contents, index + 1).payload
            decoding = Decoding(paths(model), render, detail, steps, device=device)
            return _members(payload, len(members), decoding, self._limits)

    def read(
        self,
        name: str,
        *,
        model: Models = None,
        render: Render = "mmse",
        detail: float | None = None,
        steps: int | None = None,
        device: str = "cpu",
    ) -> NDArray[Any]:
        """One image as `noisepress.decode` returns it.

        Raises:
            OptionError: the archive has no image of that name.
            NoisepressError: see `read_group`.
        """
        for member in self.members:
            if member.name == name:
                break
        else:
            raise OptionError(f"the archive has no image {name!r}")
        members = self.groups[member.group]
        place = members.index(member)
        with _naming(_label(member.group, members)):
            payload = section(self._data, self._contents, member.group + 1).payload
            decoding = Decoding(paths(model), render, detail, steps, device=device)
            file = files_of(payload, len(members))[0][place]
            if outline(file, self._limits).header.codec != Vdm.ID:
                return to_array(decoded(file, decoding, self._limits))
            return to_array(_members(payload, len(members), decoding, self._limits)[place])


def _label(index: int, members: Sequence[Member]) -> str:
    """A group in words."""
    first, last = members[0].name, members[-1].name
    return (
        f"group {index + 1} ({first})"
        if first == last
        else f"group {index + 1} ({first} to {last})"
    )


def _parse_index(contents: Contents, payload: bytes) -> tuple[Member, ...]:
    """The members of an archive.

    Raises:
        CorruptError, TruncatedError: the index is damaged.
    """
    values, position = unpack(INDEX, payload, 0)
    kinds = [kind for kind, _ in contents.table]
    groups = -(-values["count"] // values["group"])
    if kinds != [SectionKind.INDEX, *[SectionKind.GROUP] * groups]:
        raise CorruptError(f"{len(kinds) - 1} groups do not fit {values['count']} images")
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
        members.append(Member(name, mode, row["width"], row["height"], index // values["group"]))
    if position != len(payload):
        raise CorruptError("the index has bytes left over")
    return tuple(members)
