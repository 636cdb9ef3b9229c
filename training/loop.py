"""The training loop, the same for all models.

A learning rate that rises, stays and falls; gradient clipping; an exponential moving average of the
weights; checkpoints from which a run continues exactly; scalars for TensorBoard; several devices
through accelerate.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from ..bitstream.atomic import atomic_writer
from .data import Crops, batches
from .muon import Muon

_PART = 16
"""Crops that validation takes at a time: the losses of runs with different batches compare."""
Loss = Callable[[nn.Module, Tensor, torch.Generator], Tensor]
"""Maps a network, a batch (n, 3, h, w) of float integers from 0 to 255 and a generator on their
device to bits per dimension, a scalar."""


@dataclass(frozen=True)
class Recipe:
    """How a model is optimised.

    Attributes:
        steps: optimiser steps in all.
        batch: crops in one step, divided evenly among the devices.
        rate: peak learning rate of Adam, for biases and output layers.
        matrix_rate: peak learning rate of Muon, for hidden convolutions.
        warmup, decay: fractions of `steps` at the start, where the learning rate rises, and at the
            end, where it falls.
        clip: largest norm of the gradient.
        average: decay of the moving average of the weights.
        validate: steps between validations and checkpoints.
    """

    steps: int
    batch: int
    rate: float = 1e-2
    matrix_rate: float = 8e-3
    warmup: float = 0.01
    decay: float = 0.6
    clip: float = 1.0
    average: float = 0.998
    validate: int = 250

    def continued(self) -> Recipe:
        """For weights that are trained already: half the learning rates, falling from the start."""
        return replace(self, rate=self.rate / 2, matrix_rate=self.matrix_rate / 2, decay=1.0)

    def rate_at(self, step: int) -> float:
        """Fraction of the peak learning rate at a step, 0 to `steps`."""
        rising = (step + 1) / max(1.0, self.warmup * self.steps)
        falling = (self.steps - step) / max(1.0, self.decay * self.steps)
        return min(1.0, rising, falling)


def optimisers(network: nn.Module, recipe: Recipe) -> list[torch.optim.Optimizer]:
    """Muon for the hidden convolutions, Adam for everything else, at their peak learning rates."""
    matrices: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for name, weight in network.named_parameters():
        inner = not any(part in name for part in ("heads", "enter", "leave"))
        hidden = inner and weight.ndim == 4 and weight.shape[1] > 2
        (matrices if hidden else others).append(weight)
    return [
        Muon(matrices, recipe.matrix_rate),
        torch.optim.Adam(others, recipe.rate, betas=(0.9, 0.98)),
    ]


def _warming_average(
    decay: float,
) -> Callable[[Sequence[Tensor], Sequence[Tensor], Tensor | int], None]:
    """Exponential moving average for `AveragedModel`, whose decay begins at 0.1 and rises.

    The average soon forgets the untrained weights: the decay of TensorFlow's
    ExponentialMovingAverage with `num_updates`, (1 + step) / (10 + step), up to `decay`.
    """

    def update(
        averages: Sequence[Tensor], weights: Sequence[Tensor], updates: Tensor | int
    ) -> None:
        kept = min(decay, int(updates) / (int(updates) + 9))  # the first update is a copy
        for average, weight in zip(averages, weights, strict=True):
            average.lerp_(weight, 1 - kept)

    return update


class _Objective(nn.Module):
    """The loss as a module's forward pass, which is where several devices synchronise."""

    def __init__(self, network: nn.Module, loss: Loss) -> None:
        super().__init__()
        self.network, self.loss = network, loss

    def forward(self, batch: Tensor, generator: torch.Generator) -> Tensor:
        return self.loss(self.network, batch, generator)


