"""What every codec does with files that are damaged, forged or nonsense.

They are refused by an error of one line. Where checksums are right, as those of a hostile writer
are, a lossy file may also give another picture, and a lossless one the same samples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from battery.cases import BUNDLED, Case
from common import one_line, raster

import noisepress
from noisepress.bitstream import container
from noisepress.bitstream.container import Header, Section, SectionKind, read, write
from noisepress.bitstream.errors import LimitError, ModelError, NoisepressError
from noisepress.bitstream.header import UINT32, Field, unpack, write_varint
from noisepress.codec.image.raster import Mode, Raster

LIMITS = noisepress.Limits(pixels=2**13)
"""Small, so that forged sizes cost no time."""

COUNT = 40
"""Number of damaged files that a test decodes, of all that it could make."""


def small(case: Case) -> tuple[Raster, bytes]:
    """An image with everything that a file can hold, and its file."""
    mode = Mode.RGBA8 if Mode.PALETTE8 not in case.modes else Mode.PALETTE8
    options = {} if case.lossless else {"quality": 5}
    image = raster(mode, 7, 9, icc=b"profile", exif=b"II*\0", xmp=bytes(90))
    return image, case.encode(image, **options)


def assert_refused_or_harmless(data: bytes, image: Raster, case: Case) -> str:
    """The error's text if decoding fails, which it may; else the picture must be an allowed one."""
    try:
        found = case.raster(data, limits=LIMITS)
    except NoisepressError as error:
        return one_line(error)
    header = read(data).header
    if case.lossless:
        np.testing.assert_array_equal(found.samples, image.samples)
    else:
        assert found.samples.dtype == np.uint8
        assert found.samples.shape == (header.height, header.width, Mode(header.mode).channels)
    return ""


def assert_refused(data: bytes, case: Case) -> NoisepressError:
    with pytest.raises(NoisepressError) as error:
        case.raster(data, limits=LIMITS)
    one_line(error)
    return error.value


# Without good checksums ----------------------------------------------------------------------


def damaged(data: bytes) -> Iterator[bytes]:
    """Files with one byte changed: a bit flipped, set to 0, 255 or the next value; or doubled."""
    for at, byte in enumerate(data):
        values = {byte ^ 1 << bit for bit in range(8)} | {0, 255, byte ^ 255, (byte + 1) % 256}
        for value in values - {byte}:
            yield data[:at] + bytes([value]) + data[at + 1 :]
        yield data[:at] + data[at : at + 1] + data[at:]


def test_every_damaged_byte_is_noticed(case: Case) -> None:
    """By every function that reads the whole file."""
    _, data = small(case)
    calls: list[Callable[[bytes], object]] = [
        case.decode,
        noisepress.inspect,
        lambda bad: noisepress.truncate(bad, len(bad)),
    ]
    for number, bad in enumerate(damaged(data)):
        for call in calls if number % 7 == 0 else calls[:1]:
            try:
                call(bad)
            except NoisepressError as error:
                one_line(error)
            else:
                raise AssertionError(f"damage {number} was not noticed")


def test_an_image_is_no_archive(case: Case) -> None:
    _, data = small(case)
    for bad in (data, data[:30], b"", data[1:]):
        with pytest.raises(NoisepressError) as error:
            noisepress.Archive(bad)
        one_line(error)


@pytest.mark.parametrize("size", [0, 1, 8, 9, 10, 40, 300])
def test_random_bytes_are_refused(size: int, case: Case) -> None:
    _, data = small(case)
    noise = np.random.default_rng(size).bytes(size)
    for start in (0, 9, 10):  # the magic bytes and the version, or a byte more
        if size + start:
            assert_refused(data[:start] + noise, case)


# Behind good checksums -----------------------------------------------------------------------


def packed(fields: Sequence[Field], values: Sequence[int]) -> bytes:
    """Header bytes of values, in range or not."""
    return b"".join(
        value.to_bytes(4, "little") if field.kind == UINT32 else write_varint(value)
        for field, value in zip(fields, values, strict=True)
    )


