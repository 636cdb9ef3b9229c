"""Every file of a fuzzing corpus through all that reads files, to see which code it reaches.

    PYTHONPATH=tests coverage run --source bitstream,codec tests/fuzz/replay.py FOLDER

FOLDER is that of `fuzz_files.py`. Kernels that numba compiles cannot be traced.
"""

from __future__ import annotations

import sys
from pathlib import Path

from fuzz.damage import outcomes

GOLDEN = Path(__file__).parents[1] / "golden" / "codec"


def main() -> None:
    models = [str(path) for path in sorted(GOLDEN.glob("*.safetensors"))]
    files = sorted((Path(sys.argv[1]) / "corpus").iterdir())
    for file in files:
        outcomes(file.read_bytes(), models)
    print(f"{len(files)} files")


if __name__ == "__main__":
    main()
