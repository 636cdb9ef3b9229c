"""`noisepress train`: crops, run, export."""

from __future__ import annotations

import math
import platform
from collections import deque
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
from .loop import Run
from .losses import StudentLoss, masked_digit_bits
from .presets import PRESETS, Preset

CURVE_POINTS = 256
CURVE_UNITS = 2**16
CALIBRATION_CROPS = 256


class TrainingError(NoisepressError):
    """A run cannot start: unknown preset, or no data."""


def train(
    name: str,
    data: Path,
    out: Path,
    until: int | None = None,
    start: str | None = None,
    steps: int | None = None,
) -> int:
    """Train a preset on a folder of photographs, continuing from `out`'s checkpoint.

    Args:
        name: key of `PRESETS`.
        data: folder of photographs.
        out: receives the crop cache, checkpoints, TensorBoard events and, after the last
            step, the model file.
        until: stop at this step; a later call continues.
        start: a model, by name or path, whose weights a new run begins with; see
            `Recipe.continued`.
        steps: optimiser steps in all; the preset's by default.

    Returns:
        Exit status 0.

    Raises:
        TrainingError: unknown preset or model, no steps, or `data` holds no images.
    """
    if name not in PRESETS:
        raise TrainingError(f"unknown preset {name!r}; supported are {', '.join(PRESETS)}")
    if steps is not None and steps < 1:
        raise TrainingError(f"--steps is {steps}, supported are 1 and above")
    preset = PRESETS[name]
    torch.set_flush_denormal(True)  # the fading momentum of idle weights is slow otherwise
    torch.manual_seed(0)
    network = preset.network()
    if begins := start or preset.start:
        network = fitting(thawed(begins), network)
    recipe = preset.recipe if start is None else preset.recipe.continued()
    run = Run(network, preset.loss, replace(recipe, steps=steps or recipe.steps), out)
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
        export(preset, run, validation, out / f"{name}.safetensors", begins)
    return 0


def thawed(name: str) -> Network:
    """The network of a model, ready to train on.

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


def fitting(trained: Network, wanted: Network) -> Network:
    """A trained network, widened if the wanted one sees another image as well."""
    sighted = isinstance(wanted, UNet) and wanted.config.condition
    if sighted and isinstance(trained, UNet) and not trained.config.condition:
        return trained.conditioned()
    return trained


def export(
    preset: Preset, run: Run, validation: Crops, path: Path, start: str | None = None
) -> None:
    """Freeze the averaged network and write it with its card.

    Args:
        start: the model that the run began with, see `train`.
    """
    measured = {"validation bits per dimension": round(run.validation(validation), 4)}
    if any(convolutions(run.network)):
        set_quantise(run.network, False)
        measured["the same without rounding"] = round(run.validation(validation), 4)
        set_quantise(run.network, True)
    if not run.main:
        return
    network = run.averaged().cpu()
    assert isinstance(network, Network)
    tables: dict[str, Any] = {}
    if isinstance(network, MaskedNet):
        tables["curves"] = loss_curves(network, validation)
    if isinstance(network, UNet) and not network.config.condition:
        tables = error_tables(network, validation[:CALIBRATION_CROPS])
    if isinstance(preset.loss, StudentLoss):
        tables["levels"] = [
            round(level * OCTAVE / math.log(2)) for level in preset.loss.steps.student[:-1]
        ]
    numbers = {bundled: number for number, bundled in BUNDLED.items()}
    crops = preset.crops
    write_network(
        network,
        path,
        name=preset.model_id,
        number=numbers.get(preset.model_id, FIRST_CUSTOM),
        tables=tables,
        facts={
            "trained": f"{run.step} steps of {preset.recipe.batch} crops of {crops.size} pixels",
            "began with": "random weights" if start is None else origin(start),
            "hours": round(run.seconds / 3600, 2),
            "hardware": hardware(run),
            "date": date.today().isoformat(),
            **measured,
            "parameters": sum(p.numel() for p in network.parameters()),
            "data": f"photographs downscaled by {crops.scale[0]} to {crops.scale[1]}",
            "licence": "MIT",
            "command": f"noisepress train {preset.model_id} --data PHOTOS --out RUN",
        },
    )


def origin(start: str) -> str:
    """A model that a run began with, in words."""
    card = find(start)
    return f"{card.name} {card.digest:08x}"


def hardware(run: Run) -> str:
    """The devices of a run, in words."""
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
