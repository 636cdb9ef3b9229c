"""Where the networks of lossy codecs run."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import noisepress
from noisepress.bitstream.errors import ModelError
from noisepress.codec.diffc import coding as diffc
from noisepress.models import registry

LOSSY = ("diffc", "hfd")
CARD = registry.find("diffc-photo")
ROW, COLUMN = np.mgrid[:33, :48][..., None]
PICTURE = (120 + 60 * np.sin(ROW / 9 + COLUMN / 7 + np.arange(3))).astype(np.uint8)
HERE = "cpu:0"
"""The processor by another name, so that the code for other devices runs."""


def fast(codec: str) -> dict[str, Any]:
    return {"steps": 10, "effort": 6} if codec == "diffc" else {}


@pytest.mark.parametrize("codec", LOSSY)
def test_files_and_pictures_are_the_same_on_a_device(codec: str) -> None:
    data = noisepress.encode(PICTURE, codec, quality=30, **fast(codec))
    assert noisepress.encode(PICTURE, codec, quality=30, device=HERE, **fast(codec)) == data
    expected, found = (
        noisepress.decode(data, render="flow", steps=2, device=device) for device in ("cpu", HERE)
    )
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("codec", LOSSY)
@pytest.mark.parametrize("device", ["nowhere", "", "cuda:99"])
def test_devices_that_do_not_exist_are_refused(codec: str, device: str) -> None:
    data = noisepress.encode(PICTURE, codec, quality=30, **fast(codec))
    for act in (
        lambda: noisepress.encode(PICTURE, codec, device=device),
        lambda: noisepress.decode(data, device=device),
    ):
        with pytest.raises(ModelError) as info:
            act()
        assert repr(device) in str(info.value) and "\n" not in str(info.value)


def test_a_network_is_kept_for_each_device() -> None:
    networks = [registry.load(CARD, device) for device in ("cpu", HERE, HERE)]
    assert networks[1] is networks[2] is not networks[0]


def test_products_of_matrices() -> None:
    rng = np.random.default_rng(0)
    a, b = (rng.normal(size=(rows, 5)).astype(np.float32) for rows in (3, 4))
    np.testing.assert_allclose(diffc._product(HERE)(a, b), a @ b.T, rtol=1e-5)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@pytest.mark.parametrize("codec", LOSSY)
def test_a_gpu_decodes_what_the_processor_coded(codec: str) -> None:
    data = noisepress.encode(PICTURE, codec, quality=40, **fast(codec))
    expected, found = (
        noisepress.decode(data, device=device).astype(float) for device in ("cpu", "cuda")
    )
    assert np.mean((found - expected) ** 2) < 0.5
    other = noisepress.encode(PICTURE, codec, quality=40, device="cuda", **fast(codec))
    assert abs(len(other) - len(data)) < 0.02 * len(data)
