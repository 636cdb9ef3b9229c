"""kill -9 at random times: an output is there whole, or not at all."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from common import picture
from PIL import Image

import noisepress

TIMES = 50


def command(folder: Path, job: str) -> list[str]:
    paths = [str(path) for path in sorted(folder.glob("*.png"))]
    words = {
        "encode": ["encode", paths[0], str(folder / "out.nzp"), "--codec", "png"],
        "batch": ["encode", *paths, "-o", str(folder / "out"), "--codec", "png"],
        "archive": ["archive", *paths, "-o", str(folder / "out.nzp"), "--codec", "png"],
    }
    return [sys.executable, "-m", "noisepress", *words[job]]


def clean(folder: Path) -> None:
    for path in folder.rglob("*.nzp"):
        path.unlink()


@pytest.mark.slow
@pytest.mark.parametrize("job", ["encode", "batch", "archive"])
def test_nothing_is_half_written(job: str, tmp_path: Path) -> None:
    images = {f"{index}.png": picture(300, 400, seed=index) for index in range(4)}
    for name, image in images.items():
        Image.fromarray(image).save(tmp_path / name)
    words = command(tmp_path, job)
    start = time.monotonic()
    subprocess.run(words, check=True, capture_output=True)
    whole = time.monotonic() - start
    rng = random.Random(job)
    left = 0
    for _ in range(TIMES):
        clean(tmp_path)
        process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        time.sleep(rng.uniform(0, 1.1 * whole))
        process.kill()
        process.communicate()
        for path in tmp_path.rglob("*.nzp"):
            left += 1
            if job == "archive":
                archive = noisepress.Archive(path)
                for name, image in images.items():
                    np.testing.assert_array_equal(archive.read(name), image)
            else:
                name = "0.png" if job == "encode" else f"{path.stem}.png"
                np.testing.assert_array_equal(noisepress.decode(path), images[name])
    assert left > 0
    subprocess.run([*words, "--force"], check=True, capture_output=True)
