"""The predictions file: one JSON line per example, sorted, without times; all that scoring needs, and no model."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import UnionType
from typing import Any

from instune.errors import InputError
from instune.files import replacing

FILE = "predictions.jsonl"
TEXTS = ("task_id", "example_id", "prompt", "prompt_hash", "output", "finish", "model")
COUNTS = ("nll_tokens", "prompt_tokens", "output_tokens")


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a model said to one prompt, and how probable it found the reference.

    Attributes:
        prompt_hash: 16 hex digits over the prompt's bytes.
        output: greedy answer, without the terminator.
        choice_loglikelihoods: nats of each choice, for tasks whose metric is `choice`.
        nll: negative log-likelihood of the first reference with its terminator, summed, nats.
        nll_tokens: number of tokens in that sum.
        output_tokens: tokens generated, the stop token included.
        finish: `stop`, or `length` at the limit of new tokens.
        model: hash of the weights.
        truncated: segments that were cut to fit; `output` where the reference, `choices` where a choice was scored up to the
            limit only.
        merged: whether the tokenizer merged the prompt's last characters into the reference.
    """

    task_id: str
    example_id: str
    prompt: str
    prompt_hash: str
    output: str
    references: list[str]
    choices: list[str] | None
    choice_loglikelihoods: list[float] | None
    nll: float
    nll_tokens: int
    prompt_tokens: int
    output_tokens: int
    finish: str
    model: str
    truncated: list[str]
    merged: bool

    @property
    def place(self) -> tuple[str, str]:
        """Task and example."""
        return self.task_id, self.example_id


def write_predictions(folder: Path, rows: Iterable[Prediction]) -> int:
    """Write `predictions.jsonl` under `folder`, sorted by task and example, whole or not at all; returns the count."""
    ordered = sorted(rows, key=lambda row: row.place)
    with replacing(folder) as partial:
        partial.mkdir()
        with (partial / FILE).open("w", encoding="utf-8", newline="\n") as file:
            for row in ordered:
                file.write(json.dumps(asdict(row), ensure_ascii=True, allow_nan=False) + "\n")
    return len(ordered)


def _is_list(value: Any, kind: type | UnionType) -> bool:
    return isinstance(value, list) and all(isinstance(item, kind) for item in value)


def _prediction(line: bytes) -> Prediction:
    """The prediction of a line.

    Raises:
        ValueError, TypeError, RecursionError: it is none.
    """
    row = Prediction(**json.loads(line))
    for name in TEXTS:
        if not isinstance(getattr(row, name), str):
            raise TypeError(f"{name} is no text")
    for name in COUNTS:
        if type(getattr(row, name)) is not int or getattr(row, name) < 0:
            raise TypeError(f"{name} is no count")
    likelihoods = row.choice_loglikelihoods
    if not (_is_list(row.references, str) and row.references and _is_list(row.truncated, str)):
        raise TypeError("references or truncated is no list of texts")
    if not (row.choices is None or _is_list(row.choices, str)):
        raise TypeError("choices is no list of texts")
    if not (likelihoods is None or (_is_list(likelihoods, float | int) and len(likelihoods) == len(row.choices or ()))):
        raise TypeError("choice_loglikelihoods is no list of numbers, one for each choice")
    if not isinstance(row.nll, float | int) or not isinstance(row.merged, bool) or not row.nll_tokens:
        raise TypeError("nll, nll_tokens or merged is of another kind")
    return row


def read_predictions(folder: Path, *, prompts: bool = True) -> list[Prediction]:
    """The predictions of one model.

    Args:
        folder: holds `predictions.jsonl`.
        prompts: False leaves every prompt empty: it is nine tenths of the memory, and scoring needs its hash alone.

    Raises:
        InputError: the file cannot be read or is empty, or a line is no prediction.
    """
    path, rows = folder / FILE, []
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                try:
                    row = _prediction(line)
                except (ValueError, TypeError, RecursionError) as error:
                    raise InputError(f"{path}, line {number}: no prediction ({error}). Run the evaluate stage again.") from None
                rows.append(row if prompts else replace(row, prompt=""))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}). Run the evaluate stage.") from None
    if not rows:
        raise InputError(f"{path}: holds no prediction. Check targets; then run the evaluate stage again.")
    return rows


def check_same_prompts(base: Sequence[Prediction], tuned: Sequence[Prediction]) -> None:
    """Two models are compared on the same questions only.

    Raises:
        InputError: an example that only one of them answered, or was asked in other words.
    """
    asked = {row.place: row.prompt_hash for row in base}
    other = {row.place: row.prompt_hash for row in tuned}
    for place in sorted({*asked, *other}):
        if asked.get(place) != other.get(place):
            kind = "with different prompts" if place in asked and place in other else "by one of the two models only"
            raise InputError(
                f"task {place[0]}, example {place[1]}: answered {kind}. Base and tuned must be evaluated with the same "
                "parameters; run `dvc repro score`."
            )
