"""What a user reads where nothing is left to learn, where a template cannot show a row, and where weights make no sense."""

from __future__ import annotations

import math

import pytest
from finetuning import section
from makers import make_example, make_task
from transformers import PreTrainedTokenizer

from instune.errors import InputError
from instune.evaluation.tasks import Prompter
from instune.prompts import SEGMENTS, Prompt, Span, load_template
from instune.records import Example, Message
from instune.scratch_model import train_tokenizer
from instune.tuning.checkpoint import run_key
from instune.tuning.encoding import encode
from instune.tuning.labels import EVERY_TURN, LossTurns, build_row, labels_and_weights, loss_weights
from instune.tuning.prepare import prepare
from instune.tuning.rows import Counts, RowBuilder, show_human

LIMITS = {"max_tokens": 200, "max_instruction_tokens": 100, "max_input_tokens": 100}
PROMPT = Prompt(template="chat", instruction_position="before", wording="definition", exemplars=0, **LIMITS)
TASK = make_task(0)
GEMMA_LIKE = (
    "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
)
NONE_BUT = dict.fromkeys(SEGMENTS, 0.0)


def builder(tokenizer, weights, *, prompt=PROMPT, normalize_by="weights") -> RowBuilder:
    template = load_template(prompt.template, tokenizer)
    return RowBuilder({"task0": TASK}, tokenizer, template, prompt, weights=weights, normalize_by=normalize_by, seed=0)


def prepared(pool, tokenizer, mask, prompt=PROMPT):
    tasks, examples = pool
    params = section(loss_mask=mask, max_tokens=None, validation_share=0.0)
    shown = {"show": show_human, "task_weights": None}
    return prepare(list(tasks)[:4], tasks, examples, tokenizer, prompt, params, **shown, seq2seq=False, seed=0)


def test_a_row_without_any_label_is_dropped_and_counted(tokenizer):
    counts = Counts()
    only_input = builder(tokenizer, NONE_BUT | {"input": 1.0})
    assert only_input.build(Example("task0", "e", "", ("red",)), counts) is None
    assert only_input.build(make_example(TASK, 0), counts) is not None
    assert (counts.rows, dict(counts.dropped)) == (1, {"no token with a loss weight": 1})


def test_where_every_row_is_without_a_label_nothing_is_trained_and_the_reason_is_said(tiny_pool, tokenizer):
    with pytest.raises(InputError, match=r"no training row from 4 task\(s\): 20 x no token with a loss weight"):
        prepared(tiny_pool, tokenizer, NONE_BUT | {"system": 1.0})


@pytest.mark.parametrize("room", [1, 2, 5])
def test_a_row_length_under_the_terminator_is_said(tiny_pool, tokenizer, room):
    with pytest.raises(InputError, match=r"20 x row longer than max_tokens with an empty input.*\n.*prompt\.max_tokens"):
        prepared(tiny_pool, tokenizer, "it", PROMPT.model_copy(update={"max_tokens": room}))


def test_a_template_that_does_not_know_a_role_drops_its_rows_and_refuses_its_questions(tokenizer):
    own = train_tokenizer(["a b c red"] * 5, vocab_size=300)
    own.chat_template = GEMMA_LIKE
    said = (Message("system", "Be kind."), Message("user", "a"), Message("assistant", "b"))
    example, counts = Example("task0", "e", "a", ("b",), messages=said), Counts()
    assert builder(own, loss_weights("it")).build(example, counts) is None
    assert dict(counts.dropped) == {"the tokenizer's chat template refuses a system message": 1}
    with pytest.raises(InputError, match=r"task0, example e: the tokenizer's chat template refuses a system message\..*tulu"):
        Prompter(PROMPT, own, max_new_tokens=8, seed=0, seq2seq=False).document(TASK, example)


