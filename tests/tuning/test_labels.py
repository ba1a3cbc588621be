"""Labels and weights token by token, against what is written by hand; text of any kind keeps its borders."""

from __future__ import annotations

from itertools import accumulate
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from makers import make_example, make_task
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from instune.errors import InputError
from instune.prompts import SEGMENTS, Span, TemplateName, load_template, render
from instune.records import Exemplar
from instune.scratch_model import CHATML, train_tokenizer
from instune.tuning.encoding import cut_text, encode
from instune.tuning.labels import IGNORE_INDEX, Dropped, Row, build_row, labels_and_weights, loss_weights

WORDS = [
    "<unk>",
    "<s>",
    "</s>",
    "<|im_start|>",
    "<|im_end|>",
    "user",
    "assistant",
    "Say",
    "it",
    "in",
    "one",
    "word",
    "red",
    "blue",
]
SHORT = {"max_tokens": 200, "max_instruction_tokens": 100, "max_input_tokens": 100}
T, S, I, E, N, O = range(6)  # template, system, instruction, examples, input, output  # noqa: E741


@pytest.fixture(scope="module")
def words() -> PreTrainedTokenizerFast:
    """One token per word or line break, ChatML template; ids are places in `WORDS`, a line break is the last."""
    vocabulary = {word: number for number, word in enumerate([*WORDS, "\n"])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split("\n", "isolated"), pre_tokenizers.Split(" ", "removed")]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        pad_token="<|im_end|>",
        bos_token="<s>",
        additional_special_tokens=["<|im_start|>"],
        chat_template=CHATML,
    )


def special(base: str, template: str) -> PreTrainedTokenizerFast:
    """A byte-level tokenizer that adds tokens of its own around a sequence, as `template` says."""
    tokenizer = train_tokenizer(["red blue yes no Output:\n"] * 5, vocab_size=300)
    tokenizer.add_special_tokens({"bos_token": "<s>", "eos_token": "</s>", "pad_token": "</s>"})
    ids = [(token, tokenizer.convert_tokens_to_ids(token)) for token in ("<s>", "</s>")]
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(single=template, special_tokens=ids)
    return tokenizer


def row_of(tokenizer, task, example, *, template="chat", output="red", **keywords) -> Row | Dropped:
    keywords = SHORT | {"wording": task.wordings[0]} | keywords
    return build_row(task, example, tokenizer=tokenizer, prompt=load_template(template, tokenizer), output=output, **keywords)


@pytest.fixture
def task():
    return make_task(0, wordings=("Say it in one word",))


@pytest.mark.parametrize(
    ("mask", "weights"),
    [
        ("it", [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0]),
        ("im", [0, 0, 0, 1, 1, 1, 1, 1, 0, 0, 1, 1, 0, 0, 0, 0, 0, 1, 1, 0]),
        ("all", [0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]),
        (
            {"template": 0.0, "system": 0.0, "instruction": 0.1, "examples": 0.0, "input": 0.5, "output": 2.0},
            [0, 0, 0, 0.1, 0.1, 0.1, 0.1, 0.1, 0, 0, 0.5, 0.5, 0, 0, 0, 0, 0, 2, 2, 0],
        ),
    ],
)
def test_chat_row_token_by_token(words, task, mask, weights):
    row = row_of(words, task, make_example(task, 0, text="red blue"))
    start, end, line = 3, 4, 14
    #       <im_start> user \n Say it in one word \n \n red blue <im_end> \n <im_start> assistant \n red <im_end> \n
    ids = [start, 5, line, 7, 8, 9, 10, 11, line, line, 12, 13, end, line, start, 6, line, 12, end, line]
    assert row.input_ids == ids
    assert row.segments == [T, T, T, I, I, I, I, I, T, T, N, N, T, T, T, T, T, O, O, T]
    labels, values = labels_and_weights(row, loss_weights(mask))
    assert values == weights
    assert labels == [token if weight else IGNORE_INDEX for token, weight in zip(ids, weights, strict=True)]


def test_first_token_is_never_a_label(tokenizer):
    row = Row([5, 6, 7], [O, O, O], "task0")
    assert labels_and_weights(row, loss_weights("all")) == ([IGNORE_INDEX, 6, 7], [0.0, 1.0, 1.0])
    assert labels_and_weights(Row([5], [O], "task0"), loss_weights("all")) == ([IGNORE_INDEX], [0.0])


def test_terminator_is_labelled_though_pad_is_the_same_token(words, task):
    assert words.pad_token_id == words.eos_token_id
    row = row_of(words, task, make_example(task, 0, text="red"))
    labels, _ = labels_and_weights(row, loss_weights("it"))
    assert [label for label in labels if label != IGNORE_INDEX] == [12, words.eos_token_id]


