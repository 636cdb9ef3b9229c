"""The specification says what the code does."""

from __future__ import annotations

import ast
import inspect
import math
import re
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from noisepress.bitstream import (
    _bands,
    _contexts,
    _mixing,
    _wavelet,
    bands,
    coders,
    contexts,
    entropy,
    errors,
    mixing,
    noise,
    wavelet,
)
from noisepress.bitstream.container import (
    COMMON,
    ENTRY,
    FIRST_SKIPPABLE,
    MAGIC,
    TABLE,
    VERSION,
    Limits,
    SectionKind,
)
from noisepress.bitstream.header import Field
from noisepress.codec import about, archive, registry
from noisepress.codec.ardm import codec as ardm
from noisepress.codec.ardm import conversions
from noisepress.codec.ardm.lattice import _BEFORE, _BESIDE, EARLIER, LANES_FROM, NEIGHBOURHOODS
from noisepress.codec.diffc import codec as diffc
from noisepress.codec.frames import codec as frames
from noisepress.codec.hfd import codec as hfd
from noisepress.codec.hfd import first_stage, stages
from noisepress.codec.image import reduction
from noisepress.codec.jpegfile import codec as jpegfile
from noisepress.codec.protocol import Codec
from noisepress.codec.screen import codec as screen
from noisepress.codec.vdm import bits_back
from noisepress.codec.vdm import codec as vdm
from noisepress.models import unet
from noisepress.models import wavelet as models_wavelet
from noisepress.models.lattice import PHASES

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "format.md").read_text(encoding="utf-8")


def part(heading: str) -> str:
    """The text between a heading and the next."""
    after = TEXT.split(f"\n{heading}\n", 1)[1]
    return re.split(r"^#+ ", after, maxsplit=1, flags=re.MULTILINE)[0]


def chapter(number: int, name: str) -> str:
    """The chapter of a codec."""
    return TEXT.split(f"\n## Codec {number}: `{name}`\n", 1)[1].split("\n## ", 1)[0]


def cells(text: str) -> list[list[str]]:
    """The rows of a part's table, without its head."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def described(fields: Sequence[Field]) -> list[list[str]]:
    return [[f"`{f.name}`", f.kind, f"{f.low} to {f.high}", f.doc] for f in fields]


@pytest.mark.parametrize(
    ("heading", "fields"),
    [
        ("### Fields", COMMON),
        ("### Section table", TABLE + ENTRY),
        ("### Details", vdm.DETAILS),
        ("### Index", archive.INDEX),
        ("### Stacks", about.ANIMATION + about.DURATION),
        ("## Reduction", reduction.FIELDS),
    ],
)
def test_fields(heading: str, fields: Sequence[Field]) -> None:
    assert cells(part(heading))[: len(fields)] == described(fields)


@pytest.mark.parametrize(
    ("codec", "fields"),
    [
        (ardm.ArdmCodec(), ardm.FIELDS),
        (diffc.DiffcCodec(), diffc.FIELDS),
        (vdm.VdmCodec(), vdm.FIELDS),
        (frames.FramesCodec(), frames.FIELDS),
        (hfd.HfdCodec(), hfd.FIELDS),
        (jpegfile.JpegFileCodec(), jpegfile.FIELDS),
        (screen.ScreenCodec(), screen.FIELDS),
    ],
)
def test_parameters(codec: Codec, fields: Sequence[Field]) -> None:
    table = chapter(codec.ID, codec.NAME).split("\n### Parameters\n", 1)[1].split("\n### ", 1)[0]
    assert cells(table) == described(fields)


def test_conversions_of_planes() -> None:
    """The factors of the table give the code's tables, by the formulas of the text."""
    levels = np.arange(256)
    rows = cells(part("### Source planes"))
    assert [row[:2] for row in rows] == [
        [str(number), f"`{name}`"] for number, name in enumerate(conversions.NAMES) if number
    ]
    for row, conversion in zip(rows, conversions.CONVERSIONS, strict=True):
        if row[2] == "see below":
            continue
        offset, *factors = map(int, row[3:])
        signs = (1, 1, -1, -1, 1)
        sides = [levels - offset, *4 * [levels - 128]]
        products = [s * f * x for s, f, x in zip(signs, factors, sides, strict=True)]
        if row[2] == "floored":
            products = [8 * product >> 16 for product in products]
        else:
            products[0] += 2**15
        expected = [s * product for s, product in zip(signs, products, strict=True)]
        np.testing.assert_array_equal(conversion.table, expected)
        assert conversion.divisor == (1 if row[2] == "floored" else 2**16)