def strange(field: Field, value: int, rng: np.random.Generator) -> list[int]:
    """Other values of a field: its ends, beyond, near, and random."""
    most = 2**32 - 1 if field.kind == UINT32 else 2**63 - 1
    near = {value - 1, value + 1, value ^ 1, value * 2, value ^ 128}
    ends = {0, 1, field.low - 1, field.low, field.high, field.high + 1, most}
    drawn = set(map(int, rng.integers(field.low, field.high, 3, endpoint=True)))
    return sorted(other for other in near | ends | drawn if 0 <= other <= most and other != value)


def test_every_field_of_the_codecs_header_is_checked(case: Case) -> None:
    image, data = small(case)
    contents = read(data)
    values, end = unpack(case.fields, contents.header.parameters, 0)
    assert end == len(contents.header.parameters)
    rng = np.random.default_rng(0)
    for index, field in enumerate(case.fields):
        for value in strange(field, values[field.name], rng):
            forged = [*values.values()]
            forged[index] = value
            header = replace(contents.header, parameters=packed(case.fields, forged))
            bad = write(header, contents.sections)
            if not field.low <= value <= field.high:
                text = str(assert_refused(bad, case))
                assert f"{field.name} is {value}" in text or "left over" in text
                with pytest.raises(NoisepressError):
                    noisepress.inspect(bad)
            elif field.name.split()[-1] in ("model", "coarse", "digest"):
                assert isinstance(assert_refused(bad, case), ModelError)
            else:
                assert_refused_or_harmless(bad, image, case)


def test_every_common_field_is_checked(case: Case) -> None:
    image, data = small(case)
    contents = read(data)
    header, rng = contents.header, np.random.default_rng(0)
    assert assert_refused_or_harmless(write(header, contents.sections), image, case) == ""
    for field in container.COMMON:
        value = getattr(header, field.name)
        others = strange(field, value, rng)
        if field.name in ("codec", "mode"):
            others = [other for other in range(64) if other != value]
        for other in others:
            change: dict[str, Any] = {field.name: other}
            if not field.low <= other <= field.high:
                with pytest.raises(NoisepressError):
                    write(replace(header, **change), contents.sections)
                continue
            bad = write(replace(header, **change), contents.sections)
            if field.name == "codec" or (field.name == "mode" and other not in case.modes):
                assert_refused(bad, case)
            elif field.name == "check" and case.lossless:
                assert "checksum" in str(assert_refused(bad, case))
            else:
                assert_refused_or_harmless(bad, image, case)
    turned = replace(header, width=header.height, height=header.width)
    assert_refused(write(turned, contents.sections), case)
    huge = write(replace(header, width=2**24, height=2**24), contents.sections)
    with pytest.raises(LimitError):
        case.decode(huge)


Change = Callable[[Header, list[Section]], tuple[Header, list[Section]]]


def with_parameters(change: Callable[[bytes], bytes]) -> Change:
    return lambda h, s: (replace(h, parameters=change(h.parameters)), s)


def with_first(payload: bytes) -> Change:
    return lambda h, s: (h, [Section(SectionKind.DATA, payload), *s[1:]])


def without(kind: SectionKind, *instead: bytes) -> Change:
    return lambda h, s: (
        h,
        [
            *(section for section in s if section.kind != kind),
            *(Section(kind, data) for data in instead),
        ],
    )


REFUSED: dict[str, Change] = {
    "more parameters": with_parameters(lambda parameters: parameters + b"\0"),
    "no data": without(SectionKind.DATA),
    "zeros for data": with_first(bytes(500)),
    "ones for data": with_first(b"\xff" * 500),
    "damaged profile": without(SectionKind.ICC, b"\1damaged"),
    "strange profile": without(SectionKind.ICC, b"\7profile"),
    "endless profile": without(SectionKind.ICC, b"\1x\xda"),
    "unknown section": lambda h, s: (h, [*s, Section(63, b"")]),
}
OF_FIELDS: dict[str, Change] = {
    "no parameters": with_parameters(lambda _: b""),
    "cut parameters": with_parameters(lambda parameters: parameters[:-1]),
    "padded parameters": with_parameters(lambda parameters: b"\x80\0" + parameters[1:]),
}
OF_OPACITY: dict[str, Change] = {
    "empty opacity": without(SectionKind.ALPHA, b""),
    "strange opacity": without(SectionKind.ALPHA, b"\1" + bytes(90)),
    "opacity in an unknown way": without(SectionKind.ALPHA, b"\x9f" + bytes(9)),
    "wider": lambda h, s: (replace(h, width=h.width + 1), s),
    "much larger": lambda h, s: (replace(h, width=80, height=80), s),
}
OF_PALETTES: dict[str, Change] = {
    "no palette": without(SectionKind.PALETTE),
    "empty palette": without(SectionKind.PALETTE, b""),
    "cut palette": without(SectionKind.PALETTE, bytes([0, 200, 1, 2])),
}


