"""Archives: what goes in comes out, group by group, whatever happens to the others."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from common import picture

import noisepress
from noisepress.bitstream.container import Section, SectionKind, outline, read, write
from noisepress.bitstream.errors import (
    CorruptError,
    NoisepressError,
    OptionError,
    TruncatedError,
    UnknownIdError,
    UnsupportedImageError,
)
from noisepress.codec.image.raster import Raster

IMAGES: list[tuple[str, Any]] = [
    ("first.png", picture(20, 30)),
    ("second.png", picture(70, 65, seed=1)),
    ("grey.png", picture(20, 30, 1, seed=2)),
    ("opacity.png", picture(20, 30, 4, seed=3)),
    ("last é.png", picture(1, 1, seed=4)),
]


@pytest.fixture(params=["png", "ardm", "frames", "vdm"])
def options(request: pytest.FixtureRequest, lattice_model: str, vdm_model: str) -> dict[str, Any]:
    """A codec with tiny models."""
    known: dict[str, dict[str, Any]] = {
        "png": {"codec": "png"},
        "ardm": {"codec": "ardm", "model": lattice_model},
        "frames": {"codec": "frames", "model": lattice_model},
        "vdm": {"codec": "vdm", "model": vdm_model, "coarse": lattice_model, "steps": 2},
    }
    return known[request.param]


def models(options: dict[str, Any]) -> list[str]:
    return [options[name] for name in ("model", "coarse") if name in options]


@pytest.mark.parametrize("group", [1, 2, 5, 100])
def test_everything_comes_out(group: int, options: dict[str, Any]) -> None:
    archive = noisepress.Archive(noisepress.archive(IMAGES, group=group, **options))
    assert [member.name for member in archive.members] == [name for name, _ in IMAGES]
    assert [member.group for member in archive.members] == [i // group for i in range(5)]
    shapes = [(member.height, member.width) for member in archive.members]
    assert shapes == [image.shape[:2] for _, image in IMAGES]
    assert [member.mode for member in archive.members] == ["RGB8", "RGB8", "L8", "RGBA8", "RGB8"]
    for name, image in IMAGES:
        found = archive.read(name, model=models(options))
        np.testing.assert_array_equal(found.reshape(image.shape), image)
    rasters = [
        raster
        for index in range(len(archive.groups))
        for raster in archive.read_group(index, model=models(options))
    ]
    for (_, image), raster in zip(IMAGES, rasters, strict=True):
        assert isinstance(raster, noisepress.Raster)
        np.testing.assert_array_equal(raster.samples, image)


def test_metadata_comes_out(options: dict[str, Any]) -> None:
    raster = Raster(picture(20, 30), noisepress.Mode.RGB8, icc=b"profile", xmp=b"<x/>")
    archive = noisepress.Archive(noisepress.archive([("a", raster)], **options))
    assert archive.read_group(0, model=models(options)) == [raster]


def test_a_damaged_group_is_named_and_the_others_are_read(options: dict[str, Any]) -> None:
    data = bytearray(noisepress.archive(IMAGES, group=2, **options))
    start, end = list(pairwise(outline(bytes(data)).ends()))[2]
    data[(start + end) // 2] ^= 1
    archive = noisepress.Archive(bytes(data))
    with pytest.raises(CorruptError, match=r"group 2 \(grey.png to opacity.png\): the checksum"):
        archive.read_group(1, model=models(options))
    with pytest.raises(CorruptError, match="group 2"):
        archive.read("opacity.png", model=models(options))
    for index in (0, 2):
        assert archive.read_group(index, model=models(options))


def test_a_cut_archive_gives_the_groups_before_the_cut(options: dict[str, Any]) -> None:
    data = noisepress.archive(IMAGES, group=2, **options)
    archive = noisepress.Archive(data[:-1])
    assert archive.read_group(0, model=models(options))
    with pytest.raises(TruncatedError, match=r"group 3 \(last é.png\): the file ends inside"):
        archive.read_group(2, model=models(options))


def test_vdm_shares_what_a_group_borrows(lattice_model: str, vdm_model: str) -> None:
    """One chain for all images is smaller than a chain for each."""
    options: dict[str, Any] = {"model": vdm_model, "coarse": lattice_model, "steps": 2}
    images = [(str(seed), picture(64, 64, seed=seed)) for seed in range(6)]
    together = noisepress.archive(images, "vdm", group=6, **options)
    alone = noisepress.archive(images, "vdm", group=1, **options)
    plain = read(noisepress.encode(images[0][1], "vdm", fallback=False, **options))
    assert plain.payloads(0)[-1][0] == 1  # too small to lend itself bits
    assert together != alone
    archive = noisepress.Archive(together)
    for name, image in images:
        found = archive.read(name, model=[vdm_model, lattice_model])
        np.testing.assert_array_equal(found, image)


def test_lossy_members_are_rendered_as_asked(unet_model: str) -> None:
    image = picture(32, 32, seed=5)
    archive = noisepress.Archive(noisepress.archive([("a", image)], "diffc", model=unet_model))
    smooth, natural = (
        archive.read("a", model=unet_model, render=render) for render in ("mmse", "flow")
    )
    assert smooth.shape == image.shape
    assert not np.array_equal(smooth, natural)


def test_progress_ends_at_all_samples(options: dict[str, Any]) -> None:
    seen: list[tuple[int, int]] = []
    noisepress.archive(
        IMAGES, group=2, progress=lambda done, total: seen.append((done, total)), **options
    )
    total = sum(image.size for _, image in IMAGES)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert seen[-1][1] == total
    assert seen[-1][0] >= 0.9 * total


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\\b", "c:d", "a\nb", "\0", "x" * 2000])
def test_names_that_could_leave_a_folder_are_refused(name: str) -> None:
    with pytest.raises(OptionError, match="cannot be a name"):
        noisepress.archive([(name, picture(20, 30))], "png")


def test_names_are_unique() -> None:
    with pytest.raises(OptionError, match="two images have the name a"):
        noisepress.archive(
            [("a", picture(20, 30)), ("b", picture(20, 30)), ("a", picture(20, 30, seed=1))], "png"
        )


def test_what_is_no_archive_is_refused() -> None:
    with pytest.raises(CorruptError, match="an image, not an archive"):
        noisepress.Archive(noisepress.encode(picture(20, 30), "png"))
    data = noisepress.archive(IMAGES, "png")
    for read_as_image in (noisepress.decode, noisepress.inspect, noisepress.verify):
        with pytest.raises(UnknownIdError, match="an archive"):
            read_as_image(data)
    with pytest.raises(UnsupportedImageError, match="at least one image"):
        noisepress.archive([], "png")
    with pytest.raises(UnsupportedImageError, match=r"^bad\.png: "):
        noisepress.archive([("bad.png", b"no image")], "png")
    with pytest.raises(OptionError, match="unknown codec"):
        noisepress.archive(IMAGES, "zip")
    with pytest.raises(OptionError, match="group is 0"):
        noisepress.archive(IMAGES, "png", group=0)
    with pytest.raises(OptionError, match="no image 'other'"):
        noisepress.Archive(data).read("other")


@pytest.mark.parametrize(
    ("place", "value", "says"),
    [(2, 1, "30 x 20, L8"), (3, 31, "31 x 20, RGB8"), (4, 19, "30 x 19, RGB8")],
)
def test_an_index_that_is_not_true_of_a_member_names_it(
    place: int, value: int, says: str, options: dict[str, Any]
) -> None:
    contents = read(noisepress.archive(IMAGES, group=2, **options))
    index = bytearray(contents.sections[0].payload)
    index[place] = value
    sections = [Section(SectionKind.INDEX, bytes(index)), *contents.sections[1:]]
    archive = noisepress.Archive(write(contents.header, sections))
    refusal = rf"first\.png has 30 x 20 pixels, RGB8; the index says {says}$"
    with pytest.raises(CorruptError, match=refusal):
        archive.read("first.png", model=models(options))
    with pytest.raises(CorruptError, match=refusal):
        archive.read_group(0, model=models(options))
    assert archive.read("second.png", model=models(options)).shape == (70, 65, 3)


def test_any_damage_is_an_error_or_harmless() -> None:
    data = noisepress.archive(IMAGES, "png", group=2)
    rng = np.random.default_rng(0)
    for position in rng.choice(len(data), 150, replace=False):
        broken = bytearray(data)
        broken[position] ^= int(rng.integers(1, 256))
        failed = 0
        try:
            archive = noisepress.Archive(bytes(broken))
        except NoisepressError as error:
            assert "\n" not in str(error)
            continue
        for index in range(3):
            try:
                archive.read_group(index)
            except NoisepressError as error:
                assert str(error).startswith(f"group {index + 1} ")
                failed += 1
        assert failed == 1