def test_every_codec_has_a_chapter() -> None:
    headings = "".join(re.findall(r"^## Codecs? (.*)$", TEXT, re.MULTILINE))
    for codec in registry.CODECS:
        assert str(codec.ID) in headings and f"`{codec.NAME}`" in headings


def test_section_kinds() -> None:
    behaviours = ("refuses the file", "skips it")
    expected = [
        [str(int(kind)), f"`{kind.name}`", behaviours[kind >= FIRST_SKIPPABLE]]
        for kind in SectionKind
    ]
    assert cells(part("### Section kinds")) == expected
    assert f"Kinds from {FIRST_SKIPPABLE} up are skippable" in part("### Section kinds")


def test_magic_version_and_limits() -> None:
    assert f"`{MAGIC.hex(' ').upper()}`" in part("## Layout")
    assert f"The version, one byte: {VERSION}." in part("## Layout")
    assert TEXT.startswith(f"# The .nzp format, version {VERSION}\n")
    conditions = " ".join(row[0] for row in cells(part("## Errors")))
    assert f"({Limits().pixels} unless" in conditions
    assert f"({Limits().header} unless" in conditions
    assert f"below {FIRST_SKIPPABLE} is unknown" in conditions


def test_errors_exist() -> None:
    rows = cells(part("## Errors"))
    assert len(rows) >= 11
    for row in rows:
        for name in row[1].split(", "):
            assert issubclass(getattr(errors, name.strip("`")), errors.NoisepressError)


def test_numbers_of_the_entropy_models() -> None:
    text = part("### Logistic mixtures")
    assert f"in 1/{entropy.LOGIT_UNITS} octave ({entropy.LOGIT_UNITS} more" in text
    assert f"in 1/{entropy.LOCATION_UNITS} of a level" in text
    assert f"in 1/{entropy.SCALE_UNITS} octave ({entropy.SCALE_UNITS} more" in text
    assert f"clamped to {entropy.SCALE_LOW} .. {entropy.SCALE_HIGH}" in text
    assert f"0x{entropy._LOGISTIC_CRC:08X}" in text
    assert f"0x{entropy._NORMAL_CRC:08X}" in part("### Normal mixtures")
    assert f"0x{bits_back._TABLE_CRC:08X}" in part("### The chain")
    assert f"0x{noise._TABLE_CRC:08X}" in part("## Shared random numbers")
    assert f"`{coders.Stack().seal().hex(' ')}`" in part("### Stack")


def constants(module: ModuleType) -> dict[str, object]:
    """The constants that a module has of its own, without a leading underscore."""
    assigned = [
        target
        for statement in ast.parse(inspect.getsource(module)).body
        if isinstance(statement, ast.Assign)
        for target in ast.walk(statement)
        if isinstance(target, ast.Name) and isinstance(target.ctx, ast.Store)
    ]
    values = {target.id.lstrip("_"): getattr(module, target.id) for target in assigned}
    return {name: value for name, value in values.items() if name.isupper()}


def assert_constants(heading: str, of_modules: dict[str, object], in_words: set[str]) -> None:
    """A table has the numbers that modules have as constants, except those that stand in words."""
    rows = {name.strip("`"): value for name, value, _ in cells(part(heading))}
    numbers = {name: tuple(map(float, value.split(", "))) for name, value in rows.items()}
    assert numbers == {
        name: tuple(map(float, value if isinstance(value, tuple) else (value,)))
        for name, value in of_modules.items()
        if name not in in_words and isinstance(value, int | float | tuple)
    }


