"""Muon: momentum whose updates are orthogonalised matrices (Jordan et al., 2024).

torch.optim.Muon takes matrices only; convolution kernels are seen here as matrices of shape
(outputs, inputs * kernel area).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from ..models.exact import COMPUTE

# Coefficients of the quintic iteration that pushes all singular values towards 1.
_A, _B, _C = 3.4445, -4.7750, 2.0315
_ITERATIONS = 5
_MOMENTUM = 0.95
_DECAY = 0.3  # of the weights, in units of the learning rate; holds activations in 8 bits


def orthogonalise(matrix: Tensor) -> Tensor:
    """The nearest semi-orthogonal matrix, approximately, by Newton-Schulz iterations."""
    tall = matrix.shape[0] > matrix.shape[1]
    x: Tensor = matrix.T if tall else matrix
    x = (x / (torch.linalg.matrix_norm(x) + 1e-9)).to(COMPUTE)
    for _ in range(_ITERATIONS):
        gram = x @ x.T
        x = _A * x + (_B * gram + _C * gram @ gram) @ x
    return (x.T if tall else x).to(matrix.dtype)


class Muon(torch.optim.Optimizer):
    """Nesterov momentum with orthogonalised updates, for weights of two or more dimensions."""

    def __init__(self, weights: Iterable[Tensor] | list[dict[str, Any]], lr: float) -> None:
        super().__init__(weights, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Update every weight from its gradient."""
        for group in self.param_groups:
            for weight in group["params"]:
                state = self.state[weight]
                momentum = state.setdefault("momentum", torch.zeros_like(weight))
                momentum.lerp_(weight.grad, 1 - _MOMENTUM)
                update = orthogonalise(weight.grad.lerp(momentum, _MOMENTUM).flatten(1))
                size = 0.2 * math.sqrt(max(update.shape))
                weight.mul_(1 - group["lr"] * _DECAY)
                weight.add_(update.view_as(weight), alpha=-group["lr"] * size)
