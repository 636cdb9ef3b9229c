"""A part of a file is never taken for the whole: what is raised, warned of, and reported."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from common import one_line, picture, raster

import noisepress
from noisepress import CorruptError, TruncatedError, TruncatedWarning
from noisepress.bitstream.container import read, write
from noisepress.codec.image.raster import Mode

GOLDEN = Path(__file__).parents[1] / "golden" / "codec"
MODELS = [str(path) for path in sorted(GOLDEN.glob("*.safetensors"))]
KEPT: dict[str, Any] = {"icc": b"profile" * 9, "exif": b"II*\0\x08\0\0\0\0\0", "xmp": b"<x/>"}


@pytest.fixture
def how(lattice_model: str) -> dict[str, Any]:
    """How to decode `whole`."""
    return {"model": lattice_model}


@pytest.fixture(scope="module")
def whole(lattice_model: str) -> bytes:
    """A lossless file of every kind of section that may be cut off."""
    image = raster(Mode.RGBA8, 40, 50, **KEPT)
    return noisepress.encode(image, fallback=False, model=lattice_model)


@pytest.fixture(scope="module")
def lossy() -> bytes:
    image = raster(Mode.RGBA8, 40, 33, **KEPT)
    return noisepress.encode(image, "hfd", quality=20)


def parts(data: bytes) -> Iterator[bytes]:
    """Beginnings of a file that have a picture, and end in every section."""
    contents = read(data)
    first = contents.useful_ends()[0]
    for end in contents.ends()[1:]:
        for size in (end - 5, end):
            if first <= size < len(data):
                yield data[:size]


def test_a_cut_lossless_file_raises_wherever_it_is_cut(whole: bytes, how: dict[str, Any]) -> None:
    found = set()
    for part in parts(whole):
        for call in (noisepress.decode, noisepress.decode_raster):
            with pytest.raises(TruncatedError, match=r"partial=True \(--partial\)") as error:
                call(part, **how)
            found.add(one_line(error).split("missing: ")[1].split(";")[0])
    assert found == {
        "pixels, opacity, ICC profile, EXIF, XMP",
        "opacity, ICC profile, EXIF, XMP",
        "ICC profile, EXIF, XMP",
        "EXIF, XMP",
        "XMP",
    }


def test_a_part_that_is_asked_for_says_what_is_missing(whole: bytes, how: dict[str, Any]) -> None:
    complete = noisepress.decode_raster(whole, **how)
    assert complete.missing == () == noisepress.inspect(whole).missing
    for part in parts(whole):
        with pytest.warns(TruncatedWarning, match="the file was cut") as caught:
            found = noisepress.decode_raster(part, partial=True, **how)
        assert len(caught) == 1 and caught[0].filename == __file__
        assert found.missing and found.missing == noisepress.inspect(part).missing
        assert all(name in str(caught[0].message) for name in found.missing)
        if "pixels" not in found.missing and "opacity" not in found.missing:
            np.testing.assert_array_equal(found.samples, complete.samples)


@pytest.mark.parametrize("name", [path.name for path in GOLDEN.glob("*.nzp")])
def test_every_codec(name: str) -> None:
    """The last byte cut: lossless files raise, others say so; either way it is not silent."""
    if name.endswith("_archive.nzp"):
        pytest.skip("an archive")
    data = (GOLDEN / name).read_bytes()
    with pytest.raises((TruncatedError, TruncatedWarning)):
        noisepress.decode(data[:-1], model=MODELS)


def test_every_warning_is_shown(whole: bytes, how: dict[str, Any]) -> None:
    """Also of two files that are cut at the same place, in the same line of a program."""
    with pytest.warns(TruncatedWarning) as caught:
        for _ in range(3):
            noisepress.decode(whole[:-1], partial=True, **how)
    assert len(caught) == 3


def test_previews_of_a_cut_file_end_with_the_error(whole: bytes, how: dict[str, Any]) -> None:
    part = whole[: read(whole).ends()[2]]
    shown = []
    with pytest.raises(TruncatedError, match="missing: opacity"):
        for preview in noisepress.decode_progressive(part, **how):
            shown.append(preview)
    with pytest.warns(TruncatedWarning):
        asked = list(noisepress.decode_progressive(part, partial=True, **how))
    assert len(shown) == len(asked) == 2
    np.testing.assert_array_equal(shown[-1], asked[-1])


def test_a_cut_lossy_file_is_a_picture_and_says_so(lossy: bytes) -> None:
    for part in parts(lossy):
        with pytest.warns(TruncatedWarning, match="missing: ") as caught:
            found = noisepress.decode_raster(part)
        assert found.missing == noisepress.inspect(part).missing
        assert all(name in str(caught[0].message) for name in found.missing)
        assert "opacity" not in found.missing or (found.samples[..., 3] == 255).all()


def test_of_a_damaged_file_everything_before_the_damage(whole: bytes, how: dict[str, Any]) -> None:
    ends = read(whole).ends()
    for section, end in enumerate(ends[1:]):
        bad = bytearray(whole)
        bad[end - 5] ^= 4
        with pytest.raises(CorruptError, match=f"section {section + 1}"):
            noisepress.decode(bytes(bad), **how)
        if section:
            with pytest.warns(TruncatedWarning, match="is damaged") as caught:
                found = noisepress.decode(bytes(bad), partial=True, **how)
            with pytest.warns(TruncatedWarning, match="was cut"):
                cut = noisepress.decode(whole[: ends[section]], partial=True, **how)
            np.testing.assert_array_equal(found, cut)
            assert len(caught) == 1


def test_samples_that_are_all_there_are_checked_although_the_file_is_cut(
    whole: bytes, how: dict[str, Any]
) -> None:
    contents = read(whole)
    header = replace(contents.header, check=contents.header.check ^ 1)
    forged = write(header, contents.sections)
    with pytest.raises(CorruptError, match="checksum"), pytest.warns(TruncatedWarning):
        noisepress.decode(forged[:-1], partial=True, **how)


def test_an_archive_that_was_cut_says_which_groups_it_lacks() -> None:
    images = [(str(index), picture(9, 9, seed=index)) for index in range(3)]
    data = noisepress.archive(images, "png", group=1)
    assert noisepress.Archive(data).cut == ()
    assert noisepress.Archive(data[:-1]).cut == (2,)


def run(*args: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "noisepress", *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True)


def test_on_the_command_line(
    whole: bytes, lossy: bytes, lattice_model: str, tmp_path: Path
) -> None:
    files: dict[str, Any] = {"a.nzp": whole[:-1], "b.nzp": whole[:-1], "c.nzp": lossy[:-1]}
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    paths = [tmp_path / name for name in files]
    strict = run("decode", *paths, "--model", lattice_model)
    assert strict.returncode == 1
    for name, line in zip(files, strict.stderr.splitlines(), strict=True):
        assert f"{name}: the file was cut" in line
    assert not (tmp_path / "a.png").exists() and (tmp_path / "c.png").exists()
    asked = run("decode", *paths[:2], "--partial", "--model", lattice_model)
    assert asked.returncode == 0
    assert [line.count("missing: XMP") for line in asked.stderr.splitlines()] == [1, 1]
