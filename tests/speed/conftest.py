"""Inputs that the speed benchmarks share. Run with: pytest -m slow tests/speed"""

from __future__ import annotations

from importlib.resources import files

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from noisepress.bitstream.entropy import Ints, LogisticMixture
from noisepress.codec.demo import PHOTO


@pytest.fixture(scope="session")
def photo() -> NDArray[np.uint8]:
    """The bundled photograph, (h, w, 3)."""
    with files("noisepress.codec").joinpath(PHOTO).open("rb") as file:
        return np.asarray(Image.open(file).convert("RGB"))


@pytest.fixture(scope="session")
def mixture() -> LogisticMixture:
    """200,000 mixtures of four logistics with the spread of a photograph's."""
    rng = np.random.default_rng(0)
    n, k = 200_000, 4
    centre = rng.integers(200, 3900, (n, 1))
    return LogisticMixture(
        logits=rng.integers(-100, 100, (n, k)).astype(np.int32),
        locations=(centre + rng.integers(-60, 60, (n, k))).astype(np.int32),
        scales=rng.integers(-10, 40, (n, k)).astype(np.int32),
    )


@pytest.fixture(scope="session")
def symbols(mixture: LogisticMixture) -> Ints:
    """A plausible symbol of each mixture."""
    noise = np.random.default_rng(1).logistic(0, 3, len(mixture.logits))
    centred: Ints = np.clip(np.rint(mixture.locations[:, 0] / 16 + noise), 0, 255).astype(np.int32)
    return centred
