"""CompressAI's benchmark runs noisepress as one of its codecs. Needs the extra `compressai`."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import noisepress
from noisepress.benchmarks.errors import BenchError


@pytest.mark.compressai
@pytest.mark.filterwarnings("ignore:divide by zero")
def test_compressai_collects_real_file_sizes(tmp_path: Path) -> None:
    collect = pytest.importorskip("compressai.utils.bench.__main__").collect
    from noisepress.benchmarks.compressai_codec import Ardm

    rng = np.random.default_rng(0)
    sizes = []
    for index, shape in enumerate([(24, 40, 3), (33, 17, 3)]):
        pixels = rng.integers(0, 256, shape, np.uint8) // 8
        Image.fromarray(pixels).save(tmp_path / f"{index}.png")
        sizes.append(8 * len(noisepress.encode(pixels)) / (shape[0] * shape[1]))
    codec = Ardm()
    results = collect(codec, str(tmp_path), [0], ["psnr-rgb"])
    assert results["bpp"] == [pytest.approx(np.mean(sizes))]
    assert results["psnr-rgb"] == [float("inf")]
    assert results.keys() == {"bpp", "psnr-rgb", "encoding_time", "decoding_time"}
    json.dumps({"name": codec.name, "description": codec.description, "results": results})


def test_without_compressai_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "compressai"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "compressai", None)
    monkeypatch.delitem(sys.modules, "noisepress.benchmarks.compressai_codec", raising=False)
    with pytest.raises(BenchError, match=r'^compressai.* is missing; .*\[compressai\]" [a-z ]+$'):
        importlib.import_module("noisepress.benchmarks.compressai_codec")
