"""Container: what each part of a header guards against."""

from __future__ import annotations

import zlib
from dataclasses import replace

import pytest

from noisepress.bitstream import errors
from noisepress.bitstream.container import (
    FIRST_SKIPPABLE,
    MAGIC,
    MAX_SIDE,
    VERSION,
    Header,
    Limits,
    Section,
    SectionKind,
    read,
    truncate,
    write,
)

HEADER = Header(codec=1, mode=2, width=300, height=5, check=0xDEADBEEF, parameters=b"\x07par")
SECTIONS = [
    Section(SectionKind.ICC, b"profile"),
    Section(SectionKind.DATA, b"first"),
    Section(SectionKind.DATA, b""),
    Section(SectionKind.DATA, bytes(range(200))),
]
FILE = write(HEADER, SECTIONS)


def with_body(body: bytes) -> bytes:
    """A file without payloads whose header is `body`, checksum included."""
    out = MAGIC + bytes([VERSION, len(body)]) + body
    return out + zlib.crc32(out).to_bytes(4, "little")


def test_bytes_are_laid_out_as_specified() -> None:
    body = bytes.fromhex("01 02 ac02 05 efbeadde 04 4007 0005 0000 00c801") + b"\x07par"
    head = b"\x89NZP\r\n\x1a\n" + b"\x01" + bytes([len(body)]) + body
    expected = head + zlib.crc32(head).to_bytes(4, "little")
    for section in SECTIONS:
        crc = zlib.crc32(head + section.payload)
        expected += section.payload + crc.to_bytes(4, "little")
    assert expected == FILE


def test_round_trip() -> None:
    contents = read(FILE)
    assert contents.header == HEADER
    assert list(contents.sections) == SECTIONS
    assert not contents.truncated
    assert contents.payloads(SectionKind.DATA) == [b"first", b"", bytes(range(200))]
    assert contents.payloads(SectionKind.XMP) == []
    assert contents.ends()[-1] == len(FILE)
    assert contents.ends()[0] == contents.start


def test_overhead_of_one_section_is_small() -> None:
    header = Header(codec=1, mode=1, width=4000, height=3000, check=1)
    payload = bytes(50_000)
    assert len(write(header, [Section(SectionKind.DATA, payload)])) - len(payload) <= 40


@pytest.mark.parametrize(
    "header",
    [
        replace(HEADER, width=0),
        replace(HEADER, height=MAX_SIDE + 1),
        replace(HEADER, mode=64),
        replace(HEADER, check=-1),
    ],
)
def test_write_refuses_header_values(header: Header) -> None:
    with pytest.raises(errors.FieldError):
        write(header, SECTIONS)


@pytest.mark.parametrize("sections", [[], [Section(256, b"")], [Section(-1, b"")]])
def test_write_refuses_sections(sections: list[Section]) -> None:
    with pytest.raises(errors.FieldError):
        write(HEADER, sections)


@pytest.mark.parametrize("kind", [max(SectionKind) + 1, 127, 200, 255])
def test_unknown_skippable_kinds_are_read(kind: int) -> None:
    assert kind not in tuple(SectionKind)
    sections = [Section(kind, b"later"), *SECTIONS]
    assert list(read(write(HEADER, sections)).sections) == sections


@pytest.mark.parametrize("kind", [max(k for k in SectionKind if k < FIRST_SKIPPABLE) + 1, 63])
def test_unknown_required_kinds_are_refused(kind: int) -> None:
    with pytest.raises(errors.UnknownIdError, match=str(kind)):
        read(write(HEADER, [*SECTIONS, Section(kind, b"")]))


def test_pixel_limit_is_inclusive() -> None:
    assert read(FILE, Limits(pixels=1500)).header == HEADER
    with pytest.raises(errors.LimitError, match="300 x 5"):
        read(FILE, Limits(pixels=1499))


def test_header_limit_is_inclusive() -> None:
    length = FILE[len(MAGIC) + 1]
    assert read(FILE, Limits(header=length)).header == HEADER
    with pytest.raises(errors.LimitError, match=str(length)):
        read(FILE, Limits(header=length - 1))


def test_a_huge_section_length_allocates_nothing() -> None:
    body = bytes.fromhex("01 02 03 04 00000000 01 00 808080808001")
    contents = read(with_body(body) + b"short")
    assert contents.table == [(0, 2**35)]
    assert list(contents.sections) == []
    assert contents.truncated


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("", "shorter"),
        ("01 02 03 04 000000", "shorter"),
        ("01 02 03 04 00000000 02 00 00", "shorter"),
        ("01 02 03 04 00000000 00", "count"),
        ("01 02 00 04 00000000 01 00 00", "width"),
        ("01 02 8300 04 00000000 01 00 00", "more bytes than it needs"),
        ("01 40 03 04 00000000 01 00 00", "mode"),
        ("01 02 03 04 00000000 01 8002 00", "kind"),
    ],
)
def test_faulty_headers_with_a_good_checksum(body: str, reason: str) -> None:
    with pytest.raises(errors.CorruptError, match=reason):
        read(with_body(bytes.fromhex(body)))


def test_a_section_of_another_file_is_noticed() -> None:
    other = write(Header(1, 2, 300, 6, 0xDEADBEEF, b"\x07par"), SECTIONS)
    start = read(FILE).start
    assert read(other).start == start
    with pytest.raises(errors.CorruptError, match="section 1"):
        read(FILE[:start] + other[start:])


def test_truncate_keeps_whole_sections() -> None:
    ends = read(FILE).ends()
    for limit in range(ends[1], len(FILE) + 10):
        cut = truncate(FILE, limit)
        assert len(cut) == max(end for end in ends if end <= limit)
        assert FILE.startswith(cut)


def test_truncate_drops_a_part_of_a_section() -> None:
    ends = read(FILE).ends()
    assert truncate(FILE[: ends[2] + 3], 10**6) == FILE[: ends[2]]


@pytest.mark.parametrize("limit", [0, 20, read(FILE).ends()[1] - 1])
def test_truncate_to_nothing_is_an_error(limit: int) -> None:
    first = read(FILE).ends()[1]
    with pytest.raises(errors.TruncatedError, match=str(first)):
        truncate(FILE, limit)
