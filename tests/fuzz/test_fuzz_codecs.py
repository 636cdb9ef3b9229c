"""Random damage to files of every codec: an error of one line or a picture, nothing else."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from fuzz.damage import mutate, mutate_contents, outcomes

from noisepress.bitstream.container import read

GOLDEN = Path(__file__).parents[1] / "golden" / "codec"
MANIFEST: dict[str, dict[str, Any]] = json.loads((GOLDEN / "manifest.json").read_text())


@pytest.mark.parametrize("rounds", [4, pytest.param(400, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", MANIFEST)
def test_damaged_files(name: str, rounds: int) -> None:
    rng = random.Random(f"{name} {rounds}")
    data = (GOLDEN / name).read_bytes()
    models = [str(GOLDEN / model) for model in MANIFEST[name]["models"]]
    contents = read(data)
    refused = 0
    for _ in range(rounds):
        outcomes(mutate(data, rng), models)
        refused += any(outcomes(mutate_contents(contents, rng), models).values())
    assert refused > 0
