"""How the cost of the codecs grows, where it goes, and what the start costs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import noisepress
from noisepress.benchmarks.images import Pixels
from noisepress.benchmarks.studies.memory import mirrored

pytestmark = pytest.mark.slow
Benchmark = Any


@pytest.mark.benchmark(group="ardm, lattice order")
@pytest.mark.parametrize("side", [128, 256, 512])
@pytest.mark.parametrize("what", ["estimate", "encode and check", "decode"])
def test_lattice(benchmark: Benchmark, photo: Pixels, what: str, side: int) -> None:
    pixels = mirrored(photo, side)
    data = noisepress.encode(pixels, fallback=False)
    run = {
        "estimate": lambda: noisepress.estimate(pixels),
        "encode and check": lambda: noisepress.encode(pixels, fallback=False),
        "decode": lambda: noisepress.decode(data),
    }[what]
    benchmark.pedantic(run, rounds=3, warmup_rounds=1)
    benchmark.extra_info["microseconds a pixel"] = 1e6 * benchmark.stats["median"] / side**2


@pytest.mark.benchmark(group="ardm, random order, 32 x 32")
@pytest.mark.parametrize("calls", [16, 64, 256])
def test_random_order(benchmark: Benchmark, photo: Pixels, calls: int) -> None:
    pixels = photo[:32, :32]
    data = noisepress.encode(pixels, order="random", calls=calls, fallback=False)
    benchmark.pedantic(lambda: noisepress.decode(data), rounds=3, warmup_rounds=1)


@pytest.mark.benchmark(group="start")
@pytest.mark.parametrize("what", ["python alone", "import", "info"])
def test_start(benchmark: Benchmark, photo: Pixels, what: str, tmp_path: Path) -> None:
    file = tmp_path / "photo.nzp"
    file.write_bytes(noisepress.encode(photo[:32, :32], "png"))
    command = {
        "python alone": ["-c", "pass"],
        "import": ["-c", "import noisepress"],
        "info": ["-m", "noisepress", "info", str(file)],
    }[what]
    launch = [sys.executable, *command]
    benchmark.pedantic(lambda: subprocess.run(launch, check=True, capture_output=True), rounds=5)