def test_constants_of_screen() -> None:
    of_modules = constants(contexts) | constants(_contexts)
    in_words = {"CRC", "MULTIPLIER", "MAPS", "PREDICTIONS", "PAGE_CONTEXTS", "PAGE_MATCHES"}
    in_words |= {"FLAG_CONTEXTS", "LEVEL_CONTEXTS"}
    assert_constants("### Constants of screen", of_modules, in_words)
    text = " ".join(chapter(screen.ScreenCodec.ID, screen.ScreenCodec.NAME).split())
    assert f"0x{contexts._CRC:08X}" in text
    assert f"M = 0x{int(_contexts._MULTIPLIER):X}" in text
    assert (_contexts.MAPS, _contexts.PREDICTIONS) == (2, 5)
    assert "Each of two maps" in text and "The five predictions" in text
    for count in (contexts._FLAG_CONTEXTS, contexts._LEVEL_CONTEXTS):
        assert len(re.findall(rf", {count}\)", text)) >= 1
    shapes = [" ".join(f"({a},{b})" for a, b in shape) for shape in contexts._PAGE_CONTEXTS]
    matches = [" ".join(f"({a},{b})" for a, b in shape) for shape in contexts._PAGE_MATCHES]
    assert [row[1] for row in cells(part("### Pages"))] == shapes + matches


def test_constants_of_online_mixing() -> None:
    in_words = {"CRC", "MULTIPLIER", "SECOND_MULTIPLIER", "DISTRIBUTIONS"}
    in_words |= {"SHAPED", "FITTED", "RECENT", "COUNTED", "MAPS", "COLUMNS", "COUNTED_BEFORE"}
    assert_constants("#### Constants", constants(mixing) | constants(_mixing), in_words)
    words = (
        _mixing.SHAPED,
        _mixing.FITTED,
        _mixing.RECENT,
        _mixing.COUNTED,
        _mixing.MAPS,
    )
    assert words == (3, 2, 2, 5, 2)
    text = " ".join(chapter(ardm.ArdmCodec.ID, ardm.ArdmCodec.NAME).split())
    assert "maps two maps" in text and "recent two tables" in text
    assert "counts five tables" in text
    assert f"LANES_FROM = {LANES_FROM}" in text
    assert f"0x{mixing._CRC:08X}" in text
    assert f"* 0x{int(_mixing._MULTIPLIER):X} mod 2^64, H(a, b, .., z)" in text
    assert f"absolute) * 0x{int(_mixing._SECOND_MULTIPLIER):X} mod 2^64" in text
    counts = {name: len(table) for name, table in mixing.exact_tables()._asdict().items()}
    tables = part("#### Tables")
    for name, count in counts.items():
        assert re.search(rf"^{name}\[i\] += .* i = 0 \.\. {count - 1}$", tables, re.MULTILINE), name


def written(offsets: Sequence[tuple[int, int]], separator: str = " ") -> str:
    return separator.join(f"({row},{column})" for row, column in offsets)


def test_mixing_of_frames() -> None:
    text = part("### Mixing of frames")
    offsets = (EARLIER.latest, EARLIER.beside, EARLIER.second)
    assert [row[1] for row in cells(text)] == list(map(written, offsets))
    own, others = len(EARLIER.latest) + len(EARLIER.second), len(EARLIER.beside)
    assert f"A memory has {own} + {others} c regressors more" in text
    assert _mixing.COUNTED_BEFORE == 2 and "two more tables of `counts`" in text


def test_neighbours_of_online_mixing() -> None:
    text = part("#### Neighbours")
    own = [offset.further[-len(_BEFORE) :] for offset in NEIGHBOURHOODS]
    assert own == [_BEFORE] * len(PHASES)
    assert cells(text) == [
        [name, written(phase.nearest), written(phase.further[: -len(_BEFORE)])]
        for name, phase in zip(PHASES, NEIGHBOURHOODS, strict=True)
    ]
    words = " ".join(text.split())
    assert f"{written(_BEFORE, ', ')}, in this order" in words
    assert f"channels are {written(_BESIDE, ', ')} and then the nearest" in words
    for phase in NEIGHBOURHOODS:
        assert phase.others == (*_BESIDE, *phase.nearest)
        assert max(abs(step) for offset in phase.further for step in offset) <= _mixing.PAD


