"""Pools of real conversations: what is asked again was trained on, what is held out was not, and ratios are as asked."""

from __future__ import annotations

import random

import pytest

from instune.errors import InputError
from instune.pools import chat
from instune.pools.problems import Problems
from instune.records import Example, Message
from tools.masks.pools import HELD_OUT, RATIOS, TRAIN, closest, is_short, pools_of, words, write_pool


def row(number: int, asked: int, answered: int, *, name: str = "a") -> Example:
    texts = " ".join([f"ask{name}{number}", *["ask"] * (asked - 1)]), " ".join(["say"] * answered)
    messages = tuple(Message(role, text) for role, text in zip(("user", "assistant"), texts, strict=True))
    return Example(f"chat:{name}", f"{name}{number}", texts[0], (texts[1],), messages=messages)


@pytest.fixture(scope="module")
def sets() -> dict[str, list[Example]]:
    draw = random.Random(0)
    return {name: [row(number, draw.randint(1, 60), draw.randint(1, 70), name=name) for number in range(400)] for name in "ab"}


def test_short_is_one_turn_with_few_words_on_both_sides():
    assert is_short(row(0, 40, 60))
    assert not is_short(row(0, 41, 60))
    assert not is_short(row(0, 5, 61))
    long = row(0, 5, 5)
    assert not is_short(
        Example(long.task_id, "x", long.input, long.references, messages=(Message("system", "s"), *long.messages))
    )


def test_recall_is_the_training_rows_and_no_pool_of_training_rows_holds_a_held_out_one(sets):
    pools = pools_of(sets)
    texts = {name: {one.input for one in rows} for name, (rows, _) in pools.items()}
    assert pools["masks_recall"][0] == pools["masks_train"][0]
    assert [len(pools[name][0]) for name in ("masks_train", "masks_held_out")] == [TRAIN, HELD_OUT]
    for name in ("masks_train", *(f"masks_ratio_{ratio}" for ratio in RATIOS)):
        assert not texts[name] & texts["masks_held_out"]
        assert len(texts[name]) == TRAIN


def test_the_chosen_rows_are_those_of_the_closest_ratio_by_brute_force(sets):
    rows = sets["a"]
    chosen = closest(rows, 1.0, 50)
    worst = max(abs(words(one)[0] / words(one)[1] - 1) for one in chosen)
    left = [one for one in rows if one not in chosen]
    assert all(abs(words(one)[0] / words(one)[1] - 1) >= worst for one in left)


def test_an_instruction_that_comes_twice_is_taken_once(sets):
    twice = {"a": [*sets["a"], *sets["a"]]} | {"b": sets["b"]}
    for rows, _ in pools_of(twice).values():
        assert len({one.input for one in rows}) == len(rows)


def test_written_parts_are_read_back_whole(sets, tmp_path):
    rows = [one for one in sets["a"] if is_short(one)][:10]
    write_pool(tmp_path / "pool", rows, 3)
    read = [
        one
        for _, examples in chat.read(tmp_path / "pool", pool="p", problems=Problems(tmp_path, strict=True))
        for one in examples
    ]
    assert [one.messages for one in read] == [one.messages for start in range(3) for one in rows[start::3]]


def test_too_few_rows_are_refused(sets):
    with pytest.raises(InputError, match=r"at most 100 words .* 176 are needed"):
        pools_of({"a": sets["a"][:20]})
