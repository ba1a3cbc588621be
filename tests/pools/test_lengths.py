"""Lengths against counts by brute force and quantiles by numpy."""

from __future__ import annotations

import random
from copy import deepcopy

import numpy as np
import pytest
from makers import make_example, make_task
from tokenizers.processors import TemplateProcessing

from instune.pools.data_card import DataCard
from instune.pools.lengths import BATCH, distribution, histogram, measure
from instune.pools.problems import Problems
from instune.records import Example, Message, Task

CHAT = Task("chat:lima", "chat", "chat", "", ("",))
SYSTEM, USER, ASSISTANT = (Message("system", "Be brief."), Message("user", "Say  red\n"), Message("assistant", "red"))


def made_pool(examples=300, seed=0):
    """Two tasks, inputs of 0 to 60 words, outputs of 0 to 3."""
    draw = random.Random(seed)
    tasks = {task.task_id: task for task in (make_task(1), make_task(2))}
    rows = []
    for number in range(examples):
        task = tasks[f"task{1 + number % 2}"]
        text, output = (" ".join(draw.choices(["apple", "sky", "日本", "x"], k=draw.randint(0, most))) for most in (60, 3))
        rows.append(Example(task.task_id, f"{task.task_id}-{number}", text, (output,), wording_index=draw.choice((None, 0, 1))))
    return tasks, rows


def test_words_and_tokens_equal_a_count_one_by_one(tokenizer):
    tasks, rows = made_pool(2 * BATCH + 7)
    parts = measure(tasks, rows, tokenizer, per_pool=None, seed=0)["tiny"]["parts"]
    texts = {
        "instruction": [tasks[row.task_id].wordings[row.wording_index or 0] for row in rows],
        "input": [row.input for row in rows],
        "output": [row.references[0] for row in rows],
    }
    assert set(parts) == set(texts)
    for part, said in texts.items():
        counts = {
            "words": [len(text.split()) for text in said],
            "tokens": [len(tokenizer.tokenize(text, add_special_tokens=False)) for text in said],
        }
        for unit, values in counts.items():
            found = parts[part][unit]
            assert found["mean"] == pytest.approx(sum(values) / len(values), abs=6e-5)
            assert found["max"] == max(values)
            assert sum(found["histogram"]) == len(values)
            for share in (5, 25, 50, 75, 95):
                assert found[f"p{share}"] == pytest.approx(np.quantile(values, share / 100), abs=0.051)


def test_special_tokens_that_the_tokenizer_adds_are_not_counted(tokenizer):
    adding = deepcopy(tokenizer)
    end = ("<|im_end|>", adding.convert_tokens_to_ids("<|im_end|>"))
    adding.backend_tokenizer.post_processor = TemplateProcessing(single="<|im_end|> $A", special_tokens=[end])
    assert len(adding("")["input_ids"]) == 1
    found = measure({"task1": make_task(1)}, [Example("task1", "1", "", ("",))], adding, per_pool=5, seed=0)
    nothing = {"mean": 0.0, "p5": 0.0, "p25": 0.0, "p50": 0.0, "p75": 0.0, "p95": 0.0, "max": 0, "histogram": [1]}
    assert found["tiny"]["parts"]["input"] == found["tiny"]["parts"]["output"] == {"words": nothing, "tokens": nothing}


def test_the_sides_of_a_conversation_are_counted_over_all_its_messages(tokenizer):
    rows = [
        Example("chat:lima", "1", "Say  red\n", ("red",), messages=(SYSTEM, USER, ASSISTANT)),
        Example("chat:lima", "2", "one two three", ("a b",), messages=(USER, ASSISTANT, USER, Message("assistant", "a b"))),
    ]
    found = measure({CHAT.task_id: CHAT}, rows, tokenizer, per_pool=None, seed=0)["chat"]
    assert list(found["parts"]) == ["system_and_user", "assistant"]
    assert found["parts"]["system_and_user"]["words"]["mean"] == (4 + 4) / 2
    assert found["parts"]["assistant"]["words"]["mean"] == (1 + 3) / 2
    tokens = [
        [len(tokenizer.tokenize(text)) for text in texts] for texts in (("Be brief.", "Say  red\n"), ("Say  red\n", "Say  red\n"))
    ]
    assert found["parts"]["system_and_user"]["tokens"]["mean"] == sum(map(sum, tokens)) / 2
    assert found["parts"]["system_and_user"]["tokens"]["max"] == max(map(sum, tokens))


