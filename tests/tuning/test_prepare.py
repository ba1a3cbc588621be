"""Which rows are trained on: tasks, budget, counts, refusals; causal and seq2seq."""

from __future__ import annotations

import pytest
from finetuning import section
from makers import make_example
from tokenizers import processors

from instune.errors import InputError
from instune.prompts import Prompt
from instune.records import Example, Message
from instune.scratch_model import train_tokenizer
from instune.tuning.labels import IGNORE_INDEX, loss_weights
from instune.tuning.prepare import outcome, prepare, spoken, summary
from instune.tuning.rows import Shown, show_human

PROMPT = Prompt(
    template="plain",
    instruction_position="before",
    wording="definition",
    exemplars=0,
    max_instruction_tokens=100,
    max_input_tokens=100,
    max_tokens=150,
)


def prepared(pool, tokenizer, *, prompt=PROMPT, mask="it", **changes):
    tasks, examples = pool
    keywords = {name: changes.pop(name) for name in ("show", "task_weights", "seq2seq") if name in changes}
    keywords = {"show": show_human, "task_weights": None, "seq2seq": False, "seed": 0} | keywords
    selected = changes.pop("selected", ["task0", "task1", "task2", "task3"])
    params = section(**{"loss_mask": mask, "max_tokens": 600, "validation_share": 0.25, "validation_rows": 3} | changes)
    return prepare(selected, tasks, examples, tokenizer, prompt, params, **keywords)


@pytest.fixture
def t5_like():
    """A tokenizer that ends every sequence with its eos token, as T5's does."""
    tokenizer = train_tokenizer(["red blue yes no Output:\n"] * 5, vocab_size=300)
    tokenizer.add_special_tokens({"eos_token": "</s>", "pad_token": "<|pad|>"})
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", tokenizer.eos_token_id)]
    )
    return tokenizer


def test_budget_is_met_and_never_exceeded(tiny_pool, tokenizer):
    for budget in (150, 600, 5000):
        data = prepared(tiny_pool, tokenizer, max_tokens=budget)
        used = sum(len(row.input_ids) for row in data.rows)
        assert used == data.counts.tokens <= budget
        assert budget - used < max(len(row.input_ids) for row in data.rows)


def test_no_budget_takes_every_example_once_and_in_the_order_of_any_budget(tiny_pool, tokenizer):
    data = prepared(tiny_pool, tokenizer, max_tokens=None)
    assert data.passes == 1
    assert len(data.rows) == 5 * len(data.training_tasks)
    assert data.rows[:5] == prepared(tiny_pool, tokenizer, max_tokens=300).rows[:5]
    more = prepared(tiny_pool, tokenizer, max_tokens=5000)
    assert more.passes > 1
    assert more.rows[: len(data.rows)] == data.rows


def test_training_and_validation_tasks_are_disjoint_and_selected(tiny_pool, tokenizer):
    data = prepared(tiny_pool, tokenizer, max_tokens=5000)
    assert {row.task_id for row in data.rows} == set(data.training_tasks)
    assert {row.task_id for row in data.validation} == set(data.validation_tasks)
    assert sorted(data.training_tasks + data.validation_tasks) == ["task0", "task1", "task2", "task3"]
    assert len(data.validation) == 3


def test_validation_measures_the_output_whatever_the_mask(tiny_pool, tokenizer):
    soft = {"show": lambda task, example: Shown(soft_tokens=2)}
    on_all = prepared(tiny_pool, tokenizer, mask="all", normalize_by="examples", **soft)
    assert all(row.soft[1] == 2 for row in on_all.rows)
    assert on_all.validation == prepared(tiny_pool, tokenizer).validation


def test_rows_that_do_not_fit_or_carry_no_loss_are_dropped_and_counted(tiny_pool, tokenizer):
    tasks, examples = tiny_pool
    tasks, examples = dict(tasks), [example for example in examples if example.example_id[-1] in "01"]
    long = make_example(tasks["task1"], 9, output="red " * 200)
    data = prepared((tasks, [*examples, long]), tokenizer, max_tokens=300, validation_share=0.0)
    assert all("row longer" in reason for reason in data.counts.dropped)
    # Without an input there is nothing that a loss on the input alone could be on.
    empty = [Example("task0", "task0-8", "", ("red",)), make_example(tasks["task0"], 1)]
    on_input = dict.fromkeys(("template", "system", "instruction", "examples", "output"), 0.0) | {"input": 1.0}
    data = prepared((tasks, empty), tokenizer, mask=on_input, selected=["task0"], validation_share=0.0, max_tokens=100)
    assert data.counts.dropped["no token with a loss weight"] >= 1
    assert all(any(row.loss_weights) for row in data.rows)


def test_a_pool_of_rows_that_all_fall_out_is_refused_with_reasons(tiny_pool, tokenizer):
    tasks, _ = tiny_pool
    long = [make_example(tasks["task0"], 0, output="red " * 200)]
    with pytest.raises(InputError, match="1 x row longer than max_tokens"):
        prepared((tasks, long), tokenizer, selected=["task0"], validation_share=0.0)


