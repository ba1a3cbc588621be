"""Rows of conversations: token by token against what is written by hand, and what is cut."""

from __future__ import annotations

import copy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from makers import make_task
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from instune.prompts import Prompt, load_template
from instune.records import Example, Exemplar, Message
from instune.scratch_model import CHATML, train_tokenizer
from instune.tuning.labels import IGNORE_INDEX, TOO_LONG, Dropped, Row, build_row, labels_and_weights, loss_weights
from instune.tuning.rows import Counts, RowBuilder

TASK = make_task(0, wordings=("",))
SAID = {"s": "system", "u": "user", "a": "assistant"}
OWNERS = {"t": 0, "s": 1, "i": 4, "o": 5}  # places in SEGMENTS
LARGE = {"max_tokens": 10_000, "max_instruction_tokens": 10_000, "max_input_tokens": 10_000}
BE_BRIEF = "{% if messages[0]['role'] != 'system' %}<|im_start|>system\nBe brief<|im_end|>\n{% endif %}"

TULU = """
<|system|>/t ~/t Be/s kind/s ~/t <|user|>/t ~/t red/i ~/t <|assistant|>/t ~/t blue/o <|im_end|>/o ~/t
<|user|>/t ~/t Say/i red/i ~/t <|assistant|>/t ~/t red/o red/o <|im_end|>/o ~/t
"""
CHAT = """
<|im_start|>/t user/t ~/t red/i <|im_end|>/t ~/t <|im_start|>/t assistant/t ~/t blue/o <|im_end|>/o ~/t
<|im_start|>/t user/t ~/t Say/i red/i <|im_end|>/t ~/t <|im_start|>/t assistant/t ~/t red/o red/o <|im_end|>/o ~/t
"""
DEFAULT = "<|im_start|>/t system/t ~/t Be/t brief/t <|im_end|>/t ~/t" + CHAT
GIVEN = "<|im_start|>/t system/t ~/t Be/s kind/s <|im_end|>/t ~/t" + CHAT
TURNS = ("u:red", "a:blue", "u:Say red", "a:red red")


def talk(*messages: str) -> Example:
    """A conversation of texts such as `u:Hello`."""
    said = tuple(Message(SAID[message[0]], message[2:]) for message in messages)
    return Example(TASK.task_id, "talk", said[-2].content, (said[-1].content,), messages=said)


@pytest.fixture(scope="module")
def words() -> PreTrainedTokenizerFast:
    """One token per word or line break, ChatML template; a line break is written `~` above."""
    known = ["<unk>", "<|system|>", "<|user|>", "<|assistant|>", "system", "user", "assistant"]
    known += ["<|im_start|>", "<|im_end|>", "~", "Be", "kind", "brief", "Say", "red", "blue"]
    vocabulary = {"\n" if word == "~" else word: number for number, word in enumerate(known)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split("\n", "isolated"), pre_tokenizers.Split(" ", "removed")]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        pad_token="<|im_end|>",
        additional_special_tokens=["<|im_start|>"],
        chat_template=CHATML,
    )


def with_template(tokenizer, template):
    changed = copy.deepcopy(tokenizer)
    changed.chat_template = template
    return changed


def row_of(tokenizer, example, *, template="chat", learn=True, seq2seq=False, **keywords) -> Row | Dropped:
    prompt = load_template(template, tokenizer, seq2seq=seq2seq)
    output = example.references[0] if learn else None
    keywords = LARGE | {"wording": ""} | keywords
    return build_row(TASK, example, tokenizer=tokenizer, prompt=prompt, output=output, **keywords)


def read(table: str, tokenizer) -> tuple[list[int], list[int], str]:
    """Ids, owners and owners' letters of a table of `token/owner`."""
    tokens, letters = zip(*(entry.rsplit("/", 1) for entry in table.split()), strict=True)
    ids = [tokenizer.convert_tokens_to_ids("\n" if token == "~" else token) for token in tokens]
    assert tokenizer.unk_token_id not in ids
    return ids, [OWNERS[letter] for letter in letters], "".join(letters)


@pytest.mark.parametrize(
    ("template", "chat_template", "messages", "table"),
    [
        ("tulu", CHATML, ("s:Be kind", *TURNS), TULU),
        ("chat", CHATML, TURNS, CHAT),
        ("chat", BE_BRIEF + CHATML, TURNS, DEFAULT),
        ("chat", BE_BRIEF + CHATML, ("s:Be kind", *TURNS), GIVEN),
    ],
    ids=["tulu", "chatml", "default system prompt", "system prompt"],
)
def test_two_turns_token_by_token(words, template, chat_template, messages, table):
    tokenizer = with_template(words, chat_template)
    ids, owners, letters = read(table, tokenizer)
    row = row_of(tokenizer, talk(*messages), template=template)
    assert (row.input_ids, row.segments) == (ids, owners)
    explicit = {"template": 0.0, "system": 0.25, "instruction": 9.0, "examples": 9.0, "input": 0.5, "output": 2.0}
    for mask, weight in (
        ("it", {"t": 0.0, "s": 0.0, "i": 0.0, "o": 1.0}),
        ("im", {"t": 0.0, "s": 1.0, "i": 1.0, "o": 1.0}),
        ("all", {"t": 1.0, "s": 1.0, "i": 1.0, "o": 1.0}),
        (explicit, {"t": 0.0, "s": 0.25, "i": 0.5, "o": 2.0}),
    ):
        labels, values = labels_and_weights(row, loss_weights(mask))
        expected = [0.0] + [weight[letter] for letter in letters[1:]]  # nothing predicts the first token
        assert values == expected
        assert labels == [token if value else IGNORE_INDEX for token, value in zip(ids, expected, strict=True)]
    assert not row.truncated
    assert not row.merged


