"""Muon: momentum whose updates are orthogonalised matrices.

Jordan et al., *Muon: An optimizer for hidden layers in neural networks* (2024,
https://kellerjordan.github.io/posts/muon). torch.optim.Muon takes matrices only; here convolution
kernels are matrices of shape (outputs, inputs * kernel area).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from ..models.exact import training_dtype

_A, _B, _C = 3.4445, -4.7750, 2.0315
"""Coefficients of the quintic iteration that pushes all singular values towards 1."""
_ITERATIONS = 5
_MOMENTUM = 0.95
"""Coefficients, iterations and momentum are those of Jordan et al."""
_SIZE = 0.2
"""Root mean square of an update, in learning rates; as Adam's (arXiv 2502.16982, section 2.2)."""
_DECAY = 0.3
"""Decay of the weights in a step, in learning rates. Keeps activations within 8 bits, see
docs/training.md."""


def orthogonalise(matrix: Tensor) -> Tensor:
    """The nearest semi-orthogonal matrix, approximately, by Newton-Schulz iterations.

    Args:
        matrix: (rows, columns).

    Returns:
        The same shape; most singular values are between 0.7 and 1.3.
    """
    tall = matrix.shape[0] > matrix.shape[1]
    x: Tensor = matrix.T if tall else matrix
    x = (x / (torch.linalg.matrix_norm(x) + 1e-9)).to(training_dtype())
    for _ in range(_ITERATIONS):
        gram = x @ x.T
        x = _A * x + (_B * gram + _C * gram @ gram) @ x
    return (x.T if tall else x).to(matrix.dtype)


class Muon(torch.optim.Optimizer):
    """Nesterov momentum with orthogonalised updates.

    Args:
        weights: tensors of two or more dimensions, or groups of them.
        lr: learning rate of weights in no group with its own.
    """

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
                size = _SIZE * math.sqrt(max(update.shape))
                weight.mul_(1 - group["lr"] * _DECAY)
                weight.add_(update.view_as(weight), alpha=-group["lr"] * size)
