"""Over 1,000 random examples: what carries loss is the segments asked for, up to border tokens by the ownership rule."""

from __future__ import annotations

import random
from itertools import accumulate

from makers import make_task
from tokenizers import Tokenizer, decoders, models, normalizers, trainers
from transformers import PreTrainedTokenizerFast

from instune.prompts import SEGMENTS, load_template, render
from instune.records import Example
from instune.scratch_model import CHATML, train_tokenizer
from instune.tuning.labels import build_row, labels_and_weights

ALPHABET = [
    "a",
    "yes",
    "10",
    " ",
    "  ",
    "\n",
    "\n\n",
    "\t",
    "é",
    "e\u0301",
    "日本",
    "🙂",
    "👩\u200d🚀",
    ".",
    "Output:",
    "<|im_end|>",
    "### Response:",
]
TEXTS = ["yes yes 10 10 a\n\n\n\na Output: a", "### Response: 日本 🙂 é <|user|>\n<|assistant|>\n"] * 20
LIMITS = {"max_tokens": 2000, "max_instruction_tokens": 1000, "max_input_tokens": 1000}


def sentencepiece() -> PreTrainedTokenizerFast:
    """BPE with a blank in front of every stretch between special tokens, and bytes for what it does not know."""
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    tokenizer.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()])
    fallback = [f"<0x{byte:02X}>" for byte in range(256)]
    trainer = trainers.BpeTrainer(
        vocab_size=500, special_tokens=["<unk>", "<s>", "</s>", "<|im_start|>", "<|im_end|>", *fallback], show_progress=False
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        chat_template=CHATML,
        additional_special_tokens=["<|im_start|>", "<|im_end|>"],
    )


def words_of(generator: random.Random) -> str:
    return "".join(generator.choices(ALPHABET, k=generator.randrange(6)))


def test_weighted_tokens_are_the_segments_asked_for():
    generator, straddling, exact = random.Random("mask property"), 0, 0
    byte_level = train_tokenizer(TEXTS, vocab_size=420)
    tokenizers = [byte_level, sentencepiece()]
    templates = [
        {name: load_template(name, tokenizer) for name in ("chat", "plain", "bare", "alpaca", "tk_instruct", "tulu")}
        for tokenizer in tokenizers
    ]
    for number in range(1000):
        place = generator.randrange(2)
        tokenizer, prompt = tokenizers[place], generator.choice(list(templates[place].values()))
        wording, text, output = words_of(generator) or "a", words_of(generator), words_of(generator)
        position = generator.choice(["before", "after"])
        asked = set(generator.sample(SEGMENTS, generator.randrange(1, 6))) | {"output"}
        task, example = make_task(0, wordings=(wording,)), Example("task0", f"{number}", text, (output,))
        given = {"prompt": prompt, "wording": wording, "output": output, "instruction_position": position}
        row = build_row(task, example, tokenizer=tokenizer, **given, **LIMITS)
        spans = render(task, example, **given)
        assert row.text == "".join(span.text for span in spans)
        of_character = [span.segment in asked for span in spans for _ in span.text]
        _, weights = labels_and_weights(row, {segment: float(segment in asked) for segment in SEGMENTS})
        offsets = tokenizer(row.text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
        assert len(offsets) == len(weights)
        across = False
        for token, ((start, end), weight) in enumerate(zip(offsets, weights, strict=True)):
            across |= len(set(of_character[start:end])) == 2
            if token == 0 or start == end:
                assert weight == 0 or (start == end and "template" in asked)
                continue
            assert weight == of_character[end - 1]  # all its characters', or of two spans the later's
        straddling += across
        if not across and place == 0:  # decoding is exact
            kept = [token for token, weight in zip(row.input_ids, weights, strict=True) if weight]
            expected = "".join(span.text for span in spans if span.segment in asked)
            first = tokenizer.decode(row.input_ids[:1]) if of_character[0] else ""
            decoded = tokenizer.decode(kept, clean_up_tokenization_spaces=False)
            assert decoded == expected.removeprefix(first) or "\ufffd" in first
            exact += 1
        answer = list(accumulate(len(span.text) for span in spans if span.turn == 0))[-1] + len(output)
        last = [weight for (start, end), weight in zip(offsets, weights, strict=True) if start <= answer < end]
        assert last == [1.0]  # the terminator is learned, once
    assert straddling > 20
    assert exact > 300
