"""Fine-tune the sentence encoder so that wordings of one task lie close: INSTA-Aligned (arXiv 2404.16418)."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from scipy.stats import pearsonr, rankdata
from sentence_transformers import SentenceTransformer
from sentence_transformers.util import batch_to_device
from tqdm import tqdm

from instune.errors import InputError
from instune.selection.pairs import UNLIKE, Pairs, drawn, training_and_development

Scores = dict[str, float]  # {"pearson", "auc"}


def auc(cosines: np.ndarray, labels: np.ndarray) -> float:
    """Chance that a pair of one task has a higher cosine than a pair of two; ties count half. (n,), (n,) of 0.0 and 1.0."""
    same = labels == 1
    ones, zeros = int(same.sum()), int((~same).sum())
    return float((rankdata(cosines)[same].sum() - ones * (ones + 1) / 2) / (ones * zeros))


def unit_vectors(model: SentenceTransformer, texts: Iterable[str], batch_size: int) -> dict[str, np.ndarray]:
    """Unit vector of each text, (d,)."""
    ordered = sorted(set(texts))
    encoded = model.encode(ordered, batch_size=batch_size, normalize_embeddings=True, show_progress_bar=False)
    return dict(zip(ordered, encoded, strict=True))


def evaluate(model: SentenceTransformer, pairs: Pairs, batch_size: int) -> Scores:
    """Pearson correlation of cosine and label, and AUC of same-task against other-task pairs."""
    vectors, labels = unit_vectors(model, pairs.first + pairs.second, batch_size), np.array(pairs.labels)
    values = np.array([vectors[one] @ vectors[two] for one, two in zip(pairs.first, pairs.second, strict=True)])
    return {"pearson": float(pearsonr(values, labels).statistic), "auc": auc(values, labels)}


def pair_loss(model: SentenceTransformer, first: list[str], second: list[str], labels: torch.Tensor) -> torch.Tensor:
    """Mean of (label - cosine)^2 over the pairs of a batch, labels (B,): CosineSimilarityLoss."""
    sides = (batch_to_device(model.preprocess(texts), model.device) for texts in (first, second))
    one, two = (model(side)["sentence_embedding"] for side in sides)  # (B, d) each
    return torch.nn.functional.mse_loss(torch.cosine_similarity(one, two), labels.to(model.device))


def _schedule(steps_per_epoch: int, steps: int) -> Callable[[int], float]:
    """Linear warm-up over a tenth of an epoch, then linear decay to 0."""
    warm = max(steps_per_epoch // 10, 1)
    return lambda step: min((step + 1) / warm, (steps - step) / max(steps - warm, 1))


def align(
    model: SentenceTransformer,
    train: Pairs,
    development: Pairs,
    *,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    seed: int,
) -> tuple[list[Scores], int]:
    """Train in place, and leave the weights of the epoch with the highest development Pearson.

    Args:
        model: the unaligned encoder.
        train: pairs to learn.
        development: pairs of other tasks.
        epochs: passes over `train`.
        batch_size: pairs per step.
        learning_rate: of AdamW, warmed up over a tenth of an epoch, then falling to 0.
        seed: of the order and of dropout.

    Returns:
        Development scores before training and after each epoch, and the epoch that was kept, from 1.

    Raises:
        InputError: the loss is not finite.
    """
    steps_per_epoch = -(-len(train.labels) // batch_size)
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, _schedule(steps_per_epoch, epochs * steps_per_epoch))
    scores, best, kept = [evaluate(model, development, batch_size)], copy.deepcopy(model.state_dict()), 0
    devices = [model.device] if model.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices), tqdm(total=epochs * len(train.labels), desc="align", unit="pair") as progress:
        torch.manual_seed(seed)
        generator = torch.Generator().manual_seed(seed)
        for epoch in range(1, epochs + 1):
            model.train()
            for rows in torch.randperm(len(train.labels), generator=generator).split(batch_size):
                first, second = ([side[row] for row in rows.tolist()] for side in (train.first, train.second))
                loss = pair_loss(model, first, second, torch.tensor(train.labels)[rows])
                if not torch.isfinite(loss):
                    raise InputError(f"align.learning_rate: the loss is {loss.item()} in epoch {epoch}. Lower the rate.")
                optimizer.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                schedule.step()
                progress.update(len(rows))
            model.eval()
            scores.append(evaluate(model, development, batch_size))
            if kept == 0 or scores[epoch]["pearson"] > scores[kept]["pearson"]:
                best, kept = copy.deepcopy(model.state_dict()), epoch
    model.load_state_dict(best)
    return scores, kept


def _check(train: Pairs, without: int) -> None:
    """Refuse pairs of one label: they would teach to call all texts alike, or none."""
    same = int(sum(train.labels))
    if not 0 < same < len(train.labels):
        raise InputError(
            f"align.epochs: the source tasks give {same} positive and {len(train.labels) - same} negative pairs to train on, and"
            f" both are needed.\n  For {without} texts none of another task lies below a cosine of {UNLIKE}. Add tasks or"
            " wordings, or set align.epochs: 0."
        )


def align_on(
    model: SentenceTransformer,
    groups: Mapping[str, Sequence[str]],
    *,
    pairs: int | None,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    seed: int,
) -> dict[str, Any]:
    """Draw pairs of the groups, train in place, and report what it did.

    Args:
        model: the unaligned encoder.
        groups: name -> texts that say the same.
        pairs: of each label, drawn to train on and as many to develop; None: all of the recipe's.
        epochs, batch_size, learning_rate: as in `align`.
        seed: of pairs, order and dropout.

    Returns:
        `pairs`: numbers of training and development pairs and of texts without a negative; `epoch`: the one kept; `before`,
        `after`: development scores.

    Raises:
        InputError: too few groups of two texts, pairs of one label only, or a loss that is not finite.
    """
    vectors = unit_vectors(model, {text for texts in groups.values() for text in texts}, batch_size)
    train, development, without = training_and_development(groups, vectors, seed)
    _check(train, without)
    if pairs is not None:
        train, development = drawn(train, pairs, seed), drawn(development, pairs, seed)
    scores, kept = align(model, train, development, epochs=epochs, batch_size=batch_size, learning_rate=learning_rate, seed=seed)
    return {
        "pairs": {"train": len(train.labels), "development": len(development.labels), "without_negative": without},
        "epoch": kept,
        "before": scores[0],
        "after": scores[kept],
    }