def test_the_mask_it_is_the_mask_of_transformers_own_generation_blocks(tokenizer):
    marked = (
        "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{% if m['role'] == 'assistant' %}{% generation %}{{ m['content'] }}"
        "<|im_end|>{% endgeneration %}{% else %}{{ m['content'] }}<|im_end|>{% endif %}\n{% endfor %}"
    )
    changed = with_template(tokenizer, marked)
    example = talk("s:Be kind.", "u:The apple is red.", "a:yes 1 2 3", "u:a b", "a:", "u:\n\n", "a: no \n")
    theirs = changed.apply_chat_template(
        [vars(message) for message in example.messages], return_assistant_tokens_mask=True, return_dict=True
    )
    row = row_of(changed, example)
    assert row.input_ids == theirs["input_ids"]
    ours = labels_and_weights(row, loss_weights("it"))[1]
    assert [int(value) for value in ours] == theirs["assistant_masks"]


@pytest.mark.parametrize("template", ["tulu", "chat"])
def test_prompt_ids_are_a_prefix_of_training_ids_and_end_where_the_last_answer_begins(words, template):
    example = talk("s:Be kind", *TURNS)
    full, prompt = row_of(words, example, template=template), row_of(words, example, template=template, learn=False)
    length = len(prompt.input_ids)
    assert full.input_ids[:length] == prompt.input_ids
    assert full.segments[:length] == prompt.segments
    assert full.segments[length:].count(OWNERS["o"]) == 3  # red red <|im_end|>
    assert prompt.segments.count(OWNERS["o"]) == 2  # blue <|im_end|>
    assert full.text.startswith(prompt.text)


THREE = ("s:Be kind", "u:red", "a:blue", "u:Say red", "a:red", "u:Say blue", "a:blue blue")


@pytest.mark.parametrize("template", ["tulu", "chat"])
def test_a_row_loses_its_last_pairs_and_stays_the_start_of_the_conversation(words, template):
    whole = row_of(words, talk(*THREE), template=template)
    for kept in (5, 3):  # messages
        expected = row_of(words, talk(*THREE[:kept]), template=template)
        for room in (len(expected.input_ids), len(row_of(words, talk(*THREE[: kept + 2]), template=template).input_ids) - 1):
            row = row_of(words, talk(*THREE), template=template, max_tokens=room)
            assert row.truncated == ("turns",)
            assert (row.input_ids, row.segments, row.text) == (expected.input_ids, expected.segments, expected.text)
        assert whole.input_ids[: len(expected.input_ids)] == expected.input_ids


@pytest.mark.parametrize("template", ["tulu", "chat"])
def test_a_prompt_loses_its_oldest_pairs_and_keeps_system_message_and_question(words, template):
    for skipped in (2, 4):
        shorter = talk(THREE[0], *THREE[1 + skipped :])
        expected = row_of(words, shorter, template=template, learn=False)
        row = row_of(words, talk(*THREE), template=template, learn=False, max_tokens=len(expected.input_ids))
        assert row.truncated == ("turns",)
        assert (row.input_ids, row.segments, row.text) == (expected.input_ids, expected.segments, expected.text)


def test_one_pair_that_does_not_fit_loses_the_end_of_its_input(words):
    example = talk("s:Be kind", "u:red blue red blue", "a:red", "u:red", "a:blue")
    pair = row_of(words, talk("s:Be kind", "u:red blue red blue", "a:red"))
    cut = row_of(words, example, max_tokens=len(pair.input_ids) - 2)
    assert cut.truncated == ("turns", "input")
    assert cut.text == pair.text.replace("red blue red blue", "red blue")
    asked = row_of(
        words, example, max_tokens=len(row_of(words, talk("s:Be kind", "u:", "a:"), learn=False).input_ids), learn=False
    )
    assert asked.truncated == ("turns", "input")
    assert "red" not in asked.text
    assert row_of(words, example, max_tokens=12) == TOO_LONG


def test_max_input_tokens_cuts_one_turn_and_no_conversation(words):
    long = "u:red blue red blue"
    assert row_of(words, talk(long, "a:red", long, "a:red"), max_input_tokens=2).truncated == ()
    for single in (talk(long, "a:red"), talk("s:Be kind", long, "a:red")):
        row = row_of(words, single, max_input_tokens=2)
        assert row.truncated == ("input",)
        assert row.segments.count(OWNERS["i"]) == 2


