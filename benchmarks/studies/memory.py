"""Peak memory of encoding and decoding a large image, each in a process of its own.

    python -m noisepress.benchmarks.studies.memory PHOTO --megapixels 100

The image is the photograph, mirrored and repeated to a square of that size.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from ..images import Pixels
from ..measure import load, peak_in


def mirrored(pixels: Pixels, side: int) -> Pixels:
    """A square of a picture, mirrored beyond its edges so that no seams show."""
    height, width = pixels.shape[:2]
    beyond = ((0, max(0, side - height)), (0, max(0, side - width)), (0, 0))
    return np.pad(pixels, beyond, "symmetric")[:side, :side]


def mosaic(photo: Path, megapixels: float) -> Image.Image:
    """A square RGB image of about the given size."""
    return Image.fromarray(mirrored(load(photo), round((megapixels * 1e6) ** 0.5)))


_CHILD = """
import sys
from noisepress.cli import main
try:
    main(sys.argv[1:])
finally:
    print(open("/proc/self/status").read(), file=sys.stderr)
"""


def peak_of(*arguments: str) -> tuple[float, float]:
    """Largest resident memory in MiB and wall time in seconds of a noisepress command.

    The process reads its own peak from Linux's /proc: what the system reports to a parent
    includes the parent's memory.

    Raises:
        RuntimeError: the command failed.
    """
    began = time.perf_counter()
    command = [sys.executable, "-c", _CHILD, *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    seconds = time.perf_counter() - began
    peak = peak_in(done.stderr)
    if done.returncode or peak is None:
        raise RuntimeError(f"noisepress {' '.join(arguments)} failed")
    return peak, seconds


def main() -> None:
    """Measure one image and check the round trip."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("photo", type=Path)
    parser.add_argument("--megapixels", type=float, default=100.0)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        source, coded, back = (str(Path(folder) / name) for name in ("a.png", "a.nzp", "b.png"))
        image = mosaic(args.photo, args.megapixels)
        image.save(source, compress_level=1)
        for command in (("encode", source, coded, "--quiet"), ("decode", coded, back)):
            peak, seconds = peak_of(*command)
            print(f"{command[0]}: peak {peak:.0f} MiB, {seconds:.0f} s", flush=True)
        Image.MAX_IMAGE_PIXELS = None
        with Image.open(back) as restored:
            if not np.array_equal(np.asarray(restored), np.asarray(image)):
                raise RuntimeError("the image did not come back")
        print(f"{image.width} x {image.height} pixels, {Path(coded).stat().st_size} bytes")


if __name__ == "__main__":
    main()
