"""Rows of a step laid end to end: no padding, positions that start anew, no row sees another."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from instune.tuning.labels import IGNORE_INDEX
from instune.tuning.rows import TrainingRow


def packs(rows: Sequence[TrainingRow], max_tokens: int) -> list[list[TrainingRow]]:
    """Rows from the longest to the shortest, each into the first pack that has room (first-fit decreasing).

    Rows of one length keep their order. The step's loss is one sum over all rows, so packing changes memory and speed but not
    the gradient. A row longer than the limit stands alone.
    """
    groups: list[list[TrainingRow]] = []
    rooms: list[int] = []
    for row in sorted(rows, key=lambda row: -len(row.input_ids)):
        length = len(row.input_ids)
        place = next((number for number, room in enumerate(rooms) if length <= room), None)
        if place is None:
            groups.append([row])
            rooms.append(max_tokens - length)
        else:
            groups[place].append(row)
            rooms[place] -= length
    return groups


def collate_packed(rows: Sequence[TrainingRow], *, soft_prompts: Sequence[torch.Tensor] = ()) -> dict[str, torch.Tensor]:
    """The rows of a causal model as one sequence of T tokens.

    Args:
        soft_prompts: (n, d) embeddings of the soft instruction of every row that has one, in row order.

    Returns:
        `input_ids`, `position_ids` (1, T), which start at 0 with every row; `row_starts` (rows + 1,) int32, T at the end;
        `labels`, `loss_weights` (1, T) as `collate` shifts them: a row's last position predicts nothing, so no row predicts the
        next one's first token. There is no attention mask: one of ones would make transformers let every row see those before
        it. Where rows have soft instructions also `soft_places` (1, T) and `soft_embeddings` (number of places, d).
    """
    starts, soft = [0], torch.zeros(1, sum(len(row.input_ids) for row in rows), dtype=torch.bool)
    for row in rows:
        first = starts[-1] + row.soft[0]
        soft[0, first : first + row.soft[1]] = True
        starts.append(starts[-1] + len(row.input_ids))
    batch = {
        "input_ids": torch.tensor([[token for row in rows for token in row.input_ids]]),
        "position_ids": torch.cat([torch.arange(len(row.input_ids)) for row in rows])[None],
        "row_starts": torch.tensor(starts, dtype=torch.int32),
        "labels": torch.tensor([[label for row in rows for label in (*row.labels[1:], IGNORE_INDEX)]]),
        "loss_weights": torch.tensor([[weight for row in rows for weight in (*row.loss_weights[1:], 0.0)]]),
    }
    return batch | ({"soft_places": soft, "soft_embeddings": torch.cat(list(soft_prompts))} if soft_prompts else {})
