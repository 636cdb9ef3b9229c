"""The demonstration: its figures, its files, and a folder that cannot be written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from common import one_line
from numpy.typing import NDArray
from PIL import Image

import noisepress
from noisepress.codec import demo


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Coding by PNG, and by PNG and WebP with little effort."""
    monkeypatch.setattr(demo, "encode", lambda photo, _: noisepress.encode(photo, "png"))
    monkeypatch.setattr(demo, "_BEST", {"PNG": {}, "WEBP": {"lossless": True, "method": 0}})


def test_every_part_has_a_line_and_the_files_are_kept(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    lines = list(demo.run(folder))
    words = ["photo", "PNG", "WebP", "noisepress", "coder", "encode", "result", "files"]
    assert [line.split()[0] for line in lines] == words
    assert lines[6].endswith("identical pixels") and lines[7].endswith(str(folder))
    coded = (folder / "demo.nzp").read_bytes()
    assert f" {len(coded)} bytes" in lines[3]
    with Image.open(folder / "demo.png") as photo:
        np.testing.assert_array_equal(noisepress.decode(coded), np.asarray(photo))
    previews = sorted(folder.glob("preview-*.png"))
    assert len(previews) == len(list(noisepress.decode_progressive(coded)))


def test_other_pixels_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(data: bytes) -> NDArray[Any]:
        return noisepress.decode(data) ^ 1

    monkeypatch.setattr(demo, "decode", wrong)
    assert list(demo.run(None))[-1].endswith("DIFFERENT PIXELS")


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(demo.DemoError) as error:
        list(demo.run(tmp_path / "file"))
    assert str(tmp_path / "file") in one_line(error)
