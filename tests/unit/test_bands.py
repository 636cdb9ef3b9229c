"""What the coder of hfd's bands learns from photographs before it sees an image."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from noisepress.bitstream import bands as coder
from noisepress.bitstream.tables import checksum
from noisepress.training import bands
from noisepress.training.data import CropSpec, is_validation

SPEC = CropSpec(size=64, scale=(1.0, 1.5), passes=1, crops=1)
NAMES = [name for name in (f"{index}.png" for index in range(40)) if not is_validation(name)][:4]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for index, name in enumerate(NAMES):
        row, column = np.mgrid[:96, :96][..., None]
        shade = 120 + 60 * np.sin(row / (7 + index)) * np.cos(column / 9 + np.arange(3) / 4)
        grain = np.random.default_rng(index).normal(0, 4, (96, 96, 3))
        Image.fromarray((shade + grain).clip(0, 255).astype(np.uint8)).save(folder / name)
    return folder


def test_photographs_teach(photos: Path) -> None:
    new = np.asarray(Image.open(photos / NAMES[0]))[:64, :64].transpose(1, 0, 2)
    new = np.ascontiguousarray(new[::-1])
    untaught = bands.code(new, 12.0, coder.untaught())
    assert bands.code(new, 12.0, bands.teach(photos, SPEC)) < 0.95 * untaught


def test_a_lesson_is_written_as_the_package_holds_it(
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    output = tmp_path / "lesson.npz"
    monkeypatch.setattr(bands, "CROPS", SPEC)
    monkeypatch.setattr(sys, "argv", ["bands", str(photos), "-o", str(output)])
    bands.main()
    with np.load(output) as file, np.load(coder.LESSON) as bundled:
        parts = {name: file[name] for name in file.files}
        assert {name: (part.shape, part.dtype) for name, part in parts.items()} == {
            name: (bundled[name].shape, bundled[name].dtype) for name in bundled.files
        }
    crc = checksum(*(part.astype(np.int64) for part in parts.values()))
    assert capsys.readouterr().out == f"0x{crc:08X}\n"
