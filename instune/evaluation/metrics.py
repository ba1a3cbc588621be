"""Exact match and ROUGE-L as Tk-Instruct's evaluation of Super-NaturalInstructions computes them (arXiv 2204.07705), 0 to 1.

Known properties, kept for comparability and mended in the `fixed` variants: punctuation is removed before exact match, so "-"
equals "+"; ROUGE's tokenizer keeps [a-z0-9] only, so a text without Latin letters scores 0 against itself, as two empty ones do.
Articles stay, other than in SQuAD.
"""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Sequence
from functools import cache
from unicodedata import category
from unicodedata import normalize as normalize_unicode

from nltk.stem.porter import PorterStemmer
from rouge_score.scoring import fmeasure

# Thai, Lao, Myanmar, Khmer, kana, Han: written without spaces, so each character counts as a word
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
_PIECE = re.compile(f"[{_UNSPACED}]|[^{_UNSPACED}]+")
_WORD, _WORDS = re.compile("[a-zA-Z0-9]"), re.compile("[a-z0-9]+")
MOST_STEMS = 1 << 17  # kept in memory
BLOCK = 1 << 14  # words; at most 32 MB of bits
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalize(text: str) -> str:
    """Lower case, without ASCII punctuation, runs of white space as one space."""
    return " ".join(text.lower().translate(_NO_PUNCTUATION).split())


def exact_match(prediction: str, references: Sequence[str]) -> float:
    """1 where the normalized prediction equals a normalized reference, else 0."""
    return float(normalize(prediction) in {normalize(reference) for reference in references})


class _Stems(dict[str, str]):
    """Word -> what rouge-score makes of it: Porter's stem from four letters on. A memory: the same words come again and again."""

    def __init__(self) -> None:
        super().__init__()
        self.porter = PorterStemmer()

    def __missing__(self, word: str) -> str:
        if len(self) == MOST_STEMS:
            self.clear()
        self[word] = stem = self.porter.stem(word) if len(word) > 3 else word
        return stem


@cache
def _stems() -> _Stems:
    return _Stems()


def words_of(text: str) -> list[str]:
    """Stemmed words of [a-z0-9], those of `rouge_score.tokenize`."""
    stems = _stems()
    return [stems[word] for word in _WORDS.findall(text.lower())]


def common_subsequence(first: Sequence[str], second: Sequence[str]) -> int:
    """Length of the longest common subsequence, a bit for each word of the shorter text (Hyyrö 2004), in blocks of bits.

    A table of all pairs, as rouge-score builds it, does not fit in memory for texts of some megabytes; nor does a row of bits for
    each word of both, without blocks.
    """
    first, second = sorted((first, second), key=len)
    carries, common = bytearray(len(second)), 0
    for start in range(0, len(first), BLOCK):
        common += _block(first[start : start + BLOCK], second, carries)
    return common


def _block(block: Sequence[str], second: Sequence[str], carries: bytearray) -> int:
    """What a block of words adds to the length; `carries`, one per word of `second`, come from the block before and go on."""
    places: dict[str, int] = {}
    for place, word in enumerate(block):
        places[word] = places.get(word, 0) | 1 << place
    row = everywhere = (1 << len(block)) - 1
    for column, word in enumerate(second):
        matched = row & places.get(word, 0)
        if matched or carries[column]:
            added = row + matched + carries[column]
            carries[column] = added > everywhere
            row = (added | (row - matched)) & everywhere
    return len(block) - row.bit_count()


def _overlap(words: Sequence[str], wanted: Sequence[str]) -> float:
    """F-measure of the longest common subsequence; 0 where a side has no word."""
    if not words or not wanted:
        return 0.0
    common = common_subsequence(wanted, words)
    return fmeasure(common / len(words), common / len(wanted))


def rouge_l(prediction: str, references: Sequence[str]) -> float:
    """F-measure of the longest common subsequence of stemmed words; the best over the references."""
    words = words_of(prediction)
    return max(_overlap(words, words_of(reference)) for reference in references)


def _plain(text: str) -> str:
    return " ".join(normalize_unicode("NFC", text).lower().split())


def needs_mending(prediction: str, references: Sequence[str]) -> bool:
    """Whether the `fixed` metrics can differ: a text has characters beyond ASCII, or neither letter nor digit."""
    return any(not text.isascii() or not _WORD.search(text) for text in (prediction, *references))


def fixed_exact_match(prediction: str, references: Sequence[str]) -> float:
    """As `exact_match`, but texts of punctuation alone are compared as they stand, and equal Unicode forms are equal."""

    def form(text: str) -> str:
        return normalize(_plain(text)) or _plain(text)

    return float(form(prediction) in {form(reference) for reference in references})


def unicode_words(text: str) -> list[str]:
    """Words of letters, digits and marks of any script, stemmed if ASCII; single characters in scripts written without spaces."""
    text = _plain(text)
    if text.isascii():
        return words_of(text)
    words = []
    for word in "".join(character if category(character)[0] in "LNM" else " " for character in text).split():
        if word.isascii():
            words += words_of(word)
        else:
            words += _PIECE.findall(word)
    return words


def fixed_rouge_l(prediction: str, references: Sequence[str]) -> float:
    """As `rouge_l` with words of any script; two texts without any word are compared as they stand."""
    words, best = unicode_words(prediction), 0.0
    for reference in references:
        wanted = unicode_words(reference)
        equal = not words and not wanted and _plain(prediction) == _plain(reference)
        best = max(best, 1.0 if equal else _overlap(words, wanted))
    return best


def rank_accuracy(
    choices: Sequence[str], loglikelihoods: Sequence[float], references: Sequence[str], length: Callable[[str], int]
) -> float:
    """1 where the choice of highest log-likelihood per unit of length is a reference, else 0; the first of equals is taken."""
    ranked = [value / max(length(choice), 1) for choice, value in zip(choices, loglikelihoods, strict=True)]
    chosen = choices[ranked.index(max(ranked))]
    return float(chosen.strip() in {reference.strip() for reference in references})


RANK_METRICS: dict[str, Callable[[str], int]] = {
    "accuracy": lambda choice: 1,  # the sum: lm-eval's acc
    "accuracy_per_character": len,  # lm-eval's acc_norm
    "accuracy_per_byte": lambda choice: len(choice.encode("utf-8", "surrogatepass")),  # its acc_bytes
}
TEXT_METRICS: dict[str, Callable[[str, Sequence[str]], float]] = {"exact_match": exact_match, "rouge_l": rouge_l}
FIXED_METRICS: dict[str, Callable[[str, Sequence[str]], float]] = {"exact_match": fixed_exact_match, "rouge_l": fixed_rouge_l}
