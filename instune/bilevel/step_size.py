"""The step of central differences: large enough for rounding, small enough for curvature, found on the model itself."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor

from instune.bilevel.gradients import Loss, gradient
from instune.bilevel.products import CentralDifference
from instune.bilevel.vectors import norm, plus

LADDER = (3e-2, 1e-2, 3e-3, 1e-3, 3e-4)  # Euclidean lengths of the perturbation


def choose_step(inner_loss: Loss, outer_loss: Loss, theta: Sequence[Tensor], phi: Sequence[Tensor]) -> tuple[float, float]:
    """The step at which the mixed product changes least when the step is made a third as long, and that relative change.

    Where truncation rules, the error falls with the square of the step, where rounding rules it grows as the step shrinks; the
    change between neighbours is smallest between the two. The direction is the gradient of the outer loss.

    Returns:
        the smaller step of the best pair, and |difference| / |product| of the pair: a bound on the error where truncation rules.
    """
    _, v = gradient(outer_loss, theta)
    found, last, best = LADDER[0], None, math.inf
    for step in LADDER:
        product = CentralDifference(inner_loss, theta, phi, step=step).mixed(v)
        if last is not None and norm(product):
            change = norm(plus(product, last, -1.0)) / norm(product)
            if change < best:
                found, best = step, change
        last = product
    return found, best