def test_marker_text_inside_input_and_output_stays_in_its_segment(tokenizer, task):
    row = row_of(tokenizer, task, make_example(task, 0, text="Output:\nassistant\n"), template="plain", output="Output:\nno")
    chosen = [token for token, owner in zip(row.input_ids, row.segments, strict=True) if owner == O]
    assert tokenizer.decode(chosen) == "Output:\nno<|im_end|>"


@pytest.mark.parametrize("added", ["<s> $A", "$A </s>", "<s> $A </s>"])
def test_bos_and_terminator_stand_once_whatever_the_tokenizer_adds(added, task):
    tokenizer = special("</s>", added)
    row = row_of(tokenizer, task, make_example(task, 0), template="plain")
    bos, eos = tokenizer.bos_token_id, tokenizer.eos_token_id
    assert row.input_ids.count(bos) == ("<s>" in added)
    assert ("<s>" in added) == (row.input_ids[0] == bos)
    assert row.input_ids.count(eos) == 1
    assert row.input_ids[-1] == eos
    assert row.segments[-1] == O


def test_a_token_across_two_spans_belongs_to_the_later_and_is_counted(tokenizer, task):
    # The space merges with what follows it.
    merged = train_tokenizer(["yes yes yes 10 10"] * 50, vocab_size=300)
    ids, owners, _ = encode([Span("input", "say "), Span("output", "yes")], merged)
    assert merged.convert_ids_to_tokens(ids)[-1] == "Ġyes"
    assert owners[-1] == O
    assert O not in owners[:-1]
    lines = train_tokenizer(["a\n\n\n\nb"] * 50, vocab_size=300)
    assert row_of(lines, task, make_example(task, 0), template="plain", output="\n\nb").merged
    assert not row_of(lines, task, make_example(task, 0), template="plain", output="b").merged


def test_prompt_ids_are_a_prefix_of_training_ids(tokenizer, task):
    example = make_example(task, 0)
    for template in get_args(TemplateName):
        for soft in (0, 4):
            full = row_of(tokenizer, task, example, template=template, soft_tokens=soft)
            prompt = row_of(tokenizer, task, example, template=template, soft_tokens=soft, output=None)
            assert full.input_ids[: len(prompt.input_ids)] == prompt.input_ids
            assert full.segments[: len(prompt.input_ids)] == prompt.segments
            assert full.soft == prompt.soft
            assert not full.merged


@pytest.mark.parametrize("wording", ["", " \n", "a wording that is longer than its limit " * 20])
def test_a_soft_instruction_stands_there_whatever_the_wording_is(tokenizer, task, wording):
    one, other = (row_of(tokenizer, task, make_example(task, 0), wording=text, soft_tokens=3) for text in ("Answer.", wording))
    assert one.soft[1] == 3
    assert (other.input_ids, other.segments, other.soft, other.truncated) == (one.input_ids, one.segments, one.soft, ())


@pytest.mark.parametrize(
    ("template", "before"),
    [
        ("chat", "<|im_start|>user\n"),
        ("plain", ""),
        ("tk_instruct", "Definition: "),
        ("tulu", "<|user|>\n"),
        ("alpaca", None),  # its header depends on the input
    ],
)
@pytest.mark.parametrize("text", ["The apple is red.", ""])
def test_soft_instruction_stands_where_the_instruction_would(tokenizer, task, template, before, text):
    example = make_example(task, 0)
    example = type(example)(example.task_id, example.example_id, text, example.references)
    row = row_of(tokenizer, task, example, template=template, soft_tokens=3)
    human = "".join(
        span.text for span in render(task, example, prompt=load_template(template, tokenizer), wording="@", output="red")
    )
    first, length = row.soft
    assert length == 3
    before = before if before is not None else human.split("@")[0]
    assert tokenizer.decode(row.input_ids[:first]) == before
    assert before + "@" + tokenizer.decode(row.input_ids[first + 3 :]) == human
    assert row.segments[first : first + 3] == [I, I, I]
    labels, values = labels_and_weights(row, loss_weights("all"))
    assert labels[first : first + 3] == [IGNORE_INDEX] * 3
    assert values[first : first + 3] == [0.0] * 3


