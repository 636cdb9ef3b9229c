"""What every codec does with images: they come back, or as near as the codec promises."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from battery.cases import BUNDLED, Case
from common import one_line, photograph, picture, psnr, raster

import noisepress
from noisepress.bitstream.container import SectionKind, read
from noisepress.bitstream.errors import (
    CorruptError,
    OptionError,
    TruncatedError,
    UnsupportedImageError,
)
from noisepress.codec.image.raster import Mode, Raster

SHAPES = [(1, 1), (1, 2), (2, 1), (1, 100), (100, 1), (2, 33), (33, 32), (64, 64), (65, 37)]


def assert_comes_back(image: Raster, data: bytes, case: Case) -> None:
    """Exactly, or the colours as near as the codec promises and the opacity exactly."""
    found = case.raster(data)
    case.verify(data)
    if case.lossless:
        assert found == image
        case.verify(data, image)
        return
    assert (found.mode, found.samples.shape) == (image.mode, image.samples.shape)
    assert found.samples.dtype == image.samples.dtype
    colours = image.mode.channels - image.mode.has_alpha
    assert psnr(found.samples[..., :colours], image.samples[..., :colours]) > case.floor
    np.testing.assert_array_equal(found.samples[..., colours:], image.samples[..., colours:])
    assert (found.icc, found.exif, found.xmp) == (image.icc, image.exif, image.xmp)
    with pytest.raises(OptionError, match=f"{case.codec} is lossy") as error:
        case.verify(data, image)
    one_line(error)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_images_of_all_sizes_and_layouts_come_back(shape: tuple[int, int], case: Case) -> None:
    for mode in case.modes:
        image = raster(mode, *shape)
        data = case.encode(image)
        info = noisepress.inspect(data)
        assert (info.codec, info.mode) == (case.codec, mode.name)
        assert (info.height, info.width, info.size) == (*shape, len(data))
        assert not info.truncated
        assert_comes_back(image, data, case)


@pytest.mark.parametrize("name", ["astronaut", "coffee", "chelsea", "coins"])
def test_photographs_come_back(name: str, case: Case) -> None:
    image = photograph(name)[:72, :90]
    if image.ndim == 2 and Mode.L8 not in case.modes:
        image = np.repeat(image[..., None], 3, 2)
    data = case.encode(image)
    found = case.decode(data)
    assert found.shape == image.shape
    if case.lossless:
        np.testing.assert_array_equal(found, image)
    else:
        assert psnr(found, image) > 15


@pytest.mark.parametrize("kind", ["black", "white", "noise"])
def test_extreme_images_come_back(kind: str, case: Case) -> None:
    images = {
        "black": np.zeros((20, 21, 3), np.uint8),
        "white": np.full((20, 21, 3), 255, np.uint8),
        "noise": np.random.default_rng(0).integers(0, 256, (20, 21, 3), np.uint8),
    }
    found = case.decode(case.encode(images[kind]))
    assert found.shape == images[kind].shape
    if case.lossless:
        np.testing.assert_array_equal(found, images[kind])
    else:
        assert psnr(found, images[kind]) > 7


METADATA: dict[str, Any] = {
    "icc": bytes(range(256)) * 2,
    "exif": b"II*\0abc",
    "xmp": b"<x>\xc3\xa9</x>",
}


def test_metadata_comes_back_byte_for_byte(case: Case) -> None:
    for mode in case.modes:
        image = raster(mode, 9, 12, **METADATA)
        data = case.encode(image)
        assert_comes_back(image, data, case)
        kinds = [kind for kind, *_ in noisepress.inspect(data).sections]
        assert kinds[-3:] == ["icc", "exif", "xmp"]
        assert ("palette" in kinds) == (mode is Mode.PALETTE8)


def test_opacity_is_exact_however_rough_and_however_few_the_bytes(case: Case) -> None:
    image = raster(Mode.RGBA8, 19, 23)
    options = {} if case.lossless else {"quality": 0}
    found = case.decode(case.encode(image, **options))
    np.testing.assert_array_equal(found[..., 3], image.samples[..., 3])


def test_the_kind_of_input_does_not_matter_and_is_not_changed(case: Case) -> None:
    image = picture(17, 12)
    before = image.copy()
    files = {case.encode(each) for each in (image, np.asfortranarray(image), image[::-1][::-1])}
    image.setflags(write=False)
    assert files == {case.encode(image)}
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize("mode", list(Mode), ids=lambda mode: mode.name)
def test_other_layouts_are_refused_or_left_to_the_fallbacks(mode: Mode, case: Case) -> None:
    image = raster(mode, 4, 5)
    if mode in case.modes:
        assert noisepress.inspect(case.encode(image)).codec == case.codec
        return
    refusal = f"{case.codec} does not code {mode.name}"
    with pytest.raises(UnsupportedImageError, match=refusal) as error:
        case.encode(image)
    one_line(error)
    if case.lossless:
        data = case.encode(image, fallback=True)
        assert noisepress.inspect(data).codec in ("screen", "webp", "png", "jpegxl")
        assert noisepress.decode_raster(data) == image
    else:
        with pytest.raises(UnsupportedImageError, match=refusal):
            case.encode(image, fallback=True)


def test_archives_hold_what_files_hold(case: Case) -> None:
    images = {f"{mode.name}.png": raster(mode, 20, 30, **METADATA) for mode in case.modes}
    options = {**case.options, **case.models}
    data = noisepress.archive(images.items(), case.codec, group=3, **options)
    archive = noisepress.Archive(data)
    assert [member.name for member in archive.members] == list(images)
    groups = range(len(archive.groups))
    found = [image for at in groups for image in archive.read_group(at, model=case.paths)]
    for (name, image), stored in zip(images.items(), found, strict=True):
        assert stored == (image if case.lossless else case.raster(case.encode(image)))
        shown = archive.read(name, model=case.paths)
        np.testing.assert_array_equal(shown, case.decode(case.encode(image)))


# Determinism ---------------------------------------------------------------------------------


def test_two_encodes_give_the_same_file(case: Case) -> None:
    image = picture(20, 18)
    data = case.encode(image)
    assert case.encode(image) == data
    np.testing.assert_array_equal(case.decode(data), case.decode(data))
    assert case.encode(picture(20, 18, seed=1)) != data


ELSEWHERE = """
import json, sys
from hashlib import sha256
import numpy as np
import noisepress
for line in sys.stdin:
    path, codec, options = json.loads(line)
    data = noisepress.encode(np.load(path), codec, **options)
    print(sha256(data).hexdigest(), flush=True)