def test_summary_is_sums_over_rows(tiny_pool, tokenizer):
    data = prepared(tiny_pool, tokenizer, mask="im")
    facts = summary(data, weights=loss_weights("im"), kind="human")
    lengths = sum(len(row.input_ids) for row in data.rows)
    labelled = sum(label != IGNORE_INDEX for row in data.rows for label in row.labels)
    assert facts["tokens"]["all"] == lengths
    assert facts["tokens"]["with_loss"] == labelled
    assert facts["share_with_loss"] == labelled / lengths
    ratio = (facts["tokens"]["instruction"] + facts["tokens"]["input"]) / facts["tokens"]["output"]
    assert facts["instruction_output_ratio"] == pytest.approx(ratio)


def test_the_log_says_rows_tokens_by_segment_and_what_was_dropped_and_cut():
    tokens = {"all": 2000, "with_loss": 250, "template": 300, "system": 0, "instruction": 1200, "examples": 0, "input": 250}
    facts = {
        "rows": {"training": 1026, "validation": 3, "passes": 2},
        "tokens": tokens | {"output": 250},
        "share_with_loss": 0.125,
        "instruction_output_ratio": 5.8,
        "dropped": {"row longer than max_tokens": 4},
        "truncated": {},
    }
    assert spoken(facts) == (
        "rows: 1,026 to train on, 3 to validate on; the budget takes 2 passes over the selected tasks' examples: they repeat\n"
        "tokens: template 300, instruction 1,200, input 250, output 250\n"
        "with loss: 250 of 2,000 (12.5%); instruction to output 5.80\n"
        "dropped: 4 x row longer than max_tokens; cut: none"
    )


def test_outcome_takes_the_last_tenth_and_both_ends():
    history = [{"step": 0, "validation/nll": 3.0}, *({"step": n, "train/loss": float(n)} for n in range(1, 21))]
    history[-1]["validation/nll"] = 2.0
    assert outcome(history) == {"steps": 20, "train_loss": 19.5, "validation_nll": {"before": 3.0, "after": 2.0}}
    assert "validation_nll" not in outcome([{"step": 0}, {"step": 1, "train/loss": 1.0}])


def test_seq2seq_rows_split_source_and_target(tiny_pool, t5_like):
    data = prepared(tiny_pool, t5_like, seq2seq=True)
    row = data.rows[0]
    source, target = row.input_ids[: row.source], row.input_ids[row.source :]
    text = t5_like.decode(source)
    assert text.startswith("Name the colour in text")
    assert text.endswith("Output:\n</s>")
    assert t5_like.decode(target) == "red</s>"
    assert row.labels == [IGNORE_INDEX] * row.source + target
    assert row.share == len(target)


def test_seq2seq_refuses_loss_on_the_prompt_and_the_chat_template(tiny_pool, t5_like):
    with pytest.raises(InputError, match=r"finetune\.loss_mask.*instruction, examples, input.*causal"):
        prepared(tiny_pool, t5_like, seq2seq=True, mask="im")
    with pytest.raises(InputError, match="encoder-decoder"):
        prepared(tiny_pool, t5_like, seq2seq=True, prompt=PROMPT.model_copy(update={"template": "chat"}))


def test_rows_longer_than_the_model_reads_are_refused(tiny_pool, tokenizer):
    with pytest.raises(InputError, match="at most 2048"):
        prepared(tiny_pool, tokenizer, prompt=PROMPT.model_copy(update={"max_tokens": 4096}))


def test_what_a_seq2seq_tokenizer_calls_its_longest_text_is_no_limit(tiny_pool, t5_like):
    t5_like.model_max_length = 100  # 512 in T5's, whose positions are relative
    assert prepared(tiny_pool, t5_like, seq2seq=True).rows
    with pytest.raises(InputError, match="at most 100"):
        prepared(tiny_pool, t5_like)


def test_an_unknown_task_in_the_selection_is_refused(tiny_pool, tokenizer):
    with pytest.raises(InputError, match="'task99' is not in the pool"):
        prepared(tiny_pool, tokenizer, selected=["task0", "task99"])


def test_an_unknown_wording_is_refused(tiny_pool, tokenizer):
    tasks, _ = tiny_pool
    example = Example("task0", "task0-0", "text", ("red",), wording_index=2)
    with pytest.raises(InputError, match=r"task0-0: wording_index 2.*2 wording\(s\)"):
        prepared((tasks, [example]), tokenizer, selected=["task0"], validation_share=0.0)


def test_a_conversation_that_one_turn_cannot_show_is_dropped_and_counted(tiny_pool, tokenizer):
    tasks, _ = tiny_pool
    user, assistant, system = Message("user", "Say red."), Message("assistant", "red"), Message("system", "Be brief.")
    talks = [(user, assistant), (user, assistant, user, assistant), (system, user, assistant)]
    examples = [Example("task0", f"e{number}", "Say red.", ("red",), messages=talk) for number, talk in enumerate(talks)]
    data = prepared((tasks, examples), tokenizer, selected=["task0"], validation_share=0.0, max_tokens=60)
    assert set(data.counts.dropped) == {"template plain has no form for several turns or a system message"}
    assert {tokenizer.decode(row.input_ids) for row in data.rows} == {"Say red.\n\nOutput:\nred<|im_end|>"}
