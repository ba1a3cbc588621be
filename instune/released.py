"""What the script that was published with arXiv 2405.14394 masks under its option for loss on instructions.

src/finetune.py there looks for three markers in a row's token ids and takes the loss off what it finds; everything else has it.
Each marker is tokenized by itself, special tokens included, so under a tokenizer that begins a sequence with BOS or with a space
of its own only a row's first marker is found, and `<|assistant|>` is not among the three. Eq. 4 of the paper has no role marker.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from transformers import PreTrainedTokenizerBase

MARKERS = ("wa\n", "<|system|>\n", "<|user|>\n")  # the first stands where `<|assistant|>` is meant
Windows = tuple[tuple[int, ...], ...]


def marker_windows(tokenizer: PreTrainedTokenizerBase, bos: str) -> Windows:
    """The token ids that the script looks for, and the same behind a BOS that is written as text, as rows have it here.

    The two differ where a tokenizer puts a space of its own in front of a sequence but not behind BOS.
    """
    windows = [tokenizer(marker)["input_ids"] for marker in MARKERS]
    if bos:
        windows += [tokenizer(bos + marker, add_special_tokens=False)["input_ids"] for marker in MARKERS]
    return tuple(tuple(window) for window in windows)


def found(ids: Sequence[int], windows: Windows) -> Iterator[int]:
    """The places of every occurrence of every window, overlapping ones too."""
    for window in windows:
        for start in range(len(ids) - len(window) + 1):
            if ids[start] == window[0] and tuple(ids[start : start + len(window)]) == window:
                yield from range(start, start + len(window))
