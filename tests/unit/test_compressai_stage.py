"""CompressAI's models as hfd's first stage."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from compressai.zoo import bmshj2018_hyperprior, mbt2018_mean

from noisepress.bitstream.errors import CorruptError, ModelError, UnsupportedImageError
from noisepress.codec.compressai_stage import CompressaiStage

ROW, COLUMN = np.mgrid[:50, :70]
PICTURE = np.stack([ROW * 4, COLUMN * 3, 200 - ROW - COLUMN], 2).astype(np.uint8)


@pytest.fixture(scope="module", params=[bmshj2018_hyperprior, mbt2018_mean])
def stage(request: pytest.FixtureRequest) -> CompressaiStage:
    """With random weights: what the pictures look like does not matter."""
    torch.manual_seed(0)
    return CompressaiStage(request.param(quality=1, metric="mse", pretrained=False))


def test_strings_give_the_picture_of_the_model_itself(stage: CompressaiStage) -> None:
    data = stage.encode(PICTURE)
    picture = stage.decode(data)
    assert picture.shape == PICTURE.shape and picture.dtype == np.uint8
    assert np.array_equal(stage.decode(data), picture)
    padded = np.pad(PICTURE, ((0, 14), (0, 58), (0, 0)), "edge")
    x = torch.from_numpy(padded).permute(2, 0, 1)[None] / 255
    with torch.inference_mode():
        coded = stage._model.compress(x)
        found = stage._model.decompress(coded["strings"], coded["shape"])["x_hat"]
    expected = (found[0].permute(1, 2, 0) * 255).clamp(0, 255)[:50, :70].numpy()
    assert np.abs(picture - expected).max() < 0.51


def test_the_score_decoder_draws_from_it(stage: CompressaiStage) -> None:
    data = stage.encode(PICTURE)
    first = stage.decode(data)
    flow, ancestral = (stage.decode(data, render=one, steps=2) for one in ("flow", "ancestral"))
    assert first.shape == flow.shape == ancestral.shape
    assert not np.array_equal(first, flow) and not np.array_equal(flow, ancestral)


def test_cut_strings_and_other_images_are_refused(stage: CompressaiStage) -> None:
    data = stage.encode(PICTURE)
    with pytest.raises(CorruptError, match="cut"):
        stage.decode(data[:8])
    with pytest.raises(UnsupportedImageError, match="RGB8"):
        stage.encode(PICTURE[..., 0])


def test_models_of_other_codecs_are_refused() -> None:
    with pytest.raises(ModelError, match="not a score decoder"):
        CompressaiStage(mbt2018_mean(quality=1, pretrained=False), decoder="diffc-photo")