def test_a_text_that_the_template_strips_is_dropped_by_name(tokenizer):
    own = train_tokenizer(["a b c red"] * 5, vocab_size=300)
    own.chat_template = GEMMA_LIKE.replace("m.content", "m.content | trim")
    counts = Counts()
    rows = builder(own, loss_weights("it"))
    assert rows.build(Example("task0", "e", "a ", ("b",)), counts) is None
    assert rows.build(Example("task0", "e", "a", ("b",)), counts) is not None
    assert dict(counts.dropped) == {"the tokenizer's chat template adds or takes away blanks in this text": 1}


@pytest.mark.parametrize("weight", [-0.1, math.nan, math.inf])
def test_weights_below_nothing_or_beyond_all_are_refused(weight):
    with pytest.raises(InputError, match=r"finite, >= 0"):
        loss_weights(NONE_BUT | {"output": 1.0, "input": weight})


def test_weights_of_nothing_at_all_are_refused():
    with pytest.raises(InputError, match="at least one is positive"):
        loss_weights(NONE_BUT)


class Slow(PreTrainedTokenizer):
    """A tokenizer in Python alone: it does not say which characters a token stands for."""

    vocab_size = 2

    def get_vocab(self):
        return {"a": 0, "b": 1}

    def _tokenize(self, text):
        return list(text)

    def _convert_token_to_id(self, token):
        return self.get_vocab().get(token, 0)


@pytest.mark.parametrize("use", ["encode", "chat"])
def test_a_tokenizer_without_offsets_is_refused_with_the_way_out(use):
    slow = Slow(eos_token="</s>", chat_template=GEMMA_LIKE)
    assert not slow.is_fast
    with pytest.raises(InputError, match=r"Slow gives no character offsets\. Use a model with a fast tokenizer\."):
        load_template("chat", slow) if use == "chat" else encode([Span("output", "ab")], slow)


def test_the_weight_of_the_prompt_goes_from_outputs_alone_to_everything_and_both_parts_are_linear(tokenizer):
    """T11: with a NLL of its own at every token, numerator and denominator of `weights` are linear in the prompt's weight."""
    example = make_example(TASK, 0)
    nll = [0.1 * (place % 7) + 0.3 for place in range(200)]

    def parts(weights):
        row = builder(tokenizer, weights).build(example, Counts())
        return sum(weight * cost for weight, cost in zip(row.loss_weights, nll, strict=False)), row.share

    def prompt_weight(weight):
        return {segment: 1.0 if segment == "output" else weight for segment in SEGMENTS}

    outputs, everything = parts(loss_weights("it")), parts(loss_weights("all"))
    assert parts(prompt_weight(0.0)) == outputs
    assert parts(prompt_weight(1.0)) == everything
    for weight in (0.01, 0.1, 0.5):
        expected = [one + weight * (other - one) for one, other in zip(outputs, everything, strict=True)]
        assert parts(prompt_weight(weight)) == pytest.approx(expected, rel=1e-12)
    row = build_row(
        TASK, example, tokenizer=tokenizer, prompt=load_template("chat", tokenizer), wording="", output="red", **LIMITS
    )
    assert labels_and_weights(row, prompt_weight(0.0)) == labels_and_weights(row, loss_weights("it"))


def test_what_changes_rows_changes_the_key_of_a_run(tmp_path):
    """T14: what the finetune stage puts into its key: the mask as weights, turns, template, lengths, the base model's hash."""

    def key(mask="it", turns=EVERY_TURN, base="hash", **prompt):
        known = [
            {"loss_mask": loss_weights(mask), "loss_turns": turns.model_dump()},
            PROMPT.model_copy(update=prompt).model_dump(),
        ]
        return run_key([*known, 0, base], [])

    others = [
        key("im"),
        key("all"),
        key("released_im"),
        key(turns=LossTurns(assistant="last", user="all")),
        key(base="other"),
        key(template="plain"),
        key(instruction_position="after"),
        key(max_tokens=201),
        key(max_input_tokens=101),
    ]
    assert key() == key()
    assert len({key(), *others}) == len(others) + 1