def test_histograms_count_on_powers_of_two():
    assert histogram(np.array([0, 0, 1, 2, 3, 4, 7, 8])) == [2, 1, 2, 2, 1]
    assert histogram(np.array([0])) == [1]
    assert histogram(np.array([15])) == [0, 0, 0, 0, 1]
    assert histogram(np.array([16])) == [0, 0, 0, 0, 0, 1]
    assert distribution([5, 1, 3])["p50"] == 3.0


def test_the_draw_is_the_same_in_any_order_and_follows_the_seed(tokenizer):
    tasks, rows = made_pool()
    shuffled = random.Random(1).sample(rows, k=len(rows))
    first = measure(tasks, rows, tokenizer, per_pool=40, seed=0)
    assert measure(tasks, shuffled, tokenizer, per_pool=40, seed=0) == first
    assert measure(tasks, rows, tokenizer, per_pool=40, seed=1) != first
    assert (first["tiny"]["examples"], first["tiny"]["of"]) == (40, 300)


def test_what_is_drawn_of_a_pool_does_not_depend_on_the_others(tokenizer):
    tasks, rows = made_pool()
    alone = measure(tasks, rows, tokenizer, per_pool=40, seed=0)
    chats = [Example("chat:lima", str(number), "a", ("b",), messages=(USER, ASSISTANT)) for number in range(50)]
    both = measure(tasks | {CHAT.task_id: CHAT}, [*chats, *rows], tokenizer, per_pool=40, seed=0)
    assert both["tiny"] == alone["tiny"]
    assert both["chat"]["examples"] == 40


def test_every_example_is_as_likely_as_another(tokenizer):
    tasks, rows = made_pool(100)
    hits = np.zeros(100)
    for position, row in enumerate(rows):
        rows[position] = Example(row.task_id, row.example_id, " ".join(["a"] * position), ("b",))
    for seed in range(200):
        hits[measure(tasks, rows, tokenizer, per_pool=1, seed=seed)["tiny"]["parts"]["input"]["words"]["max"]] += 1
    assert hits.sum() == 200
    assert hits.max() <= 10  # 2 expected; more than 10 has a chance below 1e-5 a place
    assert hits[:50].sum() == pytest.approx(100, abs=35)


def test_only_the_drawn_examples_reach_the_tokenizer(tokenizer, monkeypatch):
    tasks, rows = made_pool()
    texts = []
    call = type(tokenizer).__call__
    monkeypatch.setattr(type(tokenizer), "__call__", lambda self, said, **rest: texts.extend(said) or call(self, said, **rest))
    measure(tasks, iter(rows), tokenizer, per_pool=20, seed=0)
    assert len(texts) == 3 * 20


def test_a_pool_without_examples_and_no_pool_at_all_are_told_as_such(tokenizer):
    assert measure({}, [], tokenizer, per_pool=3, seed=0) == {}
    assert measure({"task1": make_task(1)}, [], tokenizer, per_pool=3, seed=0) == {"tiny": {"examples": 0, "of": 0, "parts": {}}}


def test_words_over_all_examples_agree_with_the_data_card(tokenizer):
    tasks, rows = made_pool()
    chats = [Example("chat:lima", "1", "x", ("red",), messages=(SYSTEM, USER, ASSISTANT, USER, ASSISTANT))]
    card, chat_card = DataCard(), DataCard()
    for task in tasks.values():
        card.add(task, [row for row in rows if row.task_id == task.task_id])
    chat_card.add(CHAT, chats)
    found = measure(tasks | {CHAT.task_id: CHAT}, [*rows, *chats], tokenizer, per_pool=None, seed=0)
    for pool, facts in (("tiny", card), ("chat", chat_card)):
        words = facts.summary(Problems("raw", strict=True), {})["words"]
        assert words.keys() == found[pool]["parts"].keys()
        for part, lengths in words.items():
            assert lengths == {name: found[pool]["parts"][part]["words"][name] for name in ("mean", "p95")}


def test_an_example_without_a_wording_of_its_own_counts_with_the_first(tokenizer):
    task = make_task(1, wordings=("one", "one two three"))
    rows = [make_example(task, 1), Example(task.task_id, "2", "a", ("b",), wording_index=1)]
    found = measure({task.task_id: task}, rows, tokenizer, per_pool=2, seed=0)["tiny"]["parts"]["instruction"]["words"]
    assert (found["mean"], found["max"], found["histogram"]) == (2.0, 3, [0, 1, 1])
