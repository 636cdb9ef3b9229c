"""Frames that follow each other: exact, smaller than alone, and no worse where nothing is alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from common import raster, smooth
from mixing_twin import Reader, TwinMixer

from noisepress.bitstream.container import Contents, Header, Section, SectionKind
from noisepress.bitstream.errors import CorruptError
from noisepress.codec.ardm import coding as ardm_coding
from noisepress.codec.ardm import lattice, planes
from noisepress.codec.ardm.conversions import named
from noisepress.codec.frames.codec import MODES, Frames, FramesCodec, FramesParameters
from noisepress.codec.image.raster import Mode, Raster, Samples, mode_of
from noisepress.codec.protocol import Decoding, Encoded

CODEC = FramesCodec()


@pytest.fixture
def options(lattice_model: str) -> Frames:
    """Options with a tiny model."""
    return Frames(model=lattice_model)


def report(samples: float) -> None:
    """Progress that nobody looks at."""


def rasters(frames: Sequence[Samples]) -> list[Raster]:
    return [Raster(frame, mode_of(frame)) for frame in frames]


def moving(count: int, channels: int = 1, height: int = 45, width: int = 58) -> list[Samples]:
    """Frames of a texture that moves by a row each, with a little noise of its own."""
    rng = np.random.default_rng(3)
    texture = rng.integers(60, 200, (height + count, width, channels))
    return [
        (texture[i : i + height] + rng.integers(-1, 2, (height, width, channels))).astype(np.uint8)
        for i in range(count)
    ]


def contents(raster: Raster, encoded: Encoded, **changes: Any) -> Contents:
    """What a reader finds in the file of a frame."""
    header = Header(CODEC.ID, raster.mode, raster.width, raster.height, 0, encoded.parameters)
    table = [(part.kind, len(part.payload)) for part in encoded.sections]
    return Contents(replace(header, **changes), encoded.sections, table, 0)


def files(images: Sequence[Raster], options: Frames) -> list[Contents]:
    coded, details = CODEC.encode_group(images, options, report)
    assert not details
    return [contents(image, each) for image, each in zip(images, coded, strict=True)]


def decoded(found: Sequence[Contents], options: Frames) -> list[Samples]:
    return list(CODEC.decode_group(found, b"", Decoding(model=options.model), report))


def size(found: Contents) -> int:
    return sum(len(part.payload) for part in found.sections)


def starts(found: Sequence[Contents]) -> list[object]:
    return [CODEC.describe(each.header.parameters)["start"] for each in found]


def check(images: Sequence[Raster], options: Frames) -> list[Contents]:
    """The files of images, which decode to them."""
    found = files(images, options)
    for image, samples in zip(images, decoded(found, options), strict=True):
        np.testing.assert_array_equal(samples, image.samples)
        assert samples.dtype == image.samples.dtype
    return found


@pytest.mark.parametrize("mode", MODES)
def test_every_layout_comes_back(mode: Mode, options: Frames) -> None:
    check([raster(mode, 21, 34, seed) for seed in (1, 1, 2)], options)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("block", [16, 512])
def test_frames_are_smaller_after_others(channels: int, block: int, options: Frames) -> None:
    images = rasters(moving(4, channels))
    blocks = replace(options, block=block)
    found = check(images, blocks)
    assert starts(found) == ["anew", "after", "after", "after"]
    alone = [size(files([image], blocks)[0]) for image in images]
    assert size(found[0]) == alone[0]
    assert size(found[1]) < 0.95 * alone[1]
    assert size(found[3]) < 0.9 * alone[3]


@pytest.mark.parametrize(
    ("channels", "block", "deep"), [(1, 16, False), (3, 512, False), (1, 512, True)]
)
def test_frames_are_as_the_format_describes(
    channels: int, block: int, deep: bool, options: Frames, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = moving(4, channels, 13 if channels == 3 else 19, 37 if block == 16 else 18)
    images = rasters([frame.astype(np.uint16) * 300 for frame in frames] if deep else frames)
    found = files(images, replace(options, block=block))
    assert starts(found) == ["anew", "after", "after", "after"]
    monkeypatch.setattr(lattice, "Mixer", TwinMixer)
    monkeypatch.setattr(ardm_coding, "BinaryDecoder", Reader)
    for image, samples in zip(images, decoded(found, options), strict=True):
        np.testing.assert_array_equal(samples, image.samples)


def test_a_cut_costs_nothing(options: Frames) -> None:
    images = rasters([*moving(2), *(smooth(45, 58, 1, seed, noise=0.5) for seed in (5, 6))])
    found = check(images, options)
    assert starts(found) == ["anew", "after", "anew", "anew"]
    for image, each in zip(images[2:], found[2:], strict=True):
        assert size(each) == size(files([image], options)[0])


def test_images_of_other_sizes_and_layouts_start_anew(options: Frames) -> None:
    first, second = moving(2)
    images = rasters([first, second, second[:, :50], np.repeat(second, 3, 2), first[:1, :1]])
    assert starts(check(images, options)) == ["anew", "after", "anew", "anew", "anew"]


def test_source_planes_of_all_frames_are_the_same(options: Frames) -> None:
    conversion = named("bt601-limited")
    images = rasters([planes.join(smooth(80, 70, 3, 1) + i, conversion) for i in range(3)])
    images[1].samples[3] = np.random.default_rng(0).integers(1, 255, (70, 3))  # most have no planes
    found = check(images, options)
    words = [CODEC.describe(each.header.parameters)["planes"] for each in found]
    assert words == ["bt601-limited"] * 3
    kinds = [{part.kind for part in each.sections} for each in found]
    assert [SectionKind.EXCEPTIONS in kind for kind in kinds] == [False, True, False]


def test_values_of_16_bits_are_stored_once(options: Frames) -> None:
    images = rasters([frame.astype(np.uint16) * 9 + 700 for frame in moving(3)])
    found = check(images, options)
    kinds = [[part.kind for part in each.sections] for each in found]
    assert [SectionKind.VALUES in kind for kind in kinds] == [True, False, False]


def test_one_image_is_a_file(options: Frames) -> None:
    image = raster(Mode.RGBA8, 40, 33)
    encoded = CODEC.encode(image, options, report, lambda _: 0)
    assert encoded is not None
    found = contents(image, encoded)
    pictures = list(CODEC.decode(found, Decoding(model=options.model), report, previews=True))
    np.testing.assert_array_equal(pictures[-1], image.samples)
    assert [picture.shape[:2] for picture in pictures[:-1]] == [(20, 17)]
    cut = replace(found, sections=found.sections[:1])
    (preview,) = CODEC.decode(cut, Decoding(model=options.model), report, previews=True)
    np.testing.assert_array_equal(preview[..., :3], image.samples[::2, ::2, :3])


def test_frames_that_cannot_follow_are_refused(options: Frames) -> None:
    images = rasters(moving(2))
    first, second = files(images, options)
    with pytest.raises(CorruptError, match="before this one is not there"):
        decoded([second], options)
    with pytest.raises(CorruptError, match="bytes follow"):
        next(CODEC.decode_group([first], b"1", Decoding(model=options.model), report))
    wider = replace(second, header=replace(second.header, width=60))
    with pytest.raises(CorruptError, match="size, layout or model"):
        decoded([first, wider], options)
    parameters = FramesParameters.parse(second.header.parameters, [options.model])
    other = replace(parameters, block=32).pack()
    with pytest.raises(CorruptError, match="size, layout or model"):
        decoded([first, replace(second, header=replace(second.header, parameters=other))], options)
    values = Section(SectionKind.VALUES, b"")
    more = replace(
        second, sections=[values, *second.sections], table=[(values.kind, 0), *second.table]
    )
    with pytest.raises(CorruptError, match="values of its own"):
        decoded([first, more], options)
    fewer = replace(second, sections=second.sections[:-1], table=second.table[:-1])
    with pytest.raises(CorruptError, match="do not fit"):
        decoded([first, fewer], options)


def test_frames_without_data_are_refused(options: Frames) -> None:
    for file in files(rasters(moving(2)), options):
        sections = [part for part in file.sections if part.kind != SectionKind.DATA]
        table = [entry for entry in file.table if entry[0] != SectionKind.DATA]
        empty = replace(file, sections=sections, table=table)
        with pytest.raises(CorruptError):
            list(CODEC.decode_group([empty], b"", Decoding(model=options.model), report))
