"""The mask of the published script: by hand, against the script's rule restated over messages, and beside Eq. 4."""

from __future__ import annotations

import pytest
from makers import make_task
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from instune.errors import InputError
from instune.prompts import Prompt, load_template
from instune.records import Example, Message
from instune.scratch_model import train_tokenizer
from instune.tuning.labels import IGNORE_INDEX, Row, build_row, labels_and_weights, loss_weights
from instune.tuning.rows import RowBuilder

TASK = make_task(0, wordings=("",))
LIMITS = {"max_tokens": 1000, "max_instruction_tokens": 1000, "max_input_tokens": 1000}
RELEASED = loss_weights("released_im")
TURNS = (
    ("system", "Be kind."),
    ("user", "Okinawa\nor not?"),
    ("assistant", "yes"),
    ("user", "<|user|>\nno?"),
    ("assistant", "no"),
)


def sentencepiece(normalizer, pre_tokenizer) -> PreTrainedTokenizerFast:
    """A space of its own in front of a text, BOS added."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    if normalizer:
        tokenizer.normalizer = normalizer
    lines = pre_tokenizers.Split("\n", "isolated")  # a line break is a token, as Llama's <0x0A>
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizer, lines]) if pre_tokenizer else lines
    tokenizer.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.Fuse()])
    texts = ["<|user|>\nsay it is kind\n<|assistant|>\nyes</s>\n", "wa\n<|system|>\nBe kind. Okinawa or not? no"]
    trainer = trainers.BpeTrainer(vocab_size=90, special_tokens=["<unk>", "<s>", "</s>"], show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


@pytest.fixture(scope="module")
def llama_like() -> PreTrainedTokenizerFast:
    """Llama's way: the space in front of every stretch between special tokens."""
    return sentencepiece(normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")]), None)


@pytest.fixture(scope="module")
def first_like() -> PreTrainedTokenizerFast:
    """The newer way: the space in front of the whole text alone."""
    return sentencepiece(None, pre_tokenizers.Metaspace(prepend_scheme="first", split=False))


@pytest.fixture(scope="module")
def gpt_like() -> PreTrainedTokenizerFast:
    """Byte-level, nothing added."""
    tokenizer = train_tokenizer(["<|user|>\nyes no\n<|assistant|>\nBe kind or not?"] * 5, vocab_size=320)
    tokenizer.add_special_tokens({"eos_token": "</s>", "pad_token": "</s>"})
    return tokenizer


def talk(*said: tuple[str, str]) -> Example:
    messages = tuple(Message(role, text) for role, text in said)
    return Example(TASK.task_id, "talk", messages[-2].content, (messages[-1].content,), messages=messages)


def row_of(tokenizer, example, template="tulu") -> Row:
    prompt = load_template(template, tokenizer)
    return build_row(TASK, example, tokenizer=tokenizer, prompt=prompt, wording="", output=example.references[0], **LIMITS)


def the_scripts_labels(tokenizer, said) -> tuple[list[int], list[int]]:
    """Ids and labels of the published script, from the messages alone."""
    text = ""
    for role, content in said:
        text += f"<|{role}|>\n{content.strip()}" + (tokenizer.eos_token if role == "assistant" else "") + "\n"
    ids = tokenizer(text.strip())["input_ids"]
    masked = set()
    for marker in ("wa\n", "<|system|>\n", "<|user|>\n"):
        sought = tokenizer(marker)["input_ids"]
        for start in range(len(ids)):
            if ids[start : start + len(sought)] == sought:
                masked.update(range(start, start + len(sought)))
    return ids, [IGNORE_INDEX if place in masked else token for place, token in enumerate(ids)]


def runs_without_loss(tokenizer, ids, labels) -> list[str]:
    runs = [[]]
    for token, label in zip(ids, labels, strict=True):
        if label == IGNORE_INDEX:
            runs[-1].append(token)
        elif runs[-1]:
            runs.append([])
    return [tokenizer.decode(run) for run in runs if run]


@pytest.mark.parametrize("said", [TURNS, TURNS[1:], TURNS[1:3], TURNS[:3]], ids=["all", "no system", "pair", "system, pair"])
@pytest.mark.parametrize("kind", ["llama_like", "gpt_like"])
def test_the_mask_is_the_scripts_on_the_same_messages(request, kind, said):
    tokenizer = request.getfixturevalue(kind)
    row, (ids, theirs) = row_of(tokenizer, talk(*said)), the_scripts_labels(tokenizer, said)
    assert row.input_ids[: len(ids)] == ids
    assert tokenizer.decode(row.input_ids[len(ids) :]).strip() == ""  # the line break that the script strips
    labels, values = labels_and_weights(row, RELEASED)
    assert labels[len(ids) :] == [IGNORE_INDEX] * (len(labels) - len(ids))
    assert labels[0] == IGNORE_INDEX
    assert labels[1 : len(ids)] == theirs[1:]  # nothing predicts the first
    assert [value > 0 for value in values] == [label != IGNORE_INDEX for label in labels]


@pytest.mark.parametrize("kind", ["llama_like", "first_like"])
def test_behind_bos_and_a_dummy_space_only_the_first_marker_is_found(request, kind):
    tokenizer = request.getfixturevalue(kind)
    row = row_of(tokenizer, talk(*TURNS))
    labels, _ = labels_and_weights(row, RELEASED)
    runs = runs_without_loss(tokenizer, row.input_ids, labels)
    assert [run.replace(" ", "") for run in runs] == ["<s><|system|>\n", "\n"]
    assert runs_without_loss(tokenizer, *the_scripts_labels(tokenizer, TURNS)) == ["<s> <|system|>\n"]
    chosen = [token for token, label in zip(row.input_ids, labels, strict=True) if label != IGNORE_INDEX]
    assert tokenizer.decode(chosen).count("<|assistant|>") == 2


def test_where_nothing_is_added_every_marker_but_the_assistants_is_found_in_messages_too(gpt_like):
    row = row_of(gpt_like, talk(*TURNS))
    labels, _ = labels_and_weights(row, RELEASED)
    found = ["<|system|>\n", "<|user|>\n", "wa\n", "<|user|>\n<|user|>\n", "\n"]
    assert runs_without_loss(gpt_like, row.input_ids, labels) == found


def test_role_markers_carry_loss_there_and_none_under_eq_4(llama_like):
    row = row_of(llama_like, talk(*TURNS))
    template = [owner == 0 for owner in row.segments]
    shares = {}
    for mask in ("im", "released_im"):
        labels, _ = labels_and_weights(row, loss_weights(mask))
        shares[mask] = sum(label != IGNORE_INDEX for label, own in zip(labels, template, strict=True) if own) / sum(template)
    assert shares["im"] == 0
    assert shares["released_im"] > 0.5


def test_by_hand():
    # <s> <|user|> ~ red ~ <|user|> ~ blue </s> ~, where <|user|>~ is looked for behind <s> and wa~ is 9 3
    ids, owners = [1, 2, 3, 4, 3, 2, 3, 5, 6, 3], [0, 0, 0, 4, 0, 0, 0, 5, 5, 0]
    windows = ((1, 9, 3), (1, 8, 3), (1, 2, 3))
    row = Row(ids, owners, "task0", turns=[0, 0, 0, 0, 0, 0, 0, 1, 1, 1], released=windows)
    assert labels_and_weights(row, RELEASED) == (
        [-100, -100, -100, 4, 3, 2, 3, 5, 6, -100],
        [0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0],
    )
    bare = Row(ids, owners, "task0", turns=row.turns, released=tuple(window[1:] for window in windows))
    assert labels_and_weights(bare, RELEASED)[0] == [-100, -100, -100, 4, 3, -100, -100, 5, 6, -100]
    overlapping = Row([7, 7, 7, 7], [4, 4, 4, 5], "task0", turns=[0, 0, 0, 1], released=((7, 7),))
    assert labels_and_weights(overlapping, RELEASED)[0] == [-100] * 4


def test_it_is_refused_on_another_template(tokenizer):
    row = row_of(tokenizer, talk(*TURNS), template="chat")
    with pytest.raises(InputError, match=r"released_im is what.*prompt\.template: tulu"):
        labels_and_weights(row, RELEASED)
    prompt = Prompt(template="chat", instruction_position="before", wording="any", exemplars=0, **LIMITS)
    made = {"weights": RELEASED, "normalize_by": "examples", "seed": 0}
    with pytest.raises(InputError, match="released_im"):
        RowBuilder({"task0": TASK}, tokenizer, load_template("chat", tokenizer), prompt, **made)
    with pytest.raises(InputError, match="released_im"):
        RowBuilder({"task0": TASK}, tokenizer, load_template("tulu", tokenizer, seq2seq=True), prompt, **made)
