"""Encode texts to unit vectors, the same whatever else is encoded beside them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import sentence_transformers
import torch
from sentence_transformers import SentenceTransformer
from tqdm import tqdm

from instune.errors import InputError
from instune.records import Example, Task
from instune.selection.cache import EmbeddingCache

TEXTS_PER_WRITE = 256  # texts between two writes to the cache


def token_counts(texts: Sequence[str], model: SentenceTransformer) -> np.ndarray:
    """Tokens of each text before any truncation, special tokens included, (n,)."""
    if not texts:
        return np.zeros(0, dtype=np.int64)
    ids = model.tokenizer(list(texts), truncation=False, add_special_tokens=True, verbose=False)["input_ids"]
    return np.array([len(row) for row in ids])


def encode(
    texts: Sequence[str], model: SentenceTransformer, *, files: str, batch_size: int, cache_folder: Path
) -> tuple[np.ndarray, int]:
    """Unit vectors of the texts; equal texts are encoded once, known texts come from the cache.

    Args:
        texts: none of them blank.
        model: the encoder; without prompt.
        files: hash of the encoder's files.
        batch_size: texts per forward pass, alike in length. With 1 a vector depends on its text alone, bit for bit; larger
            batches move it by some 1e-7 with what they hold.
        cache_folder: see `EmbeddingCache`.

    Returns:
        float32 (n, d) in the order of `texts`, and how many texts were encoded now.

    Raises:
        InputError: a vector is not finite.
    """
    if not texts:
        return np.empty((0, model.get_embedding_dimension()), dtype=np.float32), 0
    setting = f"files {files}, max length {model.max_seq_length}, unit length, no prompt, batch size {batch_size}, "
    setting += f"{model.device.type}, torch {torch.__version__}, sentence-transformers {sentence_transformers.__version__}"
    cache = EmbeddingCache(cache_folder, setting)
    try:
        known = cache.get(sorted(set(texts)))
        new = [text for text in sorted(set(texts)) if text not in known]
        new = [new[position] for position in np.argsort(token_counts(new, model), kind="stable")]
        with tqdm(total=len(new), desc="embed", unit="text", disable=not new) as progress:
            for start in range(0, len(new), TEXTS_PER_WRITE):
                part = new[start : start + TEXTS_PER_WRITE]
                vectors = model.encode(part, batch_size=batch_size, normalize_embeddings=True, show_progress_bar=False)
                bad = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
                if len(bad):
                    raise InputError(f"align.encoder: gives a vector with NaN or infinity for {part[bad[0]][:80]!r}.")
                fresh = dict(zip(part, vectors.astype(np.float32), strict=True))
                cache.put(fresh)
                known.update(fresh)
                progress.update(len(part))
    finally:
        cache.close()
    return np.stack([known[text] for text in texts]), len(new)


def wordings(tasks: Iterable[Task]) -> list[tuple[str, int, str]]:
    """(task id, index, text) of every wording, in pool order; none of a task without instruction, as those of chat pools are.

    Raises:
        InputError: a blank wording beside others.
    """
    said = [task for task in tasks if task.wordings != ("",)]
    rows = [(task.task_id, index, text) for task in said for index, text in enumerate(task.wordings)]
    for task_id, index, text in rows:
        if not text.strip():
            raise InputError(f"task {task_id}: wording {index} is blank. Remove it from the pool, or write it.")
    return rows


def inputs(examples: Mapping[str, Sequence[tuple[int, Example]]]) -> list[tuple[str, int, str]]:
    """(task id, index, text) of every input that is not blank, by task id.

    Args:
        examples: task id -> (index, example) pairs.
    """
    return [
        (task_id, index, example.input)
        for task_id in sorted(examples)
        for index, example in examples[task_id]
        if example.input.strip()
    ]


def summary(pools: np.ndarray, tokens: np.ndarray, truncated: np.ndarray) -> dict[str, dict[str, int]]:
    """Per pool: number of texts, the longest in tokens, how many are longer than the encoder reads.

    Args:
        pools: pool name of each text, (n,).
        tokens: its tokens before truncation, (n,).
        truncated: whether they are too many, (n,).
    """
    return {
        str(pool): {
            "wordings": int((pools == pool).sum()),
            "longest": int(tokens[pools == pool].max()),
            "truncated": int(truncated[pools == pool].sum()),
        }
        for pool in np.unique(pools)
    }
