"""The training loop: one for all models.

Warm-up, constant rate, linear decay; gradient clipping; an exponential moving average of the
weights; checkpoints from which a run continues exactly; scalars for TensorBoard; several
devices through accelerate.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from .data import Crops, batches
from .muon import Muon

Loss = Callable[[nn.Module, Tensor, torch.Generator], Tensor]


@dataclass(frozen=True)
class Recipe:
    """What a run does, apart from its model, loss and data.

    Attributes:
        steps: optimiser steps in all.
        batch: crops of one step, shared out among the devices.
        rate: peak learning rate of Adam, for biases and output layers.
        matrix_rate: peak learning rate of Muon, for hidden convolutions.
        warmup, decay: fractions of `steps` at the start and the end with a rising and a
            falling rate.
        clip: largest norm of the gradient.
        average: decay of the moving average of the weights.
        validate: steps between validations and checkpoints.
        gentle: beginnings of the names of weights that learn at a share of the rates, and the
            share, for parts that begin as about what they should be. The first that fits counts.
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
    gentle: tuple[tuple[str, float], ...] = ()

    def continued(self) -> Recipe:
        """For weights that are trained already: lower rates, falling from the start."""
        return replace(self, rate=self.rate / 2, matrix_rate=self.matrix_rate / 2, decay=1.0)

    def rate_at(self, step: int) -> float:
        """Fraction of the peak learning rate at a step."""
        rising = (step + 1) / max(1.0, self.warmup * self.steps)
        falling = (self.steps - step) / max(1.0, self.decay * self.steps)
        return min(1.0, rising, falling)


def optimisers(network: nn.Module, recipe: Recipe) -> list[torch.optim.Optimizer]:
    """Muon for the hidden convolutions, Adam for everything else."""
    matrices: dict[float, list[nn.Parameter]] = {}
    others: dict[float, list[nn.Parameter]] = {}
    for name, weight in network.named_parameters():
        inner = not any(part in name for part in ("heads", "enter", "leave"))
        hidden = inner and weight.ndim == 4 and weight.shape[1] > 2
        shares = (share for part, share in recipe.gentle if name.startswith(part))
        share = next(shares, 1.0)
        (matrices if hidden else others).setdefault(share, []).append(weight)

    def groups(weights: dict[float, list[nn.Parameter]], rate: float) -> list[dict[str, Any]]:
        return [{"params": some, "lr": share * rate} for share, some in weights.items()]

    return [
        Muon(groups(matrices, recipe.matrix_rate), recipe.matrix_rate),
        torch.optim.Adam(groups(others, recipe.rate), recipe.rate, betas=(0.9, 0.98)),
    ]


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
        loss: maps (network, batch (n, 3, h, w) of float integers, generator) to bits per
            dimension.
        recipe: see `Recipe`.
        folder: receives `checkpoint.pt` and TensorBoard events.
    """

    def __init__(self, network: nn.Module, loss: Loss, recipe: Recipe, folder: Path) -> None:
        self.loss, self.recipe, self.folder = loss, recipe, folder
        self.accelerator = Accelerator()
        torch.manual_seed(0)
        network = network.to(memory_format=torch.channels_last)
        self.network: nn.Module = network.to(self.accelerator.device)
        self.optimisers = [
            self.accelerator.prepare(one) for one in optimisers(self.network, recipe)
        ]
        self.objective: nn.Module = self.accelerator.prepare(_Objective(self.network, loss))
        self.average = {name: p.detach().clone() for name, p in self.network.named_parameters()}
        self.share, left = divmod(recipe.batch, self.accelerator.num_processes)
        if left:
            raise ValueError(f"{recipe.batch} crops do not share out among the devices")
        self.step, self.seconds = 0, 0.0

    @property
    def checkpoint(self) -> Path:
        return self.folder / "checkpoint.pt"

    def save(self) -> None:
        """Write everything needed to continue, atomically."""
        state: dict[str, Any] = {
            "step": self.step,
            "seconds": self.seconds,
            "network": self.network.state_dict(),
            "average": self.average,
            "optimisers": [one.state_dict() for one in self.optimisers],
        }
        partial = self.checkpoint.with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(self.checkpoint)

    def resume(self) -> None:
        """Continue from the checkpoint of the folder, if there is one."""
        if not self.checkpoint.exists():
            return
        state = torch.load(self.checkpoint, map_location="cpu", weights_only=True)
        self.step, self.seconds = state["step"], state["seconds"]
        self.network.load_state_dict(state["network"])
        device = self.accelerator.device
        self.average = {name: value.to(device) for name, value in state["average"].items()}
        for one, saved in zip(self.optimisers, state["optimisers"], strict=True):
            one.load_state_dict(saved)

    @property
    def main(self) -> bool:
        """True in the process that reports and writes."""
        return bool(self.accelerator.is_main_process)

    def averaged(self) -> nn.Module:
        """The network with its averaged weights swapped in."""
        self.network.load_state_dict(self.average, strict=False)
        return self.network

    def _batch(self, crops: Crops) -> Tensor:
        batch = torch.from_numpy(np.array(crops)).to(self.accelerator.device).float()
        return batch.contiguous(memory_format=torch.channels_last)

    @torch.no_grad()
    def validation(self, crops: Crops) -> float:
        """Mean loss of the averaged weights over all validation crops."""
        raw = {name: p.detach().clone() for name, p in self.network.named_parameters()}
        network = self.averaged()
        generator = torch.Generator(self.accelerator.device).manual_seed(0)
        parts = np.array_split(crops, max(1, len(crops) // self.share))
        losses = [
            self.loss(network, self._batch(part.transpose(0, 3, 1, 2)), generator)
            for part in parts[self.accelerator.process_index :: self.accelerator.num_processes]
        ]
        mine = torch.stack([torch.stack(losses).sum(), torch.tensor(len(losses)).to(losses[0])])
        total, count = self.accelerator.reduce(mine, "sum").tolist()
        self.network.load_state_dict(raw, strict=False)
        return float(total / count)

    def _update(self, batch: Tensor, generator: torch.Generator) -> float:
        for one in self.optimisers:
            for group in one.param_groups:
                group.setdefault("peak", group["lr"])
                group["lr"] = group["peak"] * self.recipe.rate_at(self.step)
            one.zero_grad()
        loss: Tensor = self.objective(batch, generator)
        self.accelerator.backward(loss)
        self.accelerator.clip_grad_norm_(self.network.parameters(), self.recipe.clip)
        for one in self.optimisers:
            one.step()
        decay = min(self.recipe.average, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for name, p in self.network.named_parameters():
                self.average[name].lerp_(p, 1 - decay)
        return loss.item()

    def train(self, train: Crops, validate: Crops, until: int | None = None) -> Iterator[float]:
        """Train to the last step, yielding each validation loss.

        With `until`, stop at the first validation at or after that step.
        A run that stopped and resumed takes the same batches as one that did not.
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
            if self.main:
                self.save()
            bar.write(f"step {self.step}: train {recent:.4f}, validation {held_out:.4f}")
            yield held_out
        bar.close()
        events.close()
