"""Damage to files, and what the public functions may do with such files."""

from __future__ import annotations

import random
import warnings
import zlib
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from common import one_line

import noisepress
from noisepress.bitstream.container import (
    Contents,
    Section,
    SectionKind,
    pack_member,
    read,
    unpack_member,
    write,
)
from noisepress.bitstream.errors import NoisepressError, UnsupportedImageError
from noisepress.codec.registry import CODECS

LIMITS = noisepress.Limits(pixels=2**14)
"""Small, so that damaged sizes cost no time."""


def mutate(data: bytes, rng: random.Random) -> bytes:
    """A few edits: bytes changed, removed, doubled, put in, or cut off."""
    out = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(out) + 1)
        to = min(len(out), at + rng.randint(1, 8))
        edits = (
            bytes(rng.randrange(256) for _ in range(to - at)),
            b"",
            bytes(out[at:to]) * 2,
            bytes([rng.choice((0x00, 0x7F, 0x80, 0xFF))]) * rng.randint(1, 9),
        )
        out[at:to] = rng.choice(edits)
        if rng.random() < 0.1:
            del out[at:]
    return bytes(out)


def mutate_contents(contents: Contents, rng: random.Random) -> bytes:
    """A file whose checksums are right and whose header or sections are not."""
    header, sections = contents.header, list(contents.sections)
    at = rng.randrange(len(sections))
    kind, payload = sections[at].kind, sections[at].payload
    match rng.randrange(9):
        case 0:
            header = replace(header, parameters=mutate(header.parameters, rng))
        case 1:
            name = rng.choice(("width", "height"))
            value = getattr(header, name) + rng.choice((-1, 1, 16, 64))
            header = replace(header, **{name: max(1, value)})
        case 2:
            codecs = (header.codec, *(codec.ID for codec in CODECS))
            header = replace(header, mode=rng.randrange(12), codec=rng.choice(codecs))
        case 3:
            sections[at] = Section(rng.choice((*SectionKind, 99)), payload)
        case 4:
            other = rng.choice(sections)
            sections[at : at + rng.randrange(2)] = [other]
        case 5:
            sections[at] = Section(kind, _mutate_deflated(payload, rng))
        case 6 if kind == SectionKind.GROUP:
            sections[at] = Section(kind, _mutate_group(payload, rng))
        case _:
            sections[at] = Section(kind, mutate(payload, rng))
    return write(header, sections)


def _mutate_deflated(payload: bytes, rng: random.Random) -> bytes:
    """A payload whose deflated bytes, which may follow one other, hold something else."""
    for start in (0, 1):
        try:
            inflated = zlib.decompress(payload[start:])
        except zlib.error:
            continue
        return payload[:start] + zlib.compress(mutate(inflated, rng))
    return repaired_png(mutate(payload, rng))


def repaired_png(data: bytes) -> bytes:
    """A PNG file, perhaps behind a byte, with right checksums of its chunks; others as given."""
    start = data.find(b"\x89PNG\r\n\x1a\n")
    if start < 0:
        return data
    out, at = bytearray(data), start + 8
    while at + 12 <= len(out):
        end = at + 8 + int.from_bytes(out[at : at + 4])
        if end + 4 > len(out):
            break
        out[end : end + 4] = zlib.crc32(out[at + 4 : end]).to_bytes(4)
        at = end + 4
    return bytes(out)


def _mutate_group(payload: bytes, rng: random.Random) -> bytes:
    """A group of an archive with one member damaged behind right checksums."""
    files, before, position = [], None, 0
    try:
        while position < len(payload):
            file, before, position = unpack_member(payload, position, before)
            files.append(file)
    except NoisepressError:
        pass  # what follows the members is not one of them
    if not files:
        return mutate(payload, rng)
    members = [read(file) for file in files]
    at = rng.randrange(len(members))
    members[at] = read(mutate_contents(members[at], rng))
    packed = [pack_member(member, None) for member in members]
    return b"".join(packed) + payload[position:]


def outcomes(
    data: bytes, models: Sequence[str], only: Sequence[str] | None = None
) -> dict[str, str]:
    """The error of one line that each public function raises for a file, or an empty text.

    Args:
        models: paths of the models that the file may need.
        only: names of the functions to call; None: all.
    """

    def groups() -> None:
        archive = noisepress.Archive(data, limits=LIMITS)
        for index in range(len(archive.groups)):
            archive.read_group(index, model=models)

    def pictures() -> None:
        deque(noisepress.decode_progressive(data, model=models, limits=LIMITS), maxlen=0)

    calls: dict[str, Callable[[], Any]] = {
        "inspect": lambda: noisepress.inspect(data, limits=LIMITS),
        "decode": lambda: noisepress.decode(data, partial=True, model=models, limits=LIMITS),
        "decode_progressive": pictures,
        "members": lambda: noisepress.Archive(data, limits=LIMITS).members,
        "Archive": groups,
        "truncate": lambda: read(noisepress.truncate(data, len(data) - 1)),
    }
    found = {}
    for name in only or calls:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", noisepress.TruncatedWarning)
                calls[name]()
            found[name] = ""
        except NoisepressError as error:
            assert not isinstance(error, UnsupportedImageError), "that is for images, not files"
            found[name] = f"{type(error).__name__}: {one_line(error)}"
        except Exception as error:
            error.add_note(f"{name} of a file, in hexadecimal: {data.hex()}")
            raise
    return found
