"""The files of codec/reference/, which every later version must decode, and the check of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from noisepress import cli
from noisepress.codec import selfcheck
from noisepress.codec.registry import CODECS

NAMES = list(json.loads(selfcheck.MANIFEST.read_text()))


def test_there_is_a_file_of_every_codec() -> None:
    assert {name.split("_")[0] for name in NAMES} == {codec.NAME for codec in CODECS} | {"archive"}
    files = {path.stem for path in selfcheck.FOLDER.glob("*.nzp")}
    assert files == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_reference_files_decode_as_ever(name: str) -> None:
    assert selfcheck._fault(name) == ""


@pytest.mark.slow
def test_all_checks_hold_here() -> None:
    found = list(selfcheck.run())
    assert len(found) >= len(NAMES) + 5
    assert [each for each in found if each.fault] == []


def test_a_check_that_fails_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    entry: dict[str, Any] = json.loads(selfcheck.MANIFEST.read_text())["png"]
    data = (selfcheck.FOLDER / "png.nzp").read_bytes()
    (tmp_path / "png.nzp").write_bytes(data)
    (tmp_path / "cut.nzp").write_bytes(data[:-1])
    manifest = tmp_path / "reference.json"
    manifest.write_text(json.dumps({"png": entry | {"sha256": "0"}, "cut": entry}))
    monkeypatch.setattr(selfcheck, "FOLDER", tmp_path)
    monkeypatch.setattr(selfcheck, "MANIFEST", manifest)
    monkeypatch.setattr(selfcheck, "_CHILD", "raise SystemExit('hfd: decodes to other samples')")
    with pytest.raises(SystemExit) as exit_:
        cli.main(["selfcheck"])
    assert exit_.value.code == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("png: decodes to other samples")
    assert "cut: the file was cut" in lines[1]
    assert lines[2].endswith("hfd: decodes to other samples")
    assert lines[-1].endswith("holds")
