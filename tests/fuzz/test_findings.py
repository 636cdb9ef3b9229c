"""Bad files of `findings/`: each is refused by the error that begins as its manifest says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fuzz.damage import outcomes

FOLDER = Path(__file__).parent / "findings"
GOLDEN = Path(__file__).parents[1] / "golden" / "codec"
MANIFEST: dict[str, dict[str, str]] = json.loads((FOLDER / "manifest.json").read_text())


def test_manifest_and_folder_agree() -> None:
    assert sorted(path.name for path in FOLDER.glob("*.nzp")) == sorted(MANIFEST)
    assert len(MANIFEST) >= 30
    assert all(entry["about"] and entry["error"] for entry in MANIFEST.values())


@pytest.mark.parametrize("name", MANIFEST)
def test_is_refused_as_ever(name: str) -> None:
    data = (FOLDER / name).read_bytes()
    found = outcomes(data, [str(path) for path in GOLDEN.glob("*.safetensors")])
    call = "Archive" if name.startswith("archive") else "decode"
    assert found[call].startswith(MANIFEST[name]["error"])