def test_forged_files_are_refused(case: Case) -> None:
    image, data = small(case)
    contents = read(data)
    changes = REFUSED | (OF_FIELDS if case.fields else {})
    changes |= OF_OPACITY if image.mode.has_alpha and case.fields else {}
    changes |= OF_PALETTES if image.mode is Mode.PALETTE8 else {}
    accepted = []
    for name, change in changes.items():
        try:
            case.raster(write(*change(contents.header, list(contents.sections))), limits=LIMITS)
        except NoisepressError as error:
            one_line(error)
        else:
            accepted.append(name)
    assert not accepted


def reworked(sections: Sequence[Section], rng: np.random.Generator) -> Iterator[list[Section]]:
    """Each section left out, doubled, exchanged, of another kind; its payload cut and continued."""
    for at, (kind, payload) in enumerate((section.kind, section.payload) for section in sections):
        before, after = [*sections[:at]], [*sections[at + 1 :]]
        yield [*before, *after] or [Section(200, b"")]
        yield [*before, sections[at], sections[at], *after]
        yield [*after, sections[at], *before]
        for other in {*SectionKind, 3, 62, 67, 255} - {kind}:
            yield [*before, Section(other, payload), *after]
        for changed in (
            b"",
            payload[:1],
            payload[:-1],
            payload[: len(payload) // 2],
            payload + b"\0",
            payload * 2,
            rng.bytes(len(payload)),
            bytes(len(payload)),
        ):
            yield [*before, Section(kind, changed), *after]


def test_sections_that_do_not_belong_are_refused_or_harmless(case: Case) -> None:
    image, data = small(case)
    contents = read(data)
    rng = np.random.default_rng(0)
    changed = list(reworked(contents.sections, rng))
    refused = 0
    for index in np.linspace(0, len(changed) - 1, COUNT).astype(int):
        bad = write(contents.header, changed[index])
        refused += bool(assert_refused_or_harmless(bad, image, case))
    assert refused > COUNT // (5 if case in BUNDLED else 4)


def test_damaged_bytes_are_refused_or_harmless(case: Case) -> None:
    image, data = small(case)
    contents = read(data)
    sections, rng = contents.sections, np.random.default_rng(0)
    places = [
        (at, byte) for at, section in enumerate(sections) for byte in range(len(section.payload))
    ]
    for turn, (at, byte) in enumerate(rng.permutation(places)[:COUNT]):
        payload = bytearray(sections[at].payload)
        payload[byte] = (0, 255, (payload[byte] + 1) % 256, payload[byte] ^ 16)[turn % 4]
        changed = [*sections[:at], Section(sections[at].kind, bytes(payload)), *sections[at + 1 :]]
        assert_refused_or_harmless(write(contents.header, changed), image, case)


def test_random_data_are_refused_or_a_picture(case: Case) -> None:
    image, data = small(case)
    contents = read(data)
    rng = np.random.default_rng(0)
    outcomes = set()
    for size in (0, 1, 2, 3, 5, 9, 20, 50, 100, 200):
        sections = [
            Section(section.kind, rng.bytes(size)) if section.kind == SectionKind.DATA else section
            for section in contents.sections
        ]
        bad = write(contents.header, sections)
        outcomes.add(assert_refused_or_harmless(bad, image, case) == "")
    assert False in outcomes if case.lossless else True in outcomes
