"""Files that have to decode like this for ever, with models of their own."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import noisepress
from noisepress.bitstream.errors import ModelError

FOLDER = Path(__file__).parent
MANIFEST: dict[str, dict[str, Any]] = json.loads((FOLDER / "manifest.json").read_text())


ARCHIVES = [name for name in MANIFEST if "members" in MANIFEST[name]]


def models_of(entry: dict[str, Any]) -> list[str]:
    return [str(FOLDER / name) for name in entry["models"]]


def digest(samples: NDArray[Any]) -> str:
    little = np.ascontiguousarray(samples, f"<u{samples.itemsize}")
    return sha256(little.tobytes()).hexdigest()


def test_manifest_and_folder_agree() -> None:
    assert {path.name for path in FOLDER.glob("*.nzp")} == set(MANIFEST)
    assert len(MANIFEST) >= 22
    assert {name.split("_")[0] for name in MANIFEST} >= {
        "lattice",
        "random",
        "diffc",
        "vdm",
        "hfd",
        "jpegfile",
    }


@pytest.mark.parametrize("name", [name for name in MANIFEST if name not in ARCHIVES])
def test_decodes_as_ever(name: str) -> None:
    entry = MANIFEST[name]
    raster = noisepress.decode_raster((FOLDER / name).read_bytes(), model=models_of(entry))
    assert [raster.mode.name, list(raster.samples.shape)] == [entry["mode"], entry["shape"]]
    if "picture" in entry:
        with Image.open(FOLDER / entry["picture"]) as picture:
            difference = np.abs(raster.samples.astype(int) - np.asarray(picture))
        assert difference.max() <= 1 and difference.mean() < 0.02
    else:
        assert digest(raster.samples) == entry["sha256"]
    assert [part.hex() for part in (raster.icc, raster.exif, raster.xmp)] == entry["metadata"]


@pytest.mark.parametrize("name", [name for name in MANIFEST if "file" in MANIFEST[name]])
def test_jpeg_files_come_back_as_ever(name: str) -> None:
    file = noisepress.original_file((FOLDER / name).read_bytes())
    assert sha256(file).hexdigest() == MANIFEST[name]["file"]


@pytest.mark.parametrize("name", ARCHIVES)
def test_extracts_as_ever(name: str) -> None:
    entry, stored = MANIFEST[name], noisepress.Archive((FOLDER / name).read_bytes())
    models = models_of(entry)
    found = {
        member.name: digest(stored.read(member.name, model=models)) for member in stored.members
    }
    assert found == entry["members"]


@pytest.mark.parametrize("name", [name for name in MANIFEST if MANIFEST[name]["models"]])
def test_needs_its_model(name: str) -> None:
    data = (FOLDER / name).read_bytes()
    with pytest.raises(ModelError, match="needs model 200"):
        if name in ARCHIVES:
            noisepress.Archive(data).read_group(0)
        else:
            noisepress.decode(data)
