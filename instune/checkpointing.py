"""Gradient checkpointing that does not ask whether the model trains.

Transformers checkpoints a layer only where `layer.training` holds, so that dropout off, as in every pass of a hypergradient,
would turn it off in silence. Here each layer's forward pass is checkpointed by itself, in either mode.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from types import MethodType
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer

from instune.errors import InputError


def recompute_activations(model: PreTrainedModel) -> None:
    """From now on keep only the inputs of the model's layers for the backward pass, which computes the rest again.

    Not reentrant: works with `torch.autograd.grad`, with gradients of gradients, adapters and frozen inputs. Dropout draws the
    same masks again. A copy of the model recomputes its own layers. Adapters may be there or come later.

    Raises:
        InputError: the model has no layers that transformers knows how to checkpoint.
    """
    layers = [module for module in model.modules() if isinstance(module, GradientCheckpointingLayer)]
    if not layers:
        raise InputError(
            f"gradient_checkpointing: true, but {type(model).__name__} has no layers that can be checkpointed.\n"
            "  Set it to false, and bound memory by micro_batch_tokens."
        )
    for layer in layers:
        layer.forward = MethodType(_recomputed(type(layer).forward), layer)  # a method, so that a copy's is bound to the copy


def _recomputed(forward: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(forward)
    def run(layer: nn.Module, *args: Any, **keywords: Any) -> Any:
        if not torch.is_grad_enabled():
            return forward(layer, *args, **keywords)
        modes = _modes(layer)

        def first_or_again(*inputs: Any) -> Any:
            now = _modes(layer)
            _set(modes)  # a backward pass may come when the model's mode is another
            try:
                return forward(layer, *inputs, **keywords)
            finally:
                _set(now)

        return checkpoint(first_or_again, *args, use_reentrant=False)

    return run


def _modes(layer: nn.Module) -> list[tuple[nn.Module, bool]]:
    return [(module, module.training) for module in layer.modules()]


def _set(modes: list[tuple[nn.Module, bool]]) -> None:
    for module, training in modes:
        module.training = training
