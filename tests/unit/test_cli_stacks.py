"""Stacks on the command line: files of several frames in and out."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

import noisepress
from noisepress.cli import main


class Command:
    """The command line, in this process."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def _run(self, *args: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(list(map(str, args)))
        assert isinstance(ended.value.code, int)
        return ended.value.code, *self._capsys.readouterr()

    def passed(self, *args: object) -> str:
        """What a command prints that must pass."""
        status, out, errors = self._run(*args)
        assert status == 0, errors
        return out

    def failed(self, *args: object, status: int = 1) -> str:
        """The one line of a command that must fail."""
        found, _, errors = self._run(*args)
        assert found == status and errors.count("\n") == 1, errors
        return errors


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)  # put back in the end
    return Command(capsys)


@pytest.fixture
def frames() -> NDArray[np.uint8]:
    """Five frames (12, 17) that get brighter."""
    base = np.random.default_rng(1).integers(0, 90, (12, 17))
    found: NDArray[np.uint8] = np.stack([base + 5 * i for i in range(5)]).astype(np.uint8)
    return found


@pytest.fixture
def tiff(frames: NDArray[np.uint8], tmp_path: Path) -> Path:
    path = tmp_path / "volume.tif"
    tifffile.imwrite(path, frames, photometric="minisblack")
    return path


def test_a_file_of_several_frames(
    frames: NDArray[np.uint8], tiff: Path, tmp_path: Path, lattice_model: str, command: Command
) -> None:
    model = "--model", lattice_model
    out = tmp_path / "volume.nzp"
    line = command.passed("encode", tiff, out, "--group", 2, *model)
    assert line == f"{out}: 5 frames, {out.stat().st_size} bytes\n"
    facts = json.loads(command.passed("info", "--json", out))
    assert (facts["shape"], facts["dtype"]) == ([5, 12, 17], "uint8")
    assert facts["groups"] == [[0, 2], [2, 4], [4, 5]]
    assert "group       3, frames 4 to 4" in command.passed("info", out)
    command.passed("decode", out, "-o", tmp_path, *model, "--force")  # in TIFF unless asked
    np.testing.assert_array_equal(tifffile.imread(tiff), frames)
    command.passed("decode", out, tmp_path / "volume.npy", *model)
    np.testing.assert_array_equal(np.load(tmp_path / "volume.npy"), frames)
    command.passed("extract", out, "-o", tmp_path, "--frame", 3, *model)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "3.png")), frames[3])
    assert "no image '5'" in command.failed("extract", out, "--frame", 5, status=2)
    command.passed("encode", tiff, tmp_path / "page.nzp", "--page", 2, *model)
    page = noisepress.decode(tmp_path / "page.nzp", model=lattice_model)
    np.testing.assert_array_equal(page, frames[1])


def test_folders_and_further_frames(
    frames: NDArray[np.uint8], tiff: Path, tmp_path: Path, lattice_model: str, command: Command
) -> None:
    model = "--model", lattice_model
    folder, out = tmp_path / "slices", tmp_path / "volume.nzp"
    folder.mkdir()
    for number, frame in zip((9, 10, 101), frames, strict=False):
        Image.fromarray(frame).save(folder / f"slice{number}.png")
    command.passed("encode", "--stack", folder, out, *model)
    before = out.read_bytes()
    assert "8 frames" in command.passed("encode", "--append", tiff, out, "--jobs", 2, *model)
    assert out.read_bytes()[: len(before)] == before
    found = noisepress.Stack(out, model=lattice_model)
    np.testing.assert_array_equal(found[:], np.concatenate([frames[:3], frames]))
    assert "exists; --force overwrites it" in command.failed("encode", "--stack", folder, out)
    assert "its frames are missing" in command.failed("encode", "--stack", out, status=2)
    text = command.failed("encode", "--stack", folder, out, "--codec", "png", status=2)
    assert "a stack has the codec frames, not png" in text


def test_a_damaged_stack(tiff: Path, tmp_path: Path, lattice_model: str, command: Command) -> None:
    model, out = ("--model", lattice_model), tmp_path / "volume.nzp"
    command.passed("encode", tiff, out, "--group", 2, *model)
    out.write_bytes(out.read_bytes()[:-1])
    assert "group 3 (4)" in command.failed("decode", out, tmp_path / "again.tif", *model)
    assert not (tmp_path / "again.tif").exists()
    assert "group 3 (4)" in command.failed("extract", out, "-o", tmp_path, *model)
    assert sorted(path.name for path in tmp_path.glob("*.png")) == [f"{i}.png" for i in range(4)]
