"""`noisepress train`: cut the crops, run the loop, export the model."""

from __future__ import annotations

import math
import platform
from collections import deque
from copy import deepcopy
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..bitstream.errors import ModelError, NoisepressError
from ..bitstream.information import OCTAVE
from ..models.exact import convolutions, set_quantise
from ..models.masked import STAGES, MaskedNet
from ..models.registry import BUNDLED, FIRST_CUSTOM, find
from ..models.storage import Network, read_network, write_network
from ..models.unet import UNet
from .calibration import error_tables
from .data import Crops, cache
from .distill import Pair
from .loop import Run
from .losses import DistillationLoss, masked_digit_bits, score_loss
from .presets import PRESETS, Preset, Trainable

CURVE_POINTS = 256
"""Fractions of known samples, evenly spaced, at which loss curves are tabulated."""
CURVE_UNITS = 2**16
"""Units of loss curves in a bit."""
CALIBRATION_CROPS = 256
"""Validation crops from which a denoiser's error tables are measured."""


class TrainingError(NoisepressError):
    """A run cannot start: unknown preset or model, or no data."""


def train(
    name: str,
    data: Path,
    out: Path,
    until: int | None = None,
    start: str | None = None,
    steps: int | None = None,
    batch: int | None = None,
) -> int:
    """Train a preset on a folder of photographs, continuing from the checkpoint in `out`.

    Args:
        name: key of `PRESETS`.
        data: folder of photographs.
        out: receives the cached crops, checkpoints, TensorBoard events and, after the last
            step, the model file.
        until: stop at this step; a later call continues.
        start: a model, by name or path, whose weights a new run begins with; see
            `Recipe.continued`.
        steps: optimiser steps in all; None: those of the preset.
        batch: crops in one step; None: those of the preset.

    Returns:
        Exit status 0.

    Raises:
        TrainingError: unknown preset or model, no steps, no crops, or `data` holds no images.
    """
    if name not in PRESETS:
        raise TrainingError(f"unknown preset {name!r}; supported are {', '.join(PRESETS)}")
    for option, value in (("steps", steps), ("batch", batch)):
        if value is not None and value < 1:
            raise TrainingError(f"--{option} is {value}, supported are 1 and above")
    preset = PRESETS[name]
    torch.set_flush_denormal(True)  # the fading momentum of idle weights is slow otherwise
    torch.manual_seed(0)
    network = preset.network()
    origin = start or preset.start
    if origin:
        network = fitting(thawed(origin), network)
    recipe = preset.recipe if start is None else preset.recipe.continued()
    recipe = replace(recipe, steps=steps or recipe.steps, batch=batch or recipe.batch)
    run = Run(network, preset.loss, recipe, out)
    few = replace(preset.crops, crops=max(1, preset.crops.crops // 4))
    try:
        with run.accelerator.main_process_first():
            training = cache(data, out / "training.npy", preset.crops, validation=False)
            validation = cache(data, out / "validation.npy", few, validation=True)
    except OSError as error:
        raise TrainingError(str(error)) from error
    run.resume()
    deque(run.train(training, validation, until), maxlen=0)
    if run.step >= run.recipe.steps:
        export(name, preset, run, validation, origin)
    return 0


def thawed(name: str) -> Network:
    """A network with the weights of a model, ready to train on.

    Raises:
        TrainingError: there is no such model.
    """
    try:
        card = find(name)
        network = read_network(card.path, card.architecture, card.config)
    except ModelError as error:
        raise TrainingError(str(error)) from error
    for _, conv in convolutions(network):
        conv.thaw()
    return network.train()


def fitting(trained: Network, wanted: Trainable) -> Trainable:
    """A trained network in the form that a preset trains.

    A denoiser is widened if the preset's is conditioned on an image; both networks of a `Pair`
    begin with the same weights. The size is that of the trained network.

    Raises:
        TrainingError: the two have different architectures.
    """
    if isinstance(wanted, Pair):
        student = fitting(trained, wanted.student)
        assert isinstance(student, UNet)
        return Pair(student, deepcopy(student))
    if trained.ARCHITECTURE != wanted.ARCHITECTURE:
        raise TrainingError(
            f"a model of architecture {trained.ARCHITECTURE} cannot start a preset"
            f" of architecture {wanted.ARCHITECTURE}"
        )
    conditioned = isinstance(wanted, UNet) and wanted.config.condition
    if conditioned and isinstance(trained, UNet) and not trained.config.condition:
        return trained.conditioned()
    return trained


def export(
    name: str, preset: Preset, run: Run, validation: Crops, origin: str | None = None
) -> None:
    """Freeze the averaged network and write it, with its card, into the folder of the run.

    Args:
        name: name of the model and, with the suffix .safetensors, of the file.
        preset: what the run trained.
        validation: crops (n, size, size, 3).
        origin: the model that the run began with; None: random weights.

    Raises:
        ExactnessError: a layer's sums could leave the exact range.
        OSError: the file cannot be written.
    """
    averaged = run.average.module
    measured = {"validation bits per dimension": round(run.validation(validation), 4)}
    if any(convolutions(averaged)):
        set_quantise(averaged, False)
        measured["the same without rounding"] = round(run.validation(validation), 4)
        set_quantise(averaged, True)
    if not run.main:
        return
    network = (averaged.student if isinstance(averaged, Pair) else averaged).cpu()
    assert isinstance(network, Network)
    tables: dict[str, Any] = {}
    if isinstance(network, MaskedNet):
        tables["curves"] = loss_curves(network, validation)
    if isinstance(network, UNet) and not network.config.condition:
        tables = error_tables(network, validation[:CALIBRATION_CROPS])
    if preset.loss is score_loss:
        tables["restores"] = 1
    if isinstance(preset.loss, DistillationLoss):
        tables["levels"] = [
            round(level * OCTAVE / math.log(2)) for level in preset.loss.steps.student[:-1]
        ]
    numbers = {bundled: number for number, bundled in BUNDLED.items()}
    crops = preset.crops
    start = find(origin) if origin else None
    command = f"noisepress train {name} --data PHOTOS --out RUN"
    if start and origin != preset.start:
        command += f" --start {start.name}"
    if run.recipe.steps != preset.recipe.steps:
        command += f" --steps {run.recipe.steps}"
    if run.recipe.batch != preset.recipe.batch:
        command += f" --batch {run.recipe.batch}"
    write_network(
        network,
        run.folder / f"{name}.safetensors",
        name=name,
        number=numbers.get(name, FIRST_CUSTOM),
        tables=tables,
        facts={
            "trained": f"{run.step} steps of {run.recipe.batch} crops of {crops.size} pixels",
            "began with": f"{start.name} {start.digest:08x}" if start else "random weights",
            "hours": round(run.seconds / 3600, 2),
            "hardware": hardware(run),
            "date": date.today().isoformat(),
            **measured,
            "parameters": sum(p.numel() for p in network.parameters()),
            "data": f"photographs downscaled by {crops.scale[0]} to {crops.scale[1]}",
            "licence": "MIT",
            "command": command,
        },
    )


def hardware(run: Run) -> str:
    """The devices of a run, as text for its card."""
    state = run.accelerator
    if state.device.type == "cuda":
        return f"{state.num_processes} x {torch.cuda.get_device_name(state.device)}"
    return f"{state.num_processes * torch.get_num_threads()} threads, {platform.machine()}"


@torch.no_grad()
def loss_curves(network: MaskedNet, crops: Crops, images: int = 96) -> list[list[int]]:
    """Cost of a digit against the fraction known, for each stage: the dynamic program's input.

    Returns:
        STAGES lists of CURVE_POINTS integers in 1 / CURVE_UNITS bit, none rising.
    """
    batch = torch.from_numpy(np.ascontiguousarray(crops[:images].transpose(0, 3, 1, 2))).float()
    rank = torch.rand(batch.shape, generator=torch.Generator().manual_seed(0))
    rank = rank.flatten(1).argsort(1).argsort(1).view_as(batch) / batch[0].numel()
    # Denser where little is known and the cost changes fast.
    at = np.linspace(0, 1, 24, endpoint=False) ** 2
    curves = []
    for stage in range(STAGES):
        stages = torch.full((len(batch),), stage)
        costs = []
        for fraction in at:
            mask = (rank < fraction).float()
            bits = masked_digit_bits(network, batch, mask, stages)
            costs.append(float((bits * (1 - mask)).sum() / (1 - mask).sum()))
        falling = np.minimum.accumulate(costs)
        dense = np.interp(np.arange(CURVE_POINTS) / CURVE_POINTS, at, falling)
        curves.append([round(cost * CURVE_UNITS) for cost in dense])
    return curves
