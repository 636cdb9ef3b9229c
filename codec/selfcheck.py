"""Whether a machine decodes as all others do: `noisepress selfcheck`.

The files of reference/ are one of every codec, made with the bundled models. Every version must
decode them to the same samples, with any number of threads, with and without oneDNN, with older
instruction sets, several at once, and in other processes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..bitstream.errors import NoisepressError, one_line
from .api import decode
from .archive import Archive
from .stack import Stack

FOLDER = Path(__file__).parent / "reference"
MANIFEST = FOLDER / "reference.json"

_TOLERANCE = 2
"""Largest difference of a lossy picture, whose network computes in floats."""
_OLDER: Mapping[str, str] = {
    "ATEN_CPU_CAPABILITY": "default",
    "ONEDNN_MAX_CPU_ISA": "SSE41",
    "NUMBA_CPU_NAME": "generic",
    "OPENBLAS_CORETYPE": "Prescott",
    "OMP_NUM_THREADS": "1",
}
"""Environment of a process without newer instructions."""
_TWO_THREADS: Mapping[str, str] = {"OMP_NUM_THREADS": "2", "OMP_WAIT_POLICY": "passive"}
"""Of a process with two threads, which do not use up a busy machine's time while they wait."""
_CHILD = "import sys, noisepress.codec.selfcheck as check; sys.exit(check.child(sys.argv[1:]))"


@dataclass(frozen=True)
class Finding:
    """What one check found.

    Attributes:
        name: what was checked.
        fault: empty if it holds.
    """

    name: str
    fault: str = ""


def run() -> Iterator[Finding]:
    """Every check in turn.

    Yields:
        A finding after each of them.
    """
    import torch

    names = list(json.loads(MANIFEST.read_text()))
    exact = [name for name in names if name in ("ardm", "ardm_random", "vdm", "frames")]
    # At the same time as the codecs here, so that two cores share the time that compiling takes:
    # what one process has compiled, another loads.
    with (
        _Process(["screen", "hfd", *exact], _TWO_THREADS) as two,
        _Process(["ardm", "vdm"], _OLDER) as older,
    ):
        for name in names:
            yield Finding(f"codec {name}", _fault(name))
        yield Finding("2 threads, in another process", two.fault())
        yield Finding("older instructions, in another process", older.fault())
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield Finding("1 thread", _faults(exact))
    finally:
        torch.set_num_threads(threads)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "TF32 acceleration")  # torch's own, of every switch
        with torch.backends.mkldnn.flags(enabled=False):
            fault = _faults(exact)
    yield Finding("without oneDNN", fault)
    with ThreadPoolExecutor(4) as pool:
        found = [fault for fault in pool.map(_fault, exact * 2) if fault]
    yield Finding("several at once in threads", "; ".join(dict.fromkeys(found)))
    if torch.cuda.is_available():
        lossy = [name for name in names if name in ("diffc", "hfd")]
        yield Finding("GPU", "; ".join(filter(None, (_fault(name, "cuda") for name in lossy))))


def child(names: list[str]) -> int:
    """The check of some reference files in another process: its exit status."""
    fault = _faults(names)
    print(fault, file=sys.stderr)
    return int(bool(fault))


class _Process:
    """Another process that checks reference files; ended with the `with` block.

    Args:
        names: the files.
        environment: its additional variables.
    """

    def __init__(self, names: list[str], environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _CHILD, *names],
            env={**os.environ, **environment},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._process:
            self._process.kill()

    def fault(self) -> str:
        """What it found, when it has ended."""
        _, errors = self._process.communicate()
        if self._process.returncode == 0:
            return ""
        return " ".join(errors.split())[-200:] or "it ended early"


def _faults(names: list[str]) -> str:
    return "; ".join(filter(None, map(_fault, names)))


def _fault(name: str, device: str = "cpu") -> str:
    """What is wrong with a reference file as it is decoded here; empty if nothing is."""
    entry = json.loads(MANIFEST.read_text())[name]
    data = (FOLDER / f"{name}.nzp").read_bytes()
    try:
        match name:
            case "archive":
                pixels = Archive(data).read("b")
            case "frames":
                pixels = Stack(data)[2]
            case _:
                pixels = decode(data, device=device)
    except NoisepressError as error:
        return f"{name}: {one_line(error)}"
    return "" if _agrees(name, pixels, entry) else f"{name}: decodes to other samples"


def _agrees(name: str, pixels: NDArray[Any], entry: Mapping[str, Any]) -> bool:
    if list(pixels.shape) != entry["shape"]:
        return False
    if "sha256" in entry:
        little = np.ascontiguousarray(pixels, pixels.dtype.newbyteorder("<"))
        return bool(sha256(little.tobytes()).hexdigest() == entry["sha256"])
    shown = np.asarray(Image.open(BytesIO((FOLDER / f"{name}.png").read_bytes())))
    return int(np.abs(shown.astype(int) - pixels).max()) <= _TOLERANCE
