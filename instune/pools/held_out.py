"""Datasets that a pool's settings hold out."""

from __future__ import annotations

from collections.abc import Collection
from difflib import get_close_matches

from instune.errors import InputError


def check_held_out(pool: str, held_out: Collection[str], known: Collection[str]) -> None:
    """Every name stands for a dataset: one that does not would leave a benchmark among the training tasks.

    Raises:
        InputError: a name that no dataset has; near ones are named.
    """
    for name in held_out:
        if name not in known:
            near = get_close_matches(name, known, n=3, cutoff=0.4) or sorted(known)[:3]
            raise InputError(
                f"pools.{pool}.held_out: {name!r} is no dataset of the pool. Near: {', '.join(near) or 'none'}.\n"
                "  Mend the name, bring the dataset, or take the name out."
            )