def test_a_conversation_is_shown_without_exemplars_and_wording(words):
    exemplars = [Exemplar("red", "blue")]
    for messages in (TURNS, ("s:Be kind", "u:red", "a:blue")):
        row = row_of(words, talk(*messages), exemplars=exemplars, wording="Say")
        assert row == row_of(words, talk(*messages))
    short = row_of(words, talk(*TURNS), exemplars=exemplars, wording="Say", max_tokens=12)
    assert short.text == row_of(words, talk(*TURNS[:2])).text


def test_a_conversation_under_a_soft_instruction_is_dropped(words):
    assert row_of(words, talk(*TURNS), soft_tokens=2) == Dropped("conversation of several turns or with a system prompt")


def test_a_merge_at_any_answer_is_counted():
    lines = train_tokenizer(["a\n\n\n\nb"] * 50, vocab_size=300)
    assert row_of(lines, talk("u:a", "a:\n\nb", "u:a", "a:b"), template="tulu").merged
    assert row_of(lines, talk("u:a", "a:b", "u:a", "a:\n\nb"), template="tulu").merged
    assert not row_of(lines, talk("u:a", "a:b", "u:a", "a:b"), template="tulu").merged


def test_a_seq2seq_source_holds_everything_before_the_last_answer():
    tokenizer = train_tokenizer(["red blue yes no\n"] * 5, vocab_size=300)
    tokenizer.add_special_tokens({"eos_token": "</s>", "pad_token": "</s>"})
    special = [("</s>", tokenizer.convert_tokens_to_ids("</s>"))]
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=special)
    row = row_of(tokenizer, talk(*TURNS), template="tulu", seq2seq=True)
    source, target = (tokenizer.decode(ids) for ids in (row.input_ids[: row.source], row.input_ids[row.source :]))
    assert source == "<|user|>\nred\n<|assistant|>\nblue</s>\n<|user|>\nSay red\n<|assistant|>\n</s>"
    assert target == "red red</s>\n"
    asked = row_of(tokenizer, talk(*TURNS), template="tulu", seq2seq=True, learn=False)
    assert asked.input_ids == row.input_ids[: row.source]
    labels, _ = labels_and_weights(row, loss_weights("it"))
    assert tokenizer.decode([label for label in labels if label != IGNORE_INDEX]) == "red red</s>"
    prompt = Prompt(template="tulu", instruction_position="before", wording="any", exemplars=0, **LARGE)
    template = load_template("tulu", tokenizer, seq2seq=True)
    made = {"weights": loss_weights("it"), "normalize_by": "output_tokens", "seed": 0}
    built = RowBuilder({TASK.task_id: TASK}, tokenizer, template, prompt, **made).build(talk(*TURNS), Counts())
    assert built.share == sum(label != IGNORE_INDEX for label in labels)  # an answer that the encoder reads is no output


def test_builders_count_what_was_cut_and_why_rows_were_dropped(words):
    made = {"weights": loss_weights("it"), "normalize_by": "weights", "seed": 0}
    prompt = Prompt(template="chat", instruction_position="before", wording="any", exemplars=0, **(LARGE | {"max_tokens": 14}))
    counts = Counts()
    builder = RowBuilder({TASK.task_id: TASK}, words, load_template("chat", words), prompt, **made)
    row = builder.build(talk(*TURNS), counts)
    assert (counts.rows, dict(counts.truncated), dict(counts.dropped)) == (1, {"turns": 1}, {})
    assert row.share == 2  # blue <|im_end|>
    builder = RowBuilder({TASK.task_id: TASK}, words, load_template("plain", words), prompt, **made)
    assert builder.build(talk(*TURNS), counts) is None
    assert dict(counts.dropped) == {"template plain has no form for several turns or a system message": 1}


TEXT = st.text(max_size=12)


@settings(max_examples=100, deadline=None)
@given(system=st.none() | TEXT, said=st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=4), room=st.integers(20, 120))
def test_what_is_learned_is_every_answer_that_is_kept_whatever_the_text(tokenizer, system, said, room):
    messages = [] if system is None else [f"s:{system}"]
    messages += [text for user, answer in said for text in (f"u:{user}", f"a:{answer}")]
    for template in ("tulu", "chat"):
        for limit in (LARGE["max_tokens"], room):
            row = row_of(tokenizer, talk(*messages), template=template, max_tokens=limit)
            if isinstance(row, Dropped):
                assert row == TOO_LONG
                continue
            assert len(row.input_ids) <= limit
            assert tokenizer.decode(row.input_ids, clean_up_tokenization_spaces=False) == row.text
            chosen = [token for token, owner in zip(row.input_ids, row.segments, strict=True) if owner == OWNERS["o"]]
            learned = tokenizer.decode(chosen, clean_up_tokenization_spaces=False)
            answers = [answer + "<|im_end|>" for _, answer in said]
            least = 1 if "turns" in row.truncated else len(answers)
            assert row.merged or learned in ["".join(answers[:kept]) for kept in range(least, len(answers) + 1)]
