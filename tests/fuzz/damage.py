"""Damage to files, and what the public functions may do with such files."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from common import one_line

import noisepress
from noisepress.bitstream.container import Contents, Section, read, write
from noisepress.bitstream.errors import NoisepressError, UnsupportedImageError

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
    match rng.randrange(6):
        case 0:
            header = replace(header, parameters=mutate(header.parameters, rng))
        case 1:
            name = rng.choice(("width", "height"))
            value = getattr(header, name) + rng.choice((-1, 1, 16, 64))
            header = replace(header, **{name: max(1, value)})
        case 2:
            header = replace(header, mode=rng.randrange(12), codec=rng.choice((header.codec, 9)))
        case 3:
            sections[at] = Section(rng.choice((0, 1, 2, 3, 4, 64, 99)), payload)
        case _:
            sections[at] = Section(kind, mutate(payload, rng))
    return write(header, sections)


def outcomes(data: bytes, models: Sequence[str]) -> dict[str, str]:
    """The error of one line that each public function raises for a file, or an empty text."""

    def groups() -> None:
        archive = noisepress.Archive(data, limits=LIMITS)
        for index in range(len(archive.groups)):
            archive.read_group(index, model=models)

    def pictures() -> None:
        deque(noisepress.decode_progressive(data, model=models, limits=LIMITS), maxlen=0)

    calls: dict[str, Callable[[], Any]] = {
        "inspect": lambda: noisepress.inspect(data, limits=LIMITS),
        "decode": lambda: noisepress.decode(data, model=models, limits=LIMITS),
        "decode_progressive": pictures,
        "Archive": groups,
        "truncate": lambda: read(noisepress.truncate(data, len(data) - 1)),
    }
    found = {}
    for name, call in calls.items():
        try:
            call()
            found[name] = ""
        except NoisepressError as error:
            assert not isinstance(error, UnsupportedImageError), "that is for images, not files"
            found[name] = f"{type(error).__name__}: {one_line(error)}"
        except Exception as error:
            error.add_note(f"{name} of a file, in hexadecimal: {data.hex()}")
            raise
    return found
