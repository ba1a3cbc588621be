"""Overlap between target and source examples, against brute force."""

from __future__ import annotations

import random

import pytest

from instune.pools import overlap
from instune.records import Example, Message, Task

TEXT = "one two three four five six seven eight nine ten eleven twelve"


def example(task, number, text):
    return Example(task, f"{task}-{number}", text, ("x",))


def measure(targets, sources):
    tasks = {name: Task(name, "p", "c", f"Do {name}.", (f"Do {name}.",)) for name in "trs"}
    return overlap.measure(targets, sources, tasks | {f"{kind}{n}": tasks[kind] for kind in "ts" for n in range(3)})


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
        ("你好 e\u0301 — Ünïcode", "你好 É ünïcode", "exact"),
        ("我们昨天在公园里看见了一只猫。", "问题:我们昨天在公园里看见了一只狗。为什么?", "near"),
        ("我们昨天在公园里看见了一只猫。", "我们今天在公园里听见了一只猫。", None),
    ],
)
def test_equal_and_near_inputs_are_found(target, source, kind):
    found = measure([example("t", 0, target)], [example("s", 0, source)])
    assert dict(found.pairs) == ({("t", "s", kind): 1} if kind else {})
    assert by_hand(target, source) == kind


def test_many_pairs_agree_with_brute_force(monkeypatch):
    monkeypatch.setattr(overlap, "BATCH", 7)
    monkeypatch.setattr(overlap, "ROWS", 11)
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
    found = measure(targets, iter(sources))
    pairs = [(t, s, kind) for t in targets for s in sources if (kind := by_hand(t.input, s.input))]
    assert len(pairs) > 20
    assert found.pairs.total() == len(pairs)
    assert all(found.pairs[key] == sum((t.task_id, s.task_id, k) == key for t, s, k in pairs) for key in found.pairs)
    assert found.sources == {(s.task_id, s.example_id) for _, s, _ in pairs}
    assert found.targets == {(t.task_id, t.example_id) for t, _, _ in pairs}


def test_pairs_of_tasks_are_listed_by_size():
    twice = [example("s", n, TEXT) for n in range(2)] + [example("r", 0, f"{TEXT} more")]
    found = measure([example("t", 0, TEXT)], twice)
    assert overlap.summary(found) == [
        {"target": "t", "source": "s", "exact": 2, "near": 0},
        {"target": "t", "source": "r", "exact": 0, "near": 1},
    ]


def test_an_example_of_another_task_with_the_same_id_does_not_overlap():
    sources = [Example("s", "1", TEXT, ("x",)), Example("r", "1", "other words", ("x",))]
    assert measure([Example("t", "1", TEXT, ("x",))], sources).sources == {("s", "1")}


def talk(task, *texts):
    messages = tuple(Message(role, text) for role, text in zip(("user", "assistant") * 2, texts, strict=False))
    return Example(task, f"{task}-talk", messages[-2].content, (messages[-1].content,), messages=messages)


def test_every_message_of_a_user_is_looked_at_and_no_answer():
    asked = [example("t", 0, TEXT)]
    assert dict(measure(asked, [talk("s", TEXT, "yes", "And now?", "no")]).pairs) == {("t", "s", "exact"): 1}
    assert dict(measure(asked, [talk("s", f"{TEXT} again", "yes", TEXT, "no")]).pairs) == {("t", "s", "exact"): 1}
    assert dict(measure(asked, [talk("s", "Count.", TEXT)]).pairs) == {}


def test_an_example_without_input_asks_its_instruction():
    tasks = {name: Task(name, "p", "c", text, ("Else.", text)) for name, text in (("t", TEXT), ("s", f"{TEXT} more"))}
    rows = [Example(name, name, "", ("x",), wording_index=1) for name in "ts"]
    assert dict(overlap.measure(rows[:1], rows[1:], tasks).pairs) == {("t", "s", "near"): 1}


def test_a_phrase_that_all_texts_share_makes_no_candidates(monkeypatch):
    looked_at = []
    real = overlap.csr_array.multiply
    monkeypatch.setattr(overlap.csr_array, "multiply", lambda one, two: looked_at.append(one.shape[0]) or real(one, two))
    phrase = "please answer the following question with either yes or no"
    texts = [f"{phrase} {' '.join(f'w{n}x{k}' for k in range(12))}" for n in range(200)]
    found = measure(
        [example("t", n, text) for n, text in enumerate(texts)], [example("s", n, f"{t} so") for n, t in enumerate(texts)]
    )
    assert found.pairs == {("t", "s", "near"): 200}
    assert sum(looked_at) == 200
