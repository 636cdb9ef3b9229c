"""The golden files under every setting that a machine has: threads, oneDNN and instruction sets.

    python tests/golden/matrix.py

Runs the tests of golden files, reference files and exact networks, which also switch oneDNN off,
in a process for each setting, and prints a line for each. Other versions of numpy and torch are
tried by running it with them.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).parents[2]
TESTS = ("tests/golden", "tests/unit/test_exact.py", "tests/unit/test_selfcheck.py")
SETTINGS: Mapping[str, Mapping[str, str]] = {
    "as it is": {},
    "1 thread": {"OMP_NUM_THREADS": "1"},
    "4 threads": {"OMP_NUM_THREADS": "4"},
    "oneDNN with AVX-512": {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE"},
    "oneDNN with AVX2": {"ONEDNN_MAX_CPU_ISA": "AVX2"},
    "oneDNN with SSE 4.1": {"ONEDNN_MAX_CPU_ISA": "SSE41"},
    "torch with AVX2": {"ATEN_CPU_CAPABILITY": "avx2"},
    "torch without AVX": {"ATEN_CPU_CAPABILITY": "default"},
    "numpy without AVX2": {"NPY_DISABLE_CPU_FEATURES": "AVX2 FMA3"},
    "OpenBLAS for Prescott": {"OPENBLAS_CORETYPE": "Prescott"},
    "numba for the oldest processor": {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""},
    "numba without optimisation": {"NUMBA_OPT": "0"},
}


def main() -> int:
    print(f"{platform.machine()}, numpy {np.__version__}, torch {torch.__version__}")
    failed = 0
    for name, environment in SETTINGS.items():
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *TESTS],
            env={**os.environ, **environment},
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
        failed += done.returncode != 0
        print(f"{name:<32} {done.stdout.strip().splitlines()[-1]}", flush=True)
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