def test_constants_of_hfd() -> None:
    of_modules = constants(bands) | constants(_bands) | {"DEPTH": wavelet.DEPTH}
    in_words = {"CRC", "LESSON_CRC", "SMOOTH", "SIZES", "SIGN_SIZES", "MAPS", "ROWS", "MAP_ROWS"}
    in_words |= {"FULL", "FREE_CONTEXTS"}
    of_encoders = {"WEIGHT", "SIGN_WEIGHT", "NEXT", "NEAR", "WORTH", "RUN"}
    assert_constants("### Constants of hfd", of_modules, in_words | of_encoders)
    assert (_bands.SMOOTH, _bands.MAPS) == (3, 2)


def test_numbers_of_hfd() -> None:
    text = " ".join(chapter(hfd.HfdCodec.ID, hfd.HfdCodec.NAME).split())
    for crc in (bands._CRC, bands._LESSON_CRC, wavelet._CRC):
        assert f"0x{crc:08X}" in text
    assert _wavelet.LARGEST == 2**26 and "LARGEST = 2^26" in text and wavelet.ONE_LEVEL == 64
    assert f"({_wavelet.SHRINKAGE} x[i] + 2^19) >> 20 for even i, ({_wavelet.GROWTH} x[i]" in text
    lifts = re.findall(r"x\[i\] \+= \( *(-?\d+) \(", text)
    assert [-int(lift) for lift in reversed(lifts)] == list(_wavelet.LIFTING)
    assert f"at most {first_stage.SECTIONS} DATA sections" in text
    rows = {row[0]: row for row in cells(part("### Coefficients"))}
    for number, size in enumerate(_bands.SIZES, 1):
        _, digits, decisions = rows[str(number)]
        assert math.prod(int(digit.split()[-1]) for digit in digits.split(", ")) == size
        free = number - 1 in bands._FREE_CONTEXTS
        assert int(decisions) == (_bands.DECISIONS if free else _bands.CAPPED)
    shapes = {
        name: ", ".join(map(str, part.shape)) for name, part in bands.untaught()._asdict().items()
    }
    table = {row[0].strip("`"): row[1] for row in cells(part("### Slots and lesson"))}
    assert table == shapes
    assert f"at the log-SNR {unet.RESTORING_LOGSNR} in nats" in text
    assert f"at the log-SNR {unet.SCORE_LOGSNR_MIN}," in text
    for step in (4.0, 70.0, 400.0):
        level = float(models_wavelet.known_level(torch.tensor(step)))
        assert level == pytest.approx(-math.log((4 / 255) ** 2 * 0.2 * step**1.22), abs=1e-4)
    least, most = models_wavelet.TRAINED_STEPS
    assert "-ln((4 / 255)^2 0.2 s^1.22), s the step in levels" in text
    assert f"at least {least:.0f} and at most {most:.0f}" in text
    drawn, first = stages.DETAIL, 1 - stages.DETAIL
    assert f"{drawn} times the sampled image and {first} times the `mmse` picture" in text


def test_hex_dump_is_the_golden_file() -> None:
    dump = part("## Hex dump")
    name = re.search(r"`(tests/golden/\S+\.nzp)`", dump)
    assert name is not None
    data = b""
    lines = dump.split("```")[1].strip().splitlines()
    for line in lines:
        found = re.fullmatch(r"([0-9a-f]{6})  ((?:[0-9a-f]{2} )+) +(\S.*)", line)
        assert found is not None, line
        assert int(found[1], 16) == len(data), line
        data += bytes.fromhex(found[2])
    assert data == (ROOT / name[1]).read_bytes()
