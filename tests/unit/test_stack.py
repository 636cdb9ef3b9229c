"""Stacks: frames in one file, of which a group is read by itself."""

from __future__ import annotations

import weakref
from io import BytesIO
from pathlib import Path
from typing import IO, Any

import numpy as np
import pytest
from common import picture, smooth
from numpy.typing import NDArray

import noisepress
from noisepress import About, Animation, Frames, Stack, append_stack, encode_stack
from noisepress.bitstream.container import outline
from noisepress.bitstream.errors import (
    CorruptError,
    ModelError,
    OptionError,
    TruncatedError,
    UnsupportedImageError,
)
from noisepress.bitstream.header import FileBytes, Rest
from noisepress.codec import archive, inputs, stack


@pytest.fixture
def options(lattice_model: str) -> Frames:
    """Options with a tiny model."""
    return Frames(model=lattice_model)


def volume(dtype: type[Any] = np.uint8, channels: int = 1) -> NDArray[Any]:
    """Five frames that get brighter."""
    base = smooth(24, 30, channels, 1)
    frames: NDArray[Any] = np.stack([base + 2 * i for i in range(5)]).astype(dtype)
    return frames[..., 0] if channels == 1 else frames


@pytest.mark.parametrize(
    "frames",
    [volume(), volume(np.uint16), volume(channels=3), volume() > 128, picture(1, 1, 4)[None]],
    ids=["grey", "16 bits", "colour", "two levels", "one frame"],
)
def test_frames_come_back(frames: NDArray[Any], options: Frames) -> None:
    stack = Stack(encode_stack(frames, options, group=2), model=options.model)
    assert (stack.shape, stack.dtype, len(stack)) == (frames.shape, frames.dtype, len(frames))
    np.testing.assert_array_equal(stack[:], frames)
    np.testing.assert_array_equal(list(stack), frames)
    np.testing.assert_array_equal(stack[-1], frames[-1])
    np.testing.assert_array_equal(stack[::-2], frames[::-2])
    assert stack[3:3].shape == (0, *frames.shape[1:])
    with pytest.raises(IndexError):
        stack[len(frames)]
    stack[0][:] = 0
    np.testing.assert_array_equal(stack[0], frames[0])


def test_frames_may_come_one_after_another(options: Frames) -> None:
    frames = volume()
    assert encode_stack(iter(frames), options, group=2) == encode_stack(frames, options, group=2)


def test_groups_are_coded_in_processes(options: Frames) -> None:
    frames = volume()
    seen: list[tuple[int, int]] = []
    data = encode_stack(
        frames, options, group=2, jobs=2, progress=lambda *counts: seen.append(counts)
    )
    assert data == encode_stack(frames, options, group=2)
    assert seen == [(2 * 720, 2 * 720), (4 * 720, 4 * 720), (5 * 720, 5 * 720)]


def test_an_error_in_a_process_is_raised(options: Frames) -> None:
    with pytest.raises(ModelError, match="nowhere"):
        encode_stack(volume(), Frames(model="nowhere.safetensors"), jobs=2)


def test_what_a_stack_tells_comes_back(options: Frames) -> None:
    about = About(Animation((40.0, 33.333, 0.0, 1e6, 20.0), plays=3), "Zellen, µm")
    stack = Stack(encode_stack(volume(), options, group=2, about=about))
    assert stack.about == about
    assert Stack(encode_stack(volume(), options)).about == About()


def encoded(path: Path, frames: NDArray[Any], options: Frames) -> bytes:
    path.write_bytes(encode_stack(frames, options, group=2))
    return path.read_bytes()


def test_frames_are_appended(tmp_path: Path, options: Frames) -> None:
    path, frames = tmp_path / "stack.nzp", volume()
    assert append_stack(path, frames[:3], options, group=2) == 3
    first = path.read_bytes()
    assert append_stack(path, iter(frames[3:4]), options) == 4
    assert append_stack(path, frames[4:], options) == 5
    assert path.read_bytes()[: len(first)] == first
    stack = Stack(path, model=options.model)
    assert stack.groups == [range(2), range(2, 3), range(3, 4), range(4, 5)]
    np.testing.assert_array_equal(stack[:], frames)
    archive = noisepress.Archive(path)
    assert [member.name for member in archive.members] == list("01234")
    np.testing.assert_array_equal(archive.read("3", model=options.model), frames[3])


def test_what_does_not_fit_is_not_appended(tmp_path: Path, options: Frames) -> None:
    path, frames = tmp_path / "stack.nzp", volume()
    before = encoded(path, frames, options)
    with pytest.raises(UnsupportedImageError, match=r"frame 0 is uint8 \(23, 30\), those before"):
        append_stack(path, frames[:, 1:], options)
    with pytest.raises(UnsupportedImageError, match="uint16"):
        append_stack(path, frames.astype(np.uint16), options)
    with pytest.raises(UnsupportedImageError, match="at least one"):
        append_stack(path, frames[:0], options)
    assert path.read_bytes() == before
    path.write_bytes(noisepress.encode(frames[0], "png"))
    with pytest.raises(CorruptError, match="not an archive"):
        append_stack(path, frames, options)


