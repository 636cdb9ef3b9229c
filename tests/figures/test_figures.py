"""Encoding photographs again gives files as small, and pictures as near, as `figures.json` says.

Files of ardm and vdm are the same on every machine. Those of other codecs depend on floats or on
a library's version: their sizes may differ by 1 %, and their PSNR by 0.02 dB.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from common import Pixels, psnr
from PIL import Image
from skimage import data

import noisepress

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[1]
KODAK = ROOT.parent / "shared" / "data" / "kodak24"
"""The Kodak images, if they lie beside the repository."""

FIGURES: dict[str, dict[str, Any]] = json.loads((FOLDER / "figures.json").read_text())
EXACT = ("ardm", "vdm")


def load(name: str) -> Pixels:
    """An image (h, w, 3)."""
    if name == "chelsea":
        image: Pixels = data.chelsea()
        return image
    path = ROOT / "codec" / "demo.png" if name == "demo" else KODAK / f"{name}.png"
    if not path.exists():
        pytest.skip(f"the Kodak image {name} is missing")
    return np.asarray(Image.open(path).convert("RGB"))


def figures(image: Pixels, codec: str, options: dict[str, Any]) -> dict[str, Any]:
    """The size of a file, and digests or PSNR."""
    file = noisepress.encode(image, codec, fallback=False, **options)
    found = noisepress.decode(file)
    figures: dict[str, Any] = {"bytes": len(file)}
    if codec in EXACT:
        figures["sha256"] = sha256(file).hexdigest()[:16]
    if codec in ("diffc", "hfd"):
        figures["psnr"] = round(psnr(found, image), 2)
    else:
        figures["pixels"] = sha256(found.tobytes()).hexdigest()[:16]
    return figures


def runs() -> Iterator[Any]:
    """Image, codec, options; what takes longer than a few seconds is for `-m slow`."""
    yield from (pytest.param(name, "ardm", {}, id=f"{name} ardm") for name in ("demo", "chelsea"))
    for name in ("demo", "05", "20"):
        for codec in ("ardm", "webp", "png", "vdm", "hfd", "diffc"):
            for options in ({}, {"bpp": 0.3}) if codec in ("hfd", "diffc") else ({},):
                if (name, codec) != ("demo", "ardm"):
                    words = [name, codec, *(f"{key}={value}" for key, value in options.items())]
                    slow = pytest.mark.slow
                    yield pytest.param(name, codec, options, id=" ".join(words), marks=slow)


RUNS = list(runs())


def test_every_run_has_figures() -> None:
    assert sorted(FIGURES) == sorted(run.id for run in RUNS)


@pytest.mark.parametrize(("name", "codec", "options"), RUNS)
def test_figures_are_what_they_were(
    name: str, codec: str, options: dict[str, Any], request: pytest.FixtureRequest
) -> None:
    expected = FIGURES[request.node.callspec.id]
    found = figures(load(name), codec, options)
    if codec in EXACT:
        assert found == expected
        return
    assert set(found) == set(expected)
    assert found["bytes"] == pytest.approx(expected["bytes"], rel=0.01)
    assert found.get("psnr", 0) == pytest.approx(expected.get("psnr", 0), abs=0.02)
    assert found.get("pixels") == expected.get("pixels")
