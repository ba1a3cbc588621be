"""Products of the inner loss's second derivatives with a vector: by double backward, or by differences of two gradients.

With L(theta, phi) the inner loss, both classes give `hessian(q) = d2L/dtheta2 q` and `mixed(q) = d/dphi <dL/dtheta, q>`, for one
fixed batch; over several ranks, of the mean loss. Parameters that the loss does not use have zero derivatives. The Hessian is the
loss's own, not a Gauss-Newton approximation of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from instune.bilevel.gradients import Loss, accumulate, empty_gradients, parts, take
from instune.bilevel.ranks import mean_over_ranks
from instune.bilevel.vectors import Vector, norm
from instune.errors import InputError

NO_SECOND_DERIVATIVE = ("derivative for", "does not currently support double backward")


@contextmanager
def _explain_missing_derivative() -> Iterator[None]:
    """Kernels for speed have no second derivative: say what to set."""
    try:
        yield
    except RuntimeError as error:
        if not any(words in str(error) for words in NO_SECOND_DERIVATIVE):
            raise
        raise _missing_derivative(str(error).splitlines()[0]) from None


def _missing_derivative(what: str) -> InputError:
    return InputError(
        f"double_backward meets an operation without a second derivative ({what}).\n"
        "  Set optimize.product: central_difference, or optimize.attention: eager or sdpa; no torch.compile."
    )


def _check_differentiable(gradient: Sequence[Tensor]) -> None:
    """Refuse a graph with a node that stands for a missing derivative.

    It would raise if it ran, but it has no inputs, so `torch.autograd.grad` prunes it and leaves its part out without a word.
    """
    waiting = [tensor.grad_fn for tensor in gradient]
    seen = set()
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if node.name() == "torch::autograd::Error":
            raise _missing_derivative("a function marked with @once_differentiable")
        waiting += [following for following, _ in node.next_functions]


class DoubleBackward:
    """Exact products through the graph of the gradient, which is kept while the object lives.

    Torch's own attention runs as plain matrix products here: its fused kernels have no second derivative, on CPU neither.

    Args:
        loss: the inner loss.
        theta: tensors to differentiate twice.
        phi: tensors of the mixed product.

    Raises:
        InputError: the loss has an operation that cannot be differentiated twice.
    """

    def __init__(self, loss: Loss, theta: Sequence[Tensor], phi: Sequence[Tensor]) -> None:
        self.theta, self.phi, self.gradients = theta, phi, []
        with _explain_missing_derivative(), sdpa_kernel(SDPBackend.MATH):
            for part in parts(loss):
                self.gradients.append(torch.autograd.grad(part, theta, create_graph=True, materialize_grads=True))
                _check_differentiable(self.gradients[-1])

    def _product(self, vector: Vector, inputs: Sequence[Tensor]) -> Vector:
        total = [torch.zeros_like(tensor) for tensor in inputs]
        for gradient in self.gradients:
            pairs = [(g, q) for g, q in zip(gradient, vector, strict=True) if g.requires_grad]
            if not pairs:
                continue
            outputs, weights = zip(*pairs, strict=True)
            with _explain_missing_derivative(), sdpa_kernel(SDPBackend.MATH):  # checkpointed layers run again here
                found = torch.autograd.grad(outputs, inputs, grad_outputs=weights, retain_graph=True, materialize_grads=True)
            torch._foreach_add_(total, found)
        return mean_over_ranks(total)

    def hessian(self, vector: Vector) -> Vector:
        """d2L/dtheta2 vector, like theta."""
        return self._product(vector, self.theta)

    def mixed(self, vector: Vector) -> Vector:
        """d/dphi <dL/dtheta, vector>, like phi."""
        return self._product(vector, self.phi)


class CentralDifference:
    """Products from two ordinary gradients at theta +- eps q, with eps = step / |q| (DARTS, arXiv 1806.09055, uses step 0.01).

    First derivatives only, so they work through any attention and with gradient checkpointing. The mixed product takes no
    gradient of theta and keeps nothing for one. theta is put back from a copy, bit for bit, also after an error.

    Args:
        loss, theta, phi: as in `DoubleBackward`.
        step: Euclidean length of the perturbation of theta.

    Raises:
        InputError: theta is held in 16 bits, where most of a small perturbation is rounded away.
    """

    def __init__(self, loss: Loss, theta: Sequence[Tensor], phi: Sequence[Tensor], *, step: float) -> None:
        narrow = {str(tensor.dtype) for tensor in theta if torch.finfo(tensor.dtype).bits < 32}
        if narrow:
            raise InputError(
                f"central_difference perturbs weights, and these are held in {', '.join(sorted(narrow))}.\n"
                "  Load the model in float32 (its matrix products may still be bfloat16 under autocast), or use double_backward."
            )
        self.loss, self.theta, self.phi = loss, list(theta), list(phi)
        self.saved = [tensor.detach().clone() for tensor in theta]
        self.step = step

    def _at(self, vector: Vector, step: float, inputs: Sequence[Tensor], sign: float) -> None:
        """Add sign * gradient at theta + step * vector to the inputs' `.grad`."""
        with torch.no_grad():  # tensor by tensor: sharded ones know no grouped operations
            for tensor, base, direction in zip(self.theta, self.saved, vector, strict=True):
                tensor.copy_(base).add_(direction, alpha=step)
        torch.clear_autocast_cache()  # else a caller's autocast block would go on with its casts of the weights as they were
        accumulate(self.loss, inputs, sign)

    def _product(self, vector: Vector, inputs: Sequence[Tensor]) -> Vector:
        length = norm(vector)
        if length == 0.0:
            return tuple(torch.zeros_like(tensor) for tensor in inputs)
        step = self.step / length
        with empty_gradients([*self.theta, *self.phi]):
            try:
                self._at(vector, step, inputs, 1.0)
                self._at(vector, -step, inputs, -1.0)
            finally:
                with torch.no_grad():
                    for tensor, base in zip(self.theta, self.saved, strict=True):
                        tensor.copy_(base)
                torch.clear_autocast_cache()
            difference = take(inputs)
        return tuple(tensor.div_(2 * step) for tensor in difference)

    def hessian(self, vector: Vector) -> Vector:
        """d2L/dtheta2 vector, like theta."""
        return self._product(vector, self.theta)

    def mixed(self, vector: Vector) -> Vector:
        """d/dphi <dL/dtheta, vector>, like phi."""
        for tensor in self.theta:
            tensor.requires_grad_(False)
        try:
            return self._product(vector, self.phi)
        finally:
            for tensor in self.theta:
                tensor.requires_grad_(True)


Products = DoubleBackward | CentralDifference