def test_appending_goes_on_after_a_file_was_cut(tmp_path: Path, options: Frames) -> None:
    path, frames = tmp_path / "stack.nzp", volume()
    whole = encoded(path, frames, options)
    last = outline(Rest(whole, 0)).ends()[-1]
    for size in (len(whole) - 1, last + outline(Rest(whole, last)).ends()[-1] + 5):
        path.write_bytes(whole[:size])
        stack = Stack(path, model=options.model)
        np.testing.assert_array_equal(stack[:4], frames[:4])
        if len(stack) == 5:
            with pytest.raises(TruncatedError, match="group 3"):
                stack[4]
        else:
            assert isinstance(stack.fault, TruncatedError)
        assert append_stack(path, frames[4:], options) == 5
        assert path.read_bytes() == whole


def test_damage_between_archives_is_told(tmp_path: Path, options: Frames) -> None:
    path, frames = tmp_path / "stack.nzp", volume()
    whole = bytearray(encoded(path, frames, options))
    start = outline(bytes(whole)).ends()[-1]
    whole[start + 20] ^= 1
    path.write_bytes(whole)
    stack = Stack(path, model=options.model)
    np.testing.assert_array_equal(stack[:], frames[:2])
    assert isinstance(stack.fault, CorruptError)
    assert f"from byte {start} on" in str(stack.fault)
    with pytest.raises(CorruptError, match="from byte"):
        append_stack(path, frames, options)
    assert path.read_bytes() == whole
    whole[start:] = whole[:start]
    with pytest.raises(CorruptError, match="two images have the name 0"):
        raise Stack(bytes(whole)).fault or AssertionError


def test_a_group_is_read_by_itself(options: Frames) -> None:
    frames = volume()
    data = encode_stack(frames, options, group=2)
    second = outline(data).ends()[-1]
    damaged = bytearray(data)
    damaged[second + outline(Rest(data, second)).ends()[1] + 9] ^= 1
    stack = Stack(bytes(damaged), model=options.model)
    assert stack.groups == [range(2), range(2, 4), range(4, 5)]
    with pytest.raises(CorruptError, match=r"group 2 \(2 to 3\)"):
        stack[2]
    for number in (0, 1, 4, 0):
        np.testing.assert_array_equal(stack[number], frames[number])


class Watched(FileBytes):
    """A file that notes which bytes are read."""

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__(file)
        self.read = set[int]()

    def __getitem__(self, place: Any) -> Any:
        whole = slice(place, place + 1) if isinstance(place, int) else place
        self.read |= set(range(*whole.indices(len(self))))
        return super().__getitem__(place)


def test_a_frame_reads_the_bytes_of_its_group(
    tmp_path: Path, options: Frames, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, frames = tmp_path / "stack.nzp", volume()
    encoded(path, frames, options)
    files = []

    def watched(source: object) -> Watched:
        files.append(Watched(BytesIO(path.read_bytes())))
        return files[-1]

    monkeypatch.setattr(archive, "as_mapped", watched)
    stack = Stack(path, model=options.model)
    (file,) = files
    before = set(file.read)
    np.testing.assert_array_equal(stack[3], frames[3])
    start = outline(Rest(file, 0)).ends()[-1]
    end = start + outline(Rest(file, start)).ends()[-1]
    news = file.read - before
    assert news and min(news) >= start and max(news) < end
    assert len(before) < len(file) / 2


def test_few_frames_are_in_memory(options: Frames, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither those that come in, nor their rasters, however many there are in a group."""
    alive: list[weakref.ref[Any]] = []
    most = 0

    def noted(found: Any) -> Any:
        nonlocal most
        alive[:] = [one for one in alive if one() is not None]
        alive.append(weakref.ref(found))
        most = max(most, len(alive))
        return found

    opened = inputs.as_image
    monkeypatch.setattr(stack, "as_image", lambda *args: noted(opened(*args)))
    frames = volume()
    data = encode_stack((noted(frame.copy()) for frame in frames), options)
    assert 2 <= most <= 4
    np.testing.assert_array_equal(Stack(data, model=options.model)[:], frames)


def test_what_is_no_stack_is_refused(options: Frames) -> None:
    frames = volume()
    with pytest.raises(UnsupportedImageError, match=r"frame 1 is uint8 \(24, 29\)"):
        encode_stack([frames[0], frames[1, :, 1:]], options)
    with pytest.raises(UnsupportedImageError, match="at least one"):
        encode_stack(frames[:0], options)
    with pytest.raises(OptionError, match="group is 0"):
        encode_stack(frames, options, group=0)
    with pytest.raises(OptionError, match="jobs is 0"):
        encode_stack(frames, options, jobs=0)
    masked: Any = np.ma.MaskedArray
    with pytest.raises(UnsupportedImageError, match="masked"):
        encode_stack(masked(frames, frames > 9), options)
    mixed = noisepress.archive([("a", frames[0]), ("b", frames[1, 1:])], "png")
    with pytest.raises(CorruptError, match="differ in size or layout"):
        Stack(mixed)
    with pytest.raises(CorruptError, match="is an image, not an archive"):
        Stack(noisepress.encode(frames[0], "png"))