"""


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[Callable[[Path, Case], str]]:
    """Encodes image files in another process, and returns the SHA-256 of the coded file."""
    command = [sys.executable, "-c", ELSEWHERE]
    environment = {**os.environ, "PYTHONHASHSEED": "1"}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdin and process.stdout

        def encoded(path: Path, case: Case) -> str:
            assert process.stdin and process.stdout
            options = {"fallback": False, **case.options, **case.models}
            print(json.dumps([str(path), case.codec, options]), file=process.stdin, flush=True)
            return process.stdout.readline().strip()

        yield encoded
        process.stdin.close()


def test_another_process_gives_the_same_file(
    case: Case, elsewhere: Callable[[Path, Case], str], tmp_path: Path
) -> None:
    image = picture(20, 18)
    np.save(tmp_path / "image.npy", image)
    found = elsewhere(tmp_path / "image.npy", case)
    assert found == sha256(case.encode(image)).hexdigest()


@pytest.mark.parametrize(("threads", "onednn"), [(1, False), (2, True), (2, False)])
def test_other_threads_and_kernels_give_the_same_file(
    threads: int,
    onednn: bool,
    case: Case,
    machine: Callable[[int, bool], AbstractContextManager[None]],
) -> None:
    image = picture(40, 33)
    data, found = case.encode(image), case.decode(case.encode(image))
    with machine(threads, onednn):
        again = case.encode(image)
        read_elsewhere = case.decode(data)
    if case.lossless:
        assert again == data
        np.testing.assert_array_equal(read_elsewhere, image)
    else:
        assert np.abs(read_elsewhere.astype(int) - found).max() <= 1
        assert abs(len(again) - len(data)) < 0.05 * len(data)


# Progress and prefixes -----------------------------------------------------------------------


def test_progress_rises_to_the_total(case: Case) -> None:
    for mode in {Mode.RGB8, Mode.RGBA8}:
        image = raster(mode, 21, 20)
        seen: list[tuple[int, int]] = []

        def watch(done: int, total: int, seen: list[tuple[int, int]] = seen) -> None:
            seen.append((done, total))

        data = case.encode(image, progress=watch)
        encoding = list(seen)
        seen.clear()
        case.decode(data, progress=watch)
        for steps in (encoding, seen):
            assert steps[-1] == (image.samples.size, image.samples.size)
            assert {total for _, total in steps} == {image.samples.size}
            assert all(a[0] <= b[0] for a, b in itertools.pairwise(steps))
            assert len(steps) > (1 if case.models else 0)


def lengths_to_try(data: bytes) -> list[int]:
    """Lengths around the ends of sections, and a few between."""
    ends = read(data).ends()
    near = {end + by for end in ends for by in (-5, -4, -1, 0, 1)}
    between = np.random.default_rng(0).integers(0, len(data), 20)
    return sorted(size for size in {0, 1, *near, *map(int, between)} if 0 <= size <= len(data))


@pytest.mark.filterwarnings("ignore::noisepress.TruncatedWarning")
def test_a_file_cut_anywhere_is_what_its_whole_sections_are(case: Case) -> None:
    image = raster(Mode.RGBA8, 18, 21, **METADATA)
    data = case.encode(image)
    contents = read(data)
    pictures, ends = case.pictures(data), contents.ends()[1:]
    count = len(contents.payloads(SectionKind.DATA))
    opacity = count + len(contents.payloads(SectionKind.ALPHA))
    assert len(pictures) == count
    np.testing.assert_array_equal(pictures[-1], case.decode(data))
    for size in lengths_to_try(data):
        cut, whole = data[:size], sum(end <= size for end in ends)
        if whole == 0:
            calls: list[Callable[[bytes], Any]]
            calls = [case.decode, case.pictures, lambda cut: noisepress.truncate(data, len(cut))]
            for call in calls:
                with pytest.raises(TruncatedError) as error:
                    call(cut)
                one_line(error)
            continue
        found = case.raster(cut, partial=True)
        shown = pictures[min(whole, count) - 1]
        np.testing.assert_array_equal(found.samples[..., :3], shown[..., :3])
        if whole < opacity:
            assert (found.samples[..., 3] == 255).all()
        else:
            np.testing.assert_array_equal(found.samples, pictures[-1])
        kept = [name for name in METADATA if getattr(found, name)]
        assert kept == list(METADATA)[: max(0, whole - opacity)]
        assert noisepress.truncate(data, size) == data[: ends[whole - 1]]
        info = noisepress.inspect(cut)
        assert info.truncated == (size < len(data))
        assert sum(present for *_, present in info.sections) == whole
        if info.truncated:
            with pytest.raises(TruncatedError, match="was cut") as error:
                case.verify(cut)
            one_line(error)


def test_a_palette_is_needed(case: Case) -> None:
    if Mode.PALETTE8 not in case.modes:
        return
    data = case.encode(raster(Mode.PALETTE8, 9, 9))
    with pytest.raises(TruncatedError, match="cut before its palette"):
        case.decode(data[:-1])


def test_pictures_on_the_way_get_nearer(case: Case) -> None:
    image = picture(66, 40)
    pictures = case.pictures(case.encode(image))
    if case.lossless:
        for shown in pictures[:-1]:
            step = -(-66 // shown.shape[0])
            if step > 1:
                np.testing.assert_array_equal(shown, image[::step, ::step])
        np.testing.assert_array_equal(pictures[-1], image)
        return
    found = [psnr(shown, image) for shown in pictures]
    assert found[-1] >= max(found) - (0.05 if case in BUNDLED else 0)
    assert found[-1] > found[0] + 3


def test_verify_tells_other_images(case: Case) -> None:
    if not case.lossless:
        return  # `assert_comes_back` sees it refused
    image = picture(9, 8)
    data = case.encode(image)
    other = image.copy()
    other[-1, -1, -1] ^= 1
    for wrong in (other, image[:-1], image[..., 0]):
        with pytest.raises(CorruptError) as error:
            case.verify(data, wrong)
        one_line(error)
