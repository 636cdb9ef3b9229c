"""Samples per second of online mixing, without the network."""

from __future__ import annotations

from collections import deque
from itertools import repeat
from typing import Any

import pytest

from noisepress.benchmarks.images import Pixels
from noisepress.bitstream.binary import BinaryModel, BinaryTally
from noisepress.bitstream.entropy import Ints
from noisepress.codec.ardm.lattice import Lattice
from noisepress.models.lattice import LatticeNet
from noisepress.models.registry import find, load_network

pytestmark = pytest.mark.slow
Benchmark = Any


class _Recorder(BinaryTally):
    """Keeps what it counts."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Ints, BinaryModel]] = []

    def code(self, symbols: Ints | None, model: BinaryModel) -> Ints:
        coded = super().code(symbols, model)
        self.calls.append((coded, model))
        return coded


@pytest.mark.benchmark(group="online mixing")
def test_mixing(benchmark: Benchmark, photo: Pixels) -> None:
    loop = Lattice(load_network(find("ardm-photo"), LatticeNet), 512, mixing=True)
    crop, recorder = photo[:256, :256], _Recorder()
    deque(loop.run(crop, (256, 256, 3), repeat(recorder)), maxlen=0)
    finest = recorder.calls[-9:]  # three phases of three channels

    def run() -> float:
        tally = BinaryTally()
        for symbols, model in finest:
            tally.code(symbols, model)
        return tally.bits

    assert benchmark.pedantic(run, rounds=5, warmup_rounds=1) > 0
    samples = sum(model.count for _, model in finest)
    benchmark.extra_info["microseconds a sample"] = 1e6 * benchmark.stats["median"] / samples
