"""The encoder of the comparison, as it is and while it is aligned."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from statistics import fmean

import numpy as np
from sentence_transformers import SentenceTransformer

from instune.selection import encoder
from instune.selection.align import Scores, align, evaluate, unit_vectors
from instune.selection.cache import default_folder
from instune.selection.embed import encode
from instune.selection.fidelity import SEPARATOR
from instune.selection.pairs import Pairs

ENCODER = "packaged:all-minilm-l6-v2"
BATCH = 32  # texts per forward pass
PAIRS_PER_STEP = 16  # INSTA's

Encode = Callable[[Sequence[str]], np.ndarray]
Table = Mapping[str, Mapping[str, float]]  # setting -> target -> overlap


def load() -> SentenceTransformer:
    """The packaged encoder."""
    return encoder.load(encoder.locate(ENCODER, None))


def remembered(encoded: Callable[[list[str]], np.ndarray]) -> Encode:
    """The same vectors, each text encoded once."""
    known: dict[str, np.ndarray] = {}

    def vectors(texts: Sequence[str]) -> np.ndarray:
        new = sorted(set(texts) - known.keys())
        if new:
            known.update(zip(new, encoded(new), strict=True))
        return np.stack([known[text] for text in texts])

    return vectors


def unaligned(model: SentenceTransformer) -> Encode:
    """Unit vectors by the encoder as it is, kept across runs."""
    files = encoder.files_hash(encoder.locate(ENCODER, None))
    return remembered(lambda texts: encode(texts, model, files=files, batch_size=BATCH, cache_folder=default_folder())[0])


def current(model: SentenceTransformer) -> Encode:
    """Unit vectors by the weights that the encoder has now."""
    return remembered(lambda texts: np.stack(list(unit_vectors(model, texts, BATCH).values())))


def rounds(
    model: SentenceTransformer, train: Pairs, development: Pairs, *, count: int, learning_rate: float, seed: int
) -> Iterator[Scores]:
    """Align for rounds of one epoch, each with its own warm-up and decay; yields development scores, first those before."""
    yield evaluate(model, development, BATCH)
    for number in range(1, count + 1):
        settings = {"epochs": 1, "batch_size": PAIRS_PER_STEP, "learning_rate": learning_rate, "seed": 1000 * seed + number}
        scores, _ = align(model, train, development, **settings)
        yield scores[1]


def distinct(texts: Sequence[Sequence[str]]) -> tuple[list[str], np.ndarray]:
    """All texts of all tasks, without repetition within a task, and the position of each one's task."""
    rows = [(text, position) for position, own in enumerate(texts) for text in dict.fromkeys(own)]
    return [text for text, _ in rows], np.array([position for _, position in rows])


def joined(setting: Sequence[str]) -> str:
    """A setting's parts as one name."""
    return SEPARATOR.join(setting)


def mean_table(tables: Sequence[Table]) -> dict[str, dict[str, float]]:
    """Mean of several tables of the same settings and targets."""
    return {
        setting: {target: fmean(table[setting][target] for table in tables) for target in row}
        for setting, row in tables[0].items()
    }
