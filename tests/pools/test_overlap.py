"""Overlap between target and source examples, against brute force."""

from __future__ import annotations

import random

import pytest

from instune.pools import overlap
from instune.records import Example

TEXT = "one two three four five six seven eight nine ten eleven twelve"


def example(task, number, text):
    return Example(task, f"{task}-{number}", text, ("x",))


def by_hand(target, source):
    """exact, near or nothing, from sets of runs."""
    first, second = overlap.normalized(target).split(), overlap.normalized(source).split()
    if first and first == second:
        return "exact"
    runs, others = ({tuple(words[i : i + 8]) for i in range(len(words) - 7)} for words in (first, second))
    return "near" if runs and len(runs & others) >= 0.8 * len(runs) else None


@pytest.mark.parametrize(
    ("target", "source", "kind"),
    [
        (TEXT, f"  {TEXT.upper()}! ", "exact"),
        (TEXT, f"Passage: {TEXT}, thirteen. Question: why?", "near"),
        (TEXT, TEXT.replace("twelve", "dozen"), "near"),
        (TEXT, TEXT.replace("six", "half a dozen"), None),
        (f"{TEXT} and more words that the source does not hold", TEXT, None),
        ("Yes, no.", "yes no", "exact"),
        ("yes no", "yes no maybe", None),
        ("", "", None),
        ("你好 e\u0301 — Ünïcode", "你好 E\u0301 ünïcode", "exact"),
    ],
)
def test_equal_and_near_inputs_are_found(target, source, kind):
    found = overlap.measure([example("t", 0, target)], [example("s", 0, source)])
    assert dict(found.pairs) == ({("t", "s", kind): 1} if kind else {})
    assert by_hand(target, source) == kind


def test_many_pairs_agree_with_brute_force(monkeypatch):
    monkeypatch.setattr(overlap, "BATCH", 7)
    draw = random.Random(0)
    base = [draw.choice("abcdef") for _ in range(60)]

    def piece(length):
        start = draw.randrange(30)
        words = base[start : start + length]
        if draw.random() < 0.5:
            words[draw.randrange(len(words))] = "z"
        return " ".join(words)

    targets = [example(f"t{n % 3}", n, piece(draw.choice([5, 10, 20]))) for n in range(40)]
    sources = [example(f"s{n % 2}", n, piece(draw.choice([5, 12, 30]))) for n in range(60)]
    found = overlap.measure(targets, iter(sources))
    pairs = [(t, s, kind) for t in targets for s in sources if (kind := by_hand(t.input, s.input))]
    assert len(pairs) > 20
    assert found.pairs.total() == len(pairs)
    assert all(found.pairs[key] == sum((t.task_id, s.task_id, k) == key for t, s, k in pairs) for key in found.pairs)
    assert found.sources == {(s.task_id, s.example_id) for _, s, _ in pairs}
    assert found.targets == {(t.task_id, t.example_id) for t, _, _ in pairs}


def test_pairs_of_tasks_are_listed_by_size():
    twice = [example("s", n, TEXT) for n in range(2)] + [example("r", 0, f"{TEXT} more")]
    found = overlap.measure([example("t", 0, TEXT)], twice)
    assert overlap.summary(found) == [
        {"target": "t", "source": "s", "exact": 2, "near": 0},
        {"target": "t", "source": "r", "exact": 0, "near": 1},
    ]


def test_an_example_of_another_task_with_the_same_id_does_not_overlap():
    sources = [Example("s", "1", TEXT, ("x",)), Example("r", "1", "other words", ("x",))]
    assert overlap.measure([Example("t", "1", TEXT, ("x",))], sources).sources == {("s", "1")}
