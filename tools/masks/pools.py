"""Small raw pools of real conversations for sweeps/masks.yaml and sweeps/masks-data.yaml. Not a stage:
`python -m tools.masks.pools --data <folder of *_messages files>`, then `dvc add data/raw/masks_*`.

A pool is a folder of parts, each a task of its own, so that finetune can hold one out for validation and intervals have tasks:

    masks_train      128 rows drawn from all sets alike
    masks_recall     the same rows under other names, to be targets: what was trained on is asked again (memorization)
    masks_held_out   48 other rows, targets
    masks_ratio_<r>  128 rows whose ratio of instruction to output words is closest to 0.1, 1 and 5, as src/select_data.py of
                     arXiv 2405.14394 takes them; none of a held-out row's text

Reads:  files of conversations (LIMA, AlpaGasus, ...), a row each; rows of one turn and of few words are used
Writes: <out>/masks_*/part_<n>.jsonl
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, zip_longest
from pathlib import Path

from instune.errors import InputError
from instune.prompts import stable_integer
from instune.records import Example
from tools.mask_defect.__main__ import read_sets

WORDS, OUTPUT_WORDS = 100, 60  # at most: of a row, of its output
TRAIN, HELD_OUT = 128, 48  # rows
TRAIN_PARTS, HELD_OUT_PARTS = 8, 6
RATIOS = {"low": 0.1, "middle": 1.0, "high": 5.0}
SEED = 0


def words(example: Example) -> tuple[int, int]:
    """Whitespace words of instruction and output."""
    return len(example.input.split()), len(example.references[0].split())


def is_short(example: Example) -> bool:
    """One turn, with words on both sides and few in all."""
    asked, answered = words(example)
    one_turn = [message.role for message in example.messages] == ["user", "assistant"]
    return one_turn and asked > 0 and 0 < answered <= OUTPUT_WORDS and asked + answered <= WORDS


def alternating(sets: Mapping[str, Sequence[Example]]) -> list[Example]:
    """Rows of every set in turn, each set in a seeded order; no instruction twice."""
    orders = [sorted(rows, key=lambda row: stable_integer(SEED, row.example_id)) for rows in sets.values()]
    rows = (row for row in chain.from_iterable(zip_longest(*orders)) if row is not None)
    return list({row.input: row for row in rows}.values())


def closest(rows: Iterable[Example], ratio: float, count: int) -> list[Example]:
    """The rows whose own ratio of instruction to output words is closest to this one; ties by id."""

    def distance(row: Example) -> tuple[float, str]:
        asked, answered = words(row)
        return abs(asked / answered - ratio), row.example_id

    return sorted(rows, key=distance)[:count]


def pools_of(sets: Mapping[str, Sequence[Example]]) -> dict[str, tuple[list[Example], int]]:
    """Name -> rows and number of parts.

    Raises:
        InputError: there are not enough short rows.
    """
    rows = alternating({name: [row for row in rows if is_short(row)] for name, rows in sets.items()})
    needed = TRAIN + HELD_OUT
    if len(rows) < needed:
        raise InputError(
            f"data: {len(rows)} conversations of one turn, at most {WORDS} words and {OUTPUT_WORDS} of the output; "
            f"{needed} are needed."
        )
    held_out, train, others = rows[:HELD_OUT], rows[HELD_OUT:needed], rows[HELD_OUT:]
    found = {"masks_held_out": (held_out, HELD_OUT_PARTS)}
    found |= dict.fromkeys(("masks_train", "masks_recall"), (train, TRAIN_PARTS))
    for name, ratio in RATIOS.items():
        chosen = sorted(closest(others, ratio, TRAIN), key=lambda row: stable_integer(SEED, row.example_id))
        found[f"masks_ratio_{name}"] = (chosen, TRAIN_PARTS)
    return found


def write_pool(folder: Path, rows: Sequence[Example], parts: int) -> None:
    """Every so many-th row into a part, the folder whole or not at all."""
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    for number in range(parts):
        with (partial / f"part_{number}.jsonl").open("w", encoding="utf-8", newline="\n") as file:
            for row in rows[number::parts]:
                messages = [{"role": message.role, "content": message.content} for message in row.messages]
                file.write(json.dumps({"id": row.example_id, "messages": messages}) + "\n")
    shutil.rmtree(folder, ignore_errors=True)
    partial.replace(folder)


def main(*, data: Path, out: Path) -> None:
    """Write the pools and say what they hold."""
    for name, (rows, parts) in pools_of({name: examples for name, (_, examples) in read_sets(data).items()}).items():
        write_pool(out / name, rows, parts)
        asked, answered = (sum(side) for side in zip(*map(words, rows), strict=True))
        print(f"{out / name}: {len(rows)} rows in {parts} parts, instruction to output {asked / answered:.2f} in words")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of *_messages files")
    parser.add_argument("--out", type=Path, default=Path("data/raw"))
    try:
        main(**vars(parser.parse_args()))
    except InputError as error:
        sys.exit(f"error: {error}")
