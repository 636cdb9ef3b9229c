"""Containers: round trips, every prefix, every flipped byte."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noisepress.bitstream.container import (
    MAX_SIDE,
    Header,
    Limits,
    Section,
    SectionKind,
    pack_member,
    read,
    truncate,
    unpack_member,
    write,
)
from noisepress.bitstream.errors import CorruptError, NoisepressError, TruncatedError

quick = settings(max_examples=60, deadline=None)
limits = Limits(pixels=2**48)

headers = st.builds(
    Header,
    codec=st.integers(0, 2**16),
    mode=st.integers(0, 63),
    width=st.integers(1, MAX_SIDE),
    height=st.integers(1, MAX_SIDE),
    check=st.integers(0, 2**32 - 1),
    parameters=st.binary(max_size=20),
)
kinds = st.sampled_from([*map(int, SectionKind), 99, 255])
sections = st.lists(st.builds(Section, kinds, st.binary(max_size=50)), min_size=1, max_size=6)

SMALL = write(
    Header(codec=1, mode=2, width=30, height=200, check=0x12345678, parameters=b"\x05"),
    [Section(SectionKind.ICC, b"icc"), Section(SectionKind.DATA, b"data"), Section(0, b"")],
)


@quick
@given(headers, sections)
def test_read_undoes_write(header: Header, parts: list[Section]) -> None:
    data = write(header, parts)
    contents = read(data, limits)
    assert contents.header == header
    assert list(contents.sections) == parts
    assert list(contents.table) == [(part.kind, len(part.payload)) for part in parts]
    assert not contents.truncated


members = st.lists(st.builds(write, headers, sections), min_size=1, max_size=4)


@quick
@given(members, st.binary(max_size=9))
def test_unpacking_undoes_packing_of_members(files: list[bytes], tail: bytes) -> None:
    files = [*files, files[-1]]  # with the parameters of the one before
    packed, before = b"", None
    for file in files:
        contents = read(file, limits)
        packed += pack_member(contents, before)
        before = contents.header.parameters
    found, position, before = [], 0, None
    for _ in files:
        file, before, position = unpack_member(packed + tail, position, before)
        found.append(file)
    assert (found, packed[position:]) == (files, b"")


@quick
@given(st.builds(write, headers, sections), st.data())
def test_a_cut_member_is_an_error(file: bytes, data: st.DataObject) -> None:
    packed = pack_member(read(file, limits), None)
    cut = data.draw(st.integers(0, len(packed) - 1))
    with pytest.raises(TruncatedError):
        unpack_member(packed[:cut], 0, None)


def test_a_first_member_has_parameters() -> None:
    contents = read(SMALL)
    with pytest.raises(CorruptError, match="parameters"):
        unpack_member(pack_member(contents, contents.header.parameters), 0, None)


@quick
@given(headers, sections, st.data())
def test_a_prefix_holds_the_whole_sections(
    header: Header, parts: list[Section], data: st.DataObject
) -> None:
    whole = write(header, parts)
    ends = read(whole, limits).ends()
    length = data.draw(st.integers(0, len(whole)))
    if length < ends[0]:
        with pytest.raises(TruncatedError):
            read(whole[:length], limits)
        return
    contents = read(whole[:length], limits)
    count = sum(end <= length for end in ends[1:])
    assert contents.header == header
    assert list(contents.sections) == parts[:count]
    assert contents.truncated == (count < len(parts))
    assert contents.ends() == ends


def test_every_prefix_of_a_small_file() -> None:
    complete = read(SMALL)
    for length in range(len(SMALL)):
        if length < complete.start:
            with pytest.raises(TruncatedError):
                read(SMALL[:length])
            continue
        contents = read(SMALL[:length])
        count = sum(end <= length for end in complete.ends()[1:])
        assert contents.truncated
        assert list(contents.sections) == list(complete.sections)[:count]


def test_every_change_of_one_byte_is_an_error() -> None:
    for position in range(len(SMALL)):
        for flip in range(1, 256):
            damaged = bytearray(SMALL)
            damaged[position] ^= flip
            with pytest.raises(NoisepressError):
                read(bytes(damaged))


@quick
@given(headers, sections, st.binary(min_size=1, max_size=10))
def test_bytes_behind_the_last_section_are_an_error(
    header: Header, parts: list[Section], tail: bytes
) -> None:
    with pytest.raises(CorruptError, match=f"{len(tail)} bytes follow"):
        read(write(header, parts) + tail, limits)


@quick
@given(sections, st.integers(0, 500))
def test_truncate(parts: list[Section], limit: int) -> None:
    data = write(Header(codec=0, mode=0, width=1, height=1, check=0), parts)
    ends = read(data).ends()
    if limit < ends[1]:
        with pytest.raises(TruncatedError):
            truncate(data, limit)
        return
    cut = truncate(data, limit)
    assert len(cut) == max(end for end in ends if end <= limit)
    assert cut == data[: len(cut)]
    assert list(read(cut).sections) == parts[: ends.index(len(cut))]
    assert truncate(cut, limit) == cut


@given(st.binary(max_size=100))
@quick
def test_other_bytes_are_an_error(data: bytes) -> None:
    with pytest.raises(NoisepressError):
        read(data)
