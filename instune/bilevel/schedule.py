"""What a fold of the bilevel loop is told: how many steps of which size, how hypergradients are formed, which tasks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from instune.bilevel.hypergradient import Product
from instune.bilevel.solvers.named import SolverName

InnerOptimizer = Literal["sgd", "adam"]


@dataclass(frozen=True)
class Validation:
    """Outer validation on tasks that neither level trains on."""

    rows: int
    every: int  # outer steps
    patience: int  # validations without a new best before the fold stops


@dataclass(frozen=True)
class Schedule:
    """How many steps of which size, per fold."""

    outer_steps: int
    inner_steps: int  # after each outer step
    batch_size: int  # examples
    meta_batch_size: int  # examples
    inner_optimizer: InnerOptimizer
    inner_learning_rate: float
    outer_learning_rate: float
    checkpoint_every: int  # outer steps
    validation: Validation | None = None
    checked_batches: int = 0  # at the start, also by double backward in float32
    keep_model: bool = False  # theta of the last step is part of the result


@dataclass(frozen=True)
class Solve:
    """How the hypergradient is formed."""

    solver: SolverName
    product: Product
    difference_step: float | Literal["auto"]  # of central differences
    terms: int
    gamma: float | Literal["auto"]
    damping: float = 0.0  # lambda of (H + lambda I)


@dataclass(frozen=True)
class Split:
    """Task ids of the three meta parts; only the first has learnable instructions."""

    train: Sequence[str]
    test: Sequence[str]
    validation: Sequence[str] = ()
