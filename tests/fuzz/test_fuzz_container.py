"""Random damage to container files: a named error or a true reading, never anything else."""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable

import pytest
from fuzz.damage import mutate

from noisepress.bitstream.container import Header, Section, SectionKind, read, truncate, write
from noisepress.bitstream.errors import NoisepressError

ROUNDS = 4000

FILES = [
    write(Header(1, 0, 1, 1, 0), [Section(SectionKind.DATA, b"")]),
    write(
        Header(2, 5, 640, 480, 0xCAFEBABE, bytes(range(9))),
        [Section(SectionKind.DATA, bytes([i]) * 30 * i) for i in range(4)],
    ),
    write(Header(0, 1, 9, 9, 1), [Section(kind, b"payload") for kind in SectionKind]),
]


def with_good_header_checksum(data: bytes) -> bytes:
    """Make the header's checksum right, so that the damage gets past it."""
    end = 10 + data[9] if len(data) > 9 else len(data)
    if end + 4 > len(data):
        return data
    return data[:end] + zlib.crc32(data[:end]).to_bytes(4, "little") + data[end + 4 :]


@pytest.mark.parametrize("repair", [bytes, with_good_header_checksum])
def test_damaged_files(repair: Callable[[bytes], bytes]) -> None:
    rng = random.Random(20240229)
    outcomes: dict[str, int] = {}
    for turn in range(ROUNDS):
        original = FILES[turn % len(FILES)]
        data = repair(mutate(original, rng))
        try:
            contents = read(data)
        except NoisepressError as error:
            name = type(error).__name__
            assert "\n" not in str(error)
        else:
            name = "read"
            assert len(contents.sections) <= len(contents.table)
            payload = sum(len(section.payload) for section in contents.sections)
            assert payload <= len(data)
            if contents.sections:
                assert data.startswith(truncate(data, len(data)))
        outcomes[name] = outcomes.get(name, 0) + 1
    # The loop is worth its time only while it reaches the different ends of the reader.
    assert {"CorruptError", "NotNoisepressError", "TruncatedError"} <= set(outcomes)
    assert repair is bytes or {"LimitError", "UnknownIdError", "read"} <= set(outcomes)
