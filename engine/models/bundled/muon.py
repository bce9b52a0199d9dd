"""Orthogonalised momentum for the dense convolutions of the student."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

COEFFICIENTS = (3.4445, -4.7750, 2.0315)


def orthogonal(matrix: torch.Tensor, steps: int = 5) -> torch.Tensor:
    """Return a matrix (M, N) with the singular vectors of ``matrix`` and singular values near 1.

    Newton-Schulz iteration with the coefficients of Jordan et al., "Muon: An optimizer for hidden layers in
    neural networks" (2024).
    """
    a, b, c = COEFFICIENTS
    turned = matrix.shape[0] > matrix.shape[1]
    x: torch.Tensor = matrix.T if turned else matrix
    x = x / x.norm().add(1e-7)
    for _ in range(steps):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    return x.T if turned else x


class Muon(torch.optim.Optimizer):
    """Nesterov momentum, made orthogonal, for weights of (O, I, H, W) that a norm follows.

    The scale of such weights changes nothing, so each keeps the norm it began with and ``lr`` is the length
    of a step as a share of it.
    """

    def __init__(self, params: Iterable[torch.Tensor], lr: float, momentum: float = 0.9) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Change every weight that has a gradient."""
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                state = self.state[weight]
                if not state:
                    state["exp_avg"] = torch.zeros_like(weight)
                    state["norm"] = weight.norm()
                state["exp_avg"].lerp_(weight.grad, 1 - group["momentum"])
                ahead = weight.grad.lerp(state["exp_avg"], group["momentum"])
                change = orthogonal(ahead.flatten(1)).view_as(weight)
                weight.sub_(change, alpha=float(group["lr"] * state["norm"] / (change.norm() + 1e-7)))
                weight.mul_(state["norm"] / weight.norm())