class Run:
    """A training run that can stop and continue.

    Args:
        network: the model; trained in place.
        loss: what the run minimises.
        recipe: see `Recipe`.
        folder: receives `checkpoint.pt` and TensorBoard events.

    Attributes:
        average: the network with averaged weights, which validates and is exported, as `module`.

    Raises:
        ValueError: the batch cannot be divided evenly among the devices.
    """

    def __init__(self, network: nn.Module, loss: Loss, recipe: Recipe, folder: Path) -> None:
        self.loss, self.recipe, self.folder = loss, recipe, folder
        self.accelerator = Accelerator()
        torch.manual_seed(0)
        network = network.to(memory_format=torch.channels_last)
        self.network: nn.Module = network.to(self.accelerator.device)
        plain = optimisers(self.network, recipe)
        self.schedules = [LambdaLR(optimiser, recipe.rate_at) for optimiser in plain]
        self.optimisers = [self.accelerator.prepare(optimiser) for optimiser in plain]
        self.objective: nn.Module = self.accelerator.prepare(_Objective(self.network, loss))
        self.average = AveragedModel(self.network, multi_avg_fn=_warming_average(recipe.average))
        self.average.update_parameters(self.network)
        self.share, left = divmod(recipe.batch, self.accelerator.num_processes)
        if left:
            devices = self.accelerator.num_processes
            raise ValueError(
                f"{recipe.batch} crops cannot be divided evenly among {devices} devices"
            )
        self.step, self.seconds = 0, 0.0

    @property
    def checkpoint(self) -> Path:
        """The file that the run continues from."""
        return self.folder / "checkpoint.pt"

    def save(self) -> None:
        """Write everything needed to continue, atomically.

        Raises:
            OSError: the checkpoint cannot be written.
        """
        state: dict[str, Any] = {
            "step": self.step,
            "seconds": self.seconds,
            "network": self.network.state_dict(),
            "average": self.average.module.state_dict(),
            "optimisers": [optimiser.state_dict() for optimiser in self.optimisers],
        }
        with atomic_writer(self.checkpoint) as file:
            torch.save(state, file)

    def resume(self) -> None:
        """Continue from the checkpoint of the folder, if there is one.

        Raises:
            RuntimeError: the checkpoint is of another network.
        """
        if not self.checkpoint.exists():
            return
        state = torch.load(self.checkpoint, map_location="cpu", weights_only=True)
        self.step, self.seconds = state["step"], state["seconds"]
        self.network.load_state_dict(state["network"])
        # Averages of earlier versions lack the buffers.
        self.average.module.load_state_dict(state["network"] | state["average"])
        self.average.n_averaged.fill_(1 + self.step)
        optimisers = zip(self.optimisers, self.schedules, state["optimisers"], strict=True)
        for optimiser, schedule, saved in optimisers:
            optimiser.load_state_dict(saved)
            schedule.last_epoch = self.step
            # Checkpoints of earlier versions hold the rates of the step before.
            for group, peak in zip(optimiser.param_groups, schedule.base_lrs, strict=True):
                group["lr"] = peak * self.recipe.rate_at(self.step)

    @property
    def main(self) -> bool:
        """True in the process that reports and writes."""
        return bool(self.accelerator.is_main_process)

    def _batch(self, crops: Crops) -> Tensor:
        batch = torch.from_numpy(np.array(crops)).to(self.accelerator.device).float()
        return batch.contiguous(memory_format=torch.channels_last)

    @torch.no_grad()
    def validation(self, crops: Crops) -> float:
        """Mean loss of the averaged weights over validation crops (n, size, size, 3)."""
        generator = torch.Generator(self.accelerator.device).manual_seed(0)
        pieces = max(self.accelerator.num_processes, len(crops) // _PART)
        parts = np.array_split(crops, pieces)
        losses = [
            self.loss(self.average.module, self._batch(part.transpose(0, 3, 1, 2)), generator)
            for part in parts[self.accelerator.process_index :: self.accelerator.num_processes]
        ]
        sums = torch.stack([torch.stack(losses).sum(), torch.tensor(len(losses)).to(losses[0])])
        total, count = self.accelerator.reduce(sums, "sum").tolist()
        return float(total / count)

    def _update(self, batch: Tensor, generator: torch.Generator) -> float:
        for optimiser in self.optimisers:
            optimiser.zero_grad()
        loss: Tensor = self.objective(batch, generator)
        self.accelerator.backward(loss)
        self.accelerator.clip_grad_norm_(self.network.parameters(), self.recipe.clip)
        for optimiser, schedule in zip(self.optimisers, self.schedules, strict=True):
            optimiser.step()
            schedule.step()
        self.average.update_parameters(self.network)
        return loss.item()

    def train(self, train: Crops, validate: Crops, until: int | None = None) -> Iterator[float]:
        """Train to the last step, yielding each validation loss in bits per dimension.

        A run that stopped and resumed takes the same batches as one that did not.

        Args:
            train, validate: crops (n, size, size, 3).
            until: stop at the first validation at or after this step; None: at the last step.

        Raises:
            OSError: the checkpoint cannot be written.
        """
        every = self.recipe.validate
        stop = min(-(-(until or self.recipe.steps) // every) * every, self.recipe.steps)
        events = SummaryWriter(self.folder)
        device = self.accelerator.device
        rank = self.accelerator.process_index
        bar = tqdm(total=stop, initial=self.step, unit="step", disable=not self.main)
        recent = math.nan
        while self.step < stop:
            epoch = self.step // self.recipe.validate
            feed = batches(train, self.share, np.random.default_rng([epoch, rank]))
            generator = torch.Generator(device).manual_seed(epoch * 4096 + rank)
            for _ in range(min(self.recipe.validate, stop - self.step)):
                began = time.perf_counter()
                value = self._update(self._batch(next(feed)), generator)
                self.seconds += time.perf_counter() - began
                recent = value if math.isnan(recent) else 0.98 * recent + 0.02 * value
                self.step += 1
                bar.update()
                bar.set_postfix(bits=f"{recent:.4f}")
                events.add_scalar("train/bits", value, self.step)
            held_out = self.validation(validate)
            events.add_scalar("validation/bits", held_out, self.step)
            events.flush()  # those of the checkpoint's steps
            if self.main:
                self.save()
            bar.write(f"step {self.step}: train {recent:.4f}, validation {held_out:.4f}")
            yield held_out
        bar.close()
        events.close()
