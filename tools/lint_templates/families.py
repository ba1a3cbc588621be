"""Chat templates of popular model families, written after their public documentation, each with a tiny tokenizer of its own."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from transformers import PreTrainedTokenizerFast

from instune.scratch_model import train_tokenizer

FOLDER = Path(__file__).parent / "families"
_HEAD = re.compile(r"\{# bos: (.*) \| eos: (.*) \| special: (.*) \| after the template of (.*) #\}\n")


@dataclass(frozen=True)
class Family:
    """One template and the special tokens that it writes."""

    name: str
    bos: str
    eos: str
    special: tuple[str, ...]
    source: str
    template: str

    def tokenizer(self) -> PreTrainedTokenizerFast:
        """A byte-level tokenizer with these special tokens; none of them is added by itself."""
        tokenizer = train_tokenizer([self.template], vocab_size=400)
        named = {"eos_token": self.eos, "pad_token": self.eos} | ({"bos_token": self.bos} if self.bos else {})
        tokenizer.add_special_tokens(named | {"additional_special_tokens": list(self.special)})
        tokenizer.chat_template = self.template
        return tokenizer


def read_family(path: Path) -> Family:
    """A family's file: a comment with its special tokens and source, then the template."""
    text = path.read_text(encoding="utf-8")
    head = _HEAD.match(text)
    bos, eos, special, source = head.groups()
    return Family(path.stem, bos, eos, tuple(special.split()), source, text[head.end() :].removesuffix("\n"))


def families() -> list[Family]:
    """All of them, by name."""
    return [read_family(path) for path in sorted(FOLDER.glob("*.jinja"), key=lambda path: path.stem)]
