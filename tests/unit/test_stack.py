"""Stacks: frames in one file, of which a group is read by itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from common import picture, smooth
from numpy.typing import NDArray

import noisepress
from noisepress import Frames, Stack, encode_stack
from noisepress.bitstream.container import outline
from noisepress.bitstream.errors import CorruptError, OptionError, UnsupportedImageError


@pytest.fixture
def options(lattice_model: str) -> Frames:
    """Options with a tiny model."""
    return Frames(model=lattice_model)


def volume(dtype: type[Any] = np.uint8, channels: int = 1) -> NDArray[Any]:
    """Five frames that get brighter."""
    base = smooth(24, 30, channels, 1)
    frames = np.stack([base + 2 * i for i in range(5)]).astype(dtype)
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
    assert encode_stack(iter(frames), options) == encode_stack(frames, options)


def test_a_group_is_read_by_itself(options: Frames) -> None:
    frames = volume()
    data = encode_stack(frames, options, group=2)
    ends = outline(data).ends()
    damaged = bytearray(data)
    damaged[ends[2] + 9] ^= 1
    stack = Stack(bytes(damaged), model=options.model)
    assert stack.groups == [range(2), range(2, 4), range(4, 5)]
    with pytest.raises(CorruptError, match=r"group 2 \(2 to 3\)"):
        stack[2]
    for number in (0, 1, 4):
        np.testing.assert_array_equal(stack[number], frames[number])


def test_what_is_no_stack_is_refused(options: Frames) -> None:
    frames = volume()
    with pytest.raises(UnsupportedImageError, match=r"frame 1 is uint8 \(24, 29\), the first is"):
        encode_stack([frames[0], frames[1, :, 1:]], options)
    with pytest.raises(UnsupportedImageError, match="at least one"):
        encode_stack(frames[:0], options)
    with pytest.raises(OptionError, match="group is 0"):
        encode_stack(frames, options, group=0)
    mixed = noisepress.archive([("a", frames[0]), ("b", frames[1, 1:])], "png")
    with pytest.raises(CorruptError, match="differ in size or layout"):
        Stack(mixed)
    with pytest.raises(CorruptError, match="is an image, not an archive"):
        Stack(noisepress.encode(frames[0], "png"))
