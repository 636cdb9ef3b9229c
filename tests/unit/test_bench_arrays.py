"""The study of chunks: what is coded, by which codecs, and the table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from common import picture
from numpy.typing import NDArray
from PIL import Image

from noisepress.benchmarks.studies import arrays
from noisepress.bitstream.errors import CorruptError

pytest.importorskip("numcodecs", reason="the extra zarr is not installed")


def test_files_become_stacks(tmp_path: Path) -> None:
    stack = picture(20, 30, 40).transpose(2, 0, 1)
    np.savez(tmp_path / "stack.npz", slices=stack)
    assert np.array_equal(arrays.load(tmp_path / "stack.npz"), stack[12:28])
    Image.fromarray(picture(520, 30)).save(tmp_path / "tile.png")
    tile = arrays.load(tmp_path / "tile.png")
    assert np.array_equal(tile, picture(520, 30)[np.newaxis, 4:516])
    assert [chunk.shape for chunk in arrays.chunks(tile)] == [(256, 30, 3)] * 2


@pytest.mark.parametrize("codec", arrays.CODECS)
def test_codecs(codec: str) -> None:
    stack = picture(24, 24, 1)[np.newaxis, ..., 0]
    point = arrays.measure(stack, "a.npz", codec)
    assert point.job == ("a.npz", codec) and point.raw == 576 and 200 < point.bytes < 700
    assert f"| a.npz, uint8 1 x 24 x 24 | {codec} | {point.bytes} |" in arrays.table([point])


def test_a_codec_that_changes_samples_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    class Inverting:
        def encode(self, image: NDArray[Any]) -> bytes:
            return (~image).tobytes()

        def decode(self, data: bytes) -> bytes:
            return data

    monkeypatch.setattr(arrays, "coder", lambda name: Inverting())
    with pytest.raises(CorruptError, match="PNG changes the samples of a"):
        arrays.measure(picture(8, 8, 1)[np.newaxis, ..., 0], "a", "PNG")
