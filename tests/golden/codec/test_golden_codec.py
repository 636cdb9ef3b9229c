"""Files that have to decode like this for ever, with models of their own."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import noisepress
from noisepress.bitstream.errors import ModelError

FOLDER = Path(__file__).parent
MANIFEST: dict[str, dict[str, Any]] = json.loads((FOLDER / "manifest.json").read_text())


def model_of(entry: dict[str, Any]) -> str | None:
    return str(FOLDER / entry["model"]) if entry["model"] else None


def test_manifest_and_folder_agree() -> None:
    assert {path.name for path in FOLDER.glob("*.nzp")} == set(MANIFEST)
    assert len(MANIFEST) >= 12


@pytest.mark.parametrize("name", MANIFEST)
def test_decodes_as_ever(name: str) -> None:
    entry = MANIFEST[name]
    raster = noisepress.decode_raster((FOLDER / name).read_bytes(), model=model_of(entry))
    assert [raster.mode.name, list(raster.samples.shape)] == [entry["mode"], entry["shape"]]
    if "picture" in entry:
        with Image.open(FOLDER / entry["picture"]) as picture:
            difference = np.abs(raster.samples.astype(int) - np.asarray(picture))
        assert difference.max() <= 1 and difference.mean() < 0.02
    else:
        little = np.ascontiguousarray(raster.samples, f"<u{raster.samples.itemsize}")
        assert sha256(little.tobytes()).hexdigest() == entry["sha256"]
    assert [part.hex() for part in (raster.icc, raster.exif, raster.xmp)] == entry["metadata"]


@pytest.mark.parametrize("name", [name for name in MANIFEST if MANIFEST[name]["model"]])
def test_needs_its_model(name: str) -> None:
    with pytest.raises(ModelError, match="needs model 200"):
        noisepress.decode((FOLDER / name).read_bytes())
