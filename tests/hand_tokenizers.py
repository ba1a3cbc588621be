"""Tokenizers whose vocabularies are written by hand: words, bytes, and pieces as SentencePiece makes them."""

from __future__ import annotations

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from instune.scratch_model import CHATML

WORDS = [
    "<unk>",
    "<s>",
    "</s>",
    "<|im_start|>",
    "<|im_end|>",
    "user",
    "assistant",
    "system",
    "Say",
    "it",
    "red",
    "blue",
    "\n",
    "Output:",
    "Input:",
    "<pad>",
]
BYTES = [
    "<pad>",
    "<|im_start|>",
    "<|im_end|>",
    "Ċ",
    "Ġ",
    "a",
    "b",
    "c",
    "u",
    "s",
    "e",
    "r",
    "i",
    "t",
    "n",
    "ĊĊ",
    "Ġb",
    "æ",
    "Ĺ",
    "¥",
    "ð",
    "Ł",
    "Ļ",
    "Ĥ",
    "O",
    "p",
    ":",
]
PIECES = ["<unk>", "<s>", "</s>", "▁", "▁Say", "▁it", "red", "blue", "\n", "Output", ":", "▁red", "▁blue", "it", "▁no"]


def wrapped(tokenizer: Tokenizer, single: str = "$A", **special: str) -> PreTrainedTokenizerFast:
    """The tokenizer with these special tokens and what it adds around a text by itself."""
    made = PreTrainedTokenizerFast(tokenizer_object=tokenizer, chat_template=CHATML, **special)
    named = [(token, made.convert_tokens_to_ids(token)) for token in ("<s>", "</s>") if token in single]
    made.backend_tokenizer.post_processor = processors.TemplateProcessing(single=single, special_tokens=named)
    return made


def words(single: str = "$A", **special: str) -> PreTrainedTokenizerFast:
    """A token is a word or a line break."""
    tokenizer = Tokenizer(models.WordLevel({word: place for place, word in enumerate(WORDS)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split("\n", "isolated"), pre_tokenizers.Split(" ", "removed")]
    )
    return wrapped(tokenizer, single, additional_special_tokens=["<|im_start|>", "<|im_end|>"], **special)


def byte_level() -> PreTrainedTokenizerFast:
    """Byte-level BPE with two merges: two line breaks, and a blank with b."""
    vocabulary = {token: place for place, token in enumerate(BYTES)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[("Ċ", "Ċ"), ("Ġ", "b")]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return wrapped(tokenizer, eos_token="<|im_end|>", pad_token="<pad>", additional_special_tokens=["<|im_start|>"])


def sentencepiece() -> PreTrainedTokenizerFast:
    """Unigram pieces with a blank in front of a text, and BOS."""
    tokenizer = Tokenizer(models.Unigram([(piece, -1.0) for piece in PIECES], unk_id=0, byte_fallback=False))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="first")
    return wrapped(tokenizer, "<s> $A", bos_token="<s>", eos_token="</s>", unk_token="<unk>")


TOKENIZERS = {
    "words, pad is eos": lambda: words(eos_token="<|im_end|>", pad_token="<|im_end|>"),
    "words, pad is not eos": lambda: words(eos_token="<|im_end|>", pad_token="<pad>"),
    "words, appending eos": lambda: words("$A </s>", eos_token="</s>", pad_token="</s>"),
    "words, adding bos": lambda: words("<s> $A", bos_token="<s>", eos_token="</s>", pad_token="</s>"),
    "bytes": byte_level,
    "pieces": sentencepiece,
}
