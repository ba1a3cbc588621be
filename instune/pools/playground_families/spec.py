"""What a family file declares, and the few helpers that families share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random

PEOPLE = (
    "Anna", "Boris", "Carla", "Dmitri", "Elena", "Farid", "Greta", "Hassan", "Irene", "Jonas", "Katya", "Leon", "Maria",
    "Nadia", "Omar", "Paula", "Quentin", "Rosa", "Stefan", "Teresa", "Umar", "Vera", "Walter", "Yusuf", "Zoe",
)  # fmt: skip
HELD_OUT_PEOPLE = (
    "Agnes", "Bashir", "Celeste", "Duncan", "Esther", "Fergus", "Gwen", "Hamid", "Ingrid", "Jasper", "Kirsten", "Lionel",
    "Mabel", "Nestor", "Odile", "Percy", "Roxana", "Silas", "Thelma", "Vincent",
)  # fmt: skip


@dataclass(frozen=True)
class Case:
    """One instance: what is given and the only right answer."""

    input: str
    output: str


Maker = Callable[[Random, int], Case]  # the integer counts the cases of the task from 0: label tasks balance by it


@dataclass(frozen=True)
class TaskSpec:
    """One task of a family.

    Attributes:
        name: unique among all families; becomes the file name after the number.
        domain: what its texts are about.
        wordings: at least three ways of saying the instruction, the definition first.
        reason: why an answer is right, with `{output}` in the answer's place.
        make: draws one case.
        entities: the words and names that its inputs are filled with.
        labels: all answers there are, for a task with a closed set.
        held_out: of the test split.
    """

    name: str
    domain: str
    wordings: tuple[str, ...]
    reason: str
    make: Maker
    entities: tuple[str, ...]
    labels: tuple[str, ...] = ()
    held_out: bool = False


def fill(frame: str, slots: Mapping[str, Sequence[str]], rng: Random) -> tuple[str, dict[str, str]]:
    """The frame with a value drawn for each slot, and those values."""
    values = {name: rng.choice(options) for name, options in slots.items()}
    return frame.format(**values), values


def sentence_case(text: str) -> str:
    """The text with its first letter in upper case and the others as they are."""
    return text[:1].upper() + text[1:]


def join_words(words: Sequence[str]) -> str:
    """`a`, `a and b`, or `a, b and c`."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
