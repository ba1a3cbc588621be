"""Products of the inner loss's second derivatives with a vector: by double backward, or by differences of two gradients.

With L(theta, phi) the inner loss, both classes give `hessian(q) = d2L/dtheta2 q` and `mixed(q) = d/dphi <dL/dtheta, q>`, for one
fixed batch. The loss is a function without arguments that reads the tensors of theta and phi; it must be the same function each
time it is called (dropout off). Parameters that the loss does not use have zero derivatives.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from instune.bilevel.vectors import Vector, norm
from instune.errors import InputError

Loss = Callable[[], Tensor]


@contextmanager
def _explain_missing_derivative() -> Iterator[None]:
    """Fused attention has no second derivative, on CPU neither: say what to set."""
    try:
        yield
    except RuntimeError as error:
        if "derivative for" not in str(error) or "attention" not in str(error):
            raise
        raise InputError(
            "optimize.embedder.product: double_backward cannot pass through the fused attention of attention: sdpa.\n"
            "  Set optimize.embedder.product: central_difference, or optimize.embedder.attention: eager."
        ) from None


class DoubleBackward:
    """Exact products through the graph of the gradient, which is kept while the object lives.

    Args:
        loss: the inner loss, ().
        theta: tensors to differentiate twice.
        phi: tensors of the mixed product.
    """

    def __init__(self, loss: Loss, theta: Sequence[Tensor], phi: Sequence[Tensor]) -> None:
        self.theta, self.phi = theta, phi
        with _explain_missing_derivative():
            self.gradient = torch.autograd.grad(loss(), theta, create_graph=True, materialize_grads=True)

    def _product(self, vector: Vector, inputs: Sequence[Tensor]) -> Vector:
        pairs = [(g, q) for g, q in zip(self.gradient, vector, strict=True) if g.requires_grad]
        if not pairs:
            return tuple(torch.zeros_like(tensor) for tensor in inputs)
        outputs, weights = zip(*pairs, strict=True)
        with _explain_missing_derivative():
            return torch.autograd.grad(outputs, inputs, grad_outputs=weights, retain_graph=True, materialize_grads=True)

    def hessian(self, vector: Vector) -> Vector:
        """d2L/dtheta2 vector, like theta."""
        return self._product(vector, self.theta)

    def mixed(self, vector: Vector) -> Vector:
        """d/dphi <dL/dtheta, vector>, like phi."""
        return self._product(vector, self.phi)


class CentralDifference:
    """Products from two ordinary gradients at theta +- eps q, with eps = step / |q| (DARTS, arXiv 1806.09055, uses step 0.01).

    First derivatives only, so they work through any attention and with gradient checkpointing; the mixed product takes no
    gradient of theta. theta is put back from a copy, bit for bit, also after an error.

    Args:
        loss, theta, phi: as in `DoubleBackward`.
        step: Euclidean length of the perturbation of theta.
    """

    def __init__(self, loss: Loss, theta: Sequence[Tensor], phi: Sequence[Tensor], *, step: float) -> None:
        self.loss, self.theta, self.phi = loss, theta, phi
        self.saved = tuple(tensor.detach().clone() for tensor in theta)
        self.step = step

    def _gradient(self, inputs: Sequence[Tensor], vector: Vector, step: float) -> Vector:
        with torch.no_grad():
            for tensor, base, direction in zip(self.theta, self.saved, vector, strict=True):
                torch.add(base, direction, alpha=step, out=tensor)
        return torch.autograd.grad(self.loss(), inputs, materialize_grads=True)

    def _product(self, vector: Vector, inputs: Sequence[Tensor]) -> Vector:
        length = norm(vector)
        if length == 0.0:
            return tuple(torch.zeros_like(tensor) for tensor in inputs)
        step = self.step / length
        try:
            ahead = self._gradient(inputs, vector, step)
            behind = self._gradient(inputs, vector, -step)
        finally:
            with torch.no_grad():
                for tensor, base in zip(self.theta, self.saved, strict=True):
                    tensor.copy_(base)
        return tuple((a - b) / (2 * step) for a, b in zip(ahead, behind, strict=True))

    def hessian(self, vector: Vector) -> Vector:
        """d2L/dtheta2 vector, like theta."""
        return self._product(vector, self.theta)

    def mixed(self, vector: Vector) -> Vector:
        """d/dphi <dL/dtheta, vector>, like phi."""
        return self._product(vector, self.phi)


Products = DoubleBackward | CentralDifference