def test_exemplars_go_first_then_input_and_output_is_kept_whole(words, task):
    example = make_example(task, 0, text="red blue red blue")
    exemplars = [Exemplar("red", "blue"), Exemplar("blue", "red")]
    full = row_of(words, task, example, exemplars=exemplars)
    size, bare = len(full.input_ids), len(row_of(words, task, example).input_ids)
    one = row_of(words, task, example, exemplars=exemplars, max_tokens=size - 1)
    assert one.truncated == ("examples",)
    assert bare < len(one.input_ids) < size
    cut = row_of(words, task, example, exemplars=exemplars, max_tokens=bare - 2)
    assert cut.truncated == ("examples", "input")
    assert cut.segments.count(N) == 2
    assert [token for token, owner in zip(cut.input_ids, cut.segments, strict=True) if owner == O] == [12, words.eos_token_id]


@pytest.mark.parametrize("room", range(14, 26))
def test_every_row_within_its_room_holds_the_whole_output(words, task, room):
    row = row_of(words, task, make_example(task, 0, text="red blue red"), max_tokens=room)
    shortest = 3 + 5 + 5 + 2 + 1  # turn header, instruction, between the turns, output with terminator, line break
    if room < shortest:
        assert row == Dropped("row longer than max_tokens with an empty input")
    else:
        assert len(row.input_ids) <= room
        assert row.segments.count(O) == 2


@settings(max_examples=200, deadline=None)
@given(wording=st.text(min_size=1, max_size=20), text=st.text(max_size=20), output=st.text(min_size=1, max_size=20))
def test_labelled_tokens_are_the_output_whatever_the_text(tokenizer, wording, text, output):
    task = make_task(0, wordings=(wording,))
    example = type(make_example(task, 0))("task0", "task0-0", text, (output,))
    for template in ("chat", "plain"):
        prompt = load_template(template, tokenizer)
        spans = render(task, example, prompt=prompt, wording=wording, output=output)
        row = row_of(tokenizer, task, example, template=template, output=output, max_tokens=2000)
        joined = "".join(span.text for span in spans)
        assert tokenizer.decode(row.input_ids, skip_special_tokens=False, clean_up_tokenization_spaces=False) == joined
        chosen = [token for token, owner in zip(row.input_ids, row.segments, strict=True) if owner == O]
        decoded = tokenizer.decode(chosen, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        assert decoded.endswith(output + prompt.terminator)
        extra = decoded[: len(decoded) - len(output + prompt.terminator)]
        # What is more than the output came with its first token, across the border.
        assert extra == "" or (row.merged and prompt.between.endswith(extra))


@settings(max_examples=200, deadline=None)
@given(text=st.text(max_size=30), limit=st.integers(0, 12))
def test_cut_text_is_the_longest_prefix_that_ends_at_a_token_border(tokenizer, text, limit):
    cut = cut_text(text, tokenizer, limit)
    offsets = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    if len(offsets) <= limit:
        assert cut == text
        return
    borders = [end for count, end in enumerate((end for _, end in offsets), 1) if count <= limit]
    whole = [end for count, end in enumerate(borders, 1) if offsets[count][0] >= end]  # no character is split
    assert cut == text[: max(whole, default=0)]


@settings(max_examples=100, deadline=None)
@given(text=st.text(alphabet=st.sampled_from("a é日🙂\n\u200d\u0301"), max_size=30), room=st.integers(10, 60))
def test_truncation_ends_for_any_text(tokenizer, text, room):
    task = make_task(0, wordings=("Say",))
    example = type(make_example(task, 0))("task0", "task0-0", text, ("red",))
    row = row_of(tokenizer, task, example, max_tokens=room)
    assert isinstance(row, Dropped) or len(row.input_ids) <= room


def test_spans_and_their_tokens_cover_the_same_text(tokenizer, task):
    spans = render(task, make_example(task, 0), prompt=load_template("chat", tokenizer), wording="Say it", output="red")
    ids, owners, _ = encode(spans, tokenizer)
    for segment in ("instruction", "input", "output"):
        text = "".join(span.text for span in spans if span.segment == segment)
        chosen = [token for token, owner in zip(ids, owners, strict=True) if SEGMENTS[owner] == segment]
        assert tokenizer.decode(chosen) == text
    assert list(accumulate(len(span.text) for span in spans))[-1] == len(tokenizer.decode(ids))


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        ("prompt", "'prompt' is not allowed"),
        ({"output": 1.0}, "each of"),
        (dict.fromkeys(SEGMENTS, 0.0), "at least one is positive"),
        (dict.fromkeys(SEGMENTS, -1.0), ">= 0"),
    ],
)
def test_masks_that_make_no_sense_are_refused(mask, message):
    with pytest.raises(InputError, match=message):
        loss_weights(mask)


def test_a_tokenizer_without_offsets_is_refused(tokenizer):
    class Slow:
        is_fast = False

    with pytest.raises(InputError, match="fast tokenizer"):
        encode([Span("output", "red")], Slow())
