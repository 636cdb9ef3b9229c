"""kill -9 at random times: an output is there whole, or not at all; training continues exactly."""

from __future__ import annotations

import multiprocessing
import random
import subprocess
import sys
import time
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import numpy as np
import pytest
import torch
from common import picture
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import noisepress
from noisepress.models import registry
from noisepress.models.lattice import LatticeConfig, LatticeNet
from noisepress.training.command import train
from noisepress.training.data import CropSpec
from noisepress.training.loop import Recipe
from noisepress.training.losses import lattice_bits
from noisepress.training.presets import PRESETS, Preset

TIMES = 50
TINY = Preset(
    lambda: LatticeNet(LatticeConfig(width=8, blocks=1, components=2, levels=1)),
    lattice_bits,
    CropSpec(size=16, scale=(2.0, 4.0), passes=1, crops=24),
    Recipe(steps=16, batch=2, validate=2),
    "tiny",
)


def command(folder: Path, job: str) -> list[str]:
    paths = [str(path) for path in sorted(folder.glob("*.png"))]
    words = {
        "encode": ["encode", paths[0], str(folder / "out.nzp"), "--codec", "png"],
        "batch": ["encode", *paths, "-o", str(folder / "out"), "--codec", "png", "--jobs", "2"],
        "archive": ["archive", *paths, "-o", str(folder / "out.nzp"), "--codec", "png"],
    }
    return [sys.executable, "-m", "noisepress", *words[job]]


def clean(folder: Path) -> None:
    for path in folder.rglob("*.nzp"):
        path.unlink()


@pytest.mark.slow
@pytest.mark.parametrize("job", ["encode", "batch", "archive"])
def test_nothing_is_half_written(job: str, tmp_path: Path) -> None:
    images = {f"{index}.png": picture(90, 120, seed=index) for index in range(4)}
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
        process.communicate(timeout=60)  # its processes end with it
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


def training(photos: Path, folder: Path) -> ForkServerProcess:
    """A process that trains, from the checkpoint of a folder if it has one."""
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["noisepress.training.command", "common"])
    process = processes.Process(target=_train, args=(photos, folder))
    process.start()
    return process


def _train(photos: Path, folder: Path) -> None:
    torch.set_num_threads(1)
    PRESETS["tiny"] = TINY
    train("tiny", photos, folder)


def checkpoint(folder: Path) -> dict[str, torch.Tensor]:
    """The weights of a run and their averages."""
    state = torch.load(folder / "checkpoint.pt", weights_only=True)
    return {
        f"{kind}.{name}": each
        for kind in ("network", "average")
        for name, each in state[kind].items()
    }


def losses(folder: Path) -> dict[tuple[str, int], set[float]]:
    """All losses in the events of a run, by their name and step."""
    found: dict[tuple[str, int], set[float]] = {}
    for path in folder.glob("events.*"):
        events = EventAccumulator(str(path), {"scalars": 0})
        events.Reload()
        for name in events.Tags()["scalars"]:
            for scalar in events.Scalars(name):
                found.setdefault((name, scalar.step), set()).add(scalar.value)
    return found


@pytest.mark.slow
def test_killed_training_continues_to_the_same_losses(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for index in range(24):
        Image.fromarray(picture(90, 120, seed=index)).save(photos / f"{index:02}.png")
    whole = 0.0
    for name in ("first", "second"):  # the first also loads what all others find loaded
        start = time.monotonic()
        process = training(photos, tmp_path / name)
        process.join()
        assert process.exitcode == 0
        whole = time.monotonic() - start
    expected, weights = losses(tmp_path / "first"), checkpoint(tmp_path / "first")
    assert len(expected) == 16 + 8
    rng = random.Random(0)
    kills = complete = 0
    while kills < TIMES or complete == 0:
        folder = tmp_path / f"killed{complete}"
        process = training(photos, folder)
        process.join(rng.uniform(0, whole) if kills < TIMES else None)
        if process.is_alive():
            process.kill()
            process.join()
            kills += 1
            for path in folder.glob("[!.]*.npy"):
                assert np.load(path).shape[1:] == (16, 16, 3)
            if (folder / "checkpoint.pt").exists():
                assert checkpoint(folder).keys() == weights.keys()
        else:
            assert process.exitcode == 0
            complete += 1
            assert losses(folder) == expected
            found = checkpoint(folder)
            assert all(torch.equal(found[name], weights[name]) for name in weights)
            assert registry.find(str(folder / "tiny.safetensors")).name == "tiny"
