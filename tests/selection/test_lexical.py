from math import log

import numpy as np
import pytest

from instune.selection.lexical import Corpus, words
from instune.selection.rank import ROWS, UNIT

SOURCES = [
    "Count the vowels in the word.",
    "Count the words in the long sentence, and count them twice.",
    "Translate the sentence to French.",
    "The and of to.",  # stop words only
]


def by_hand(target, sources):
    """Lucene's BM25 with k1 1.5 and b 0.75, summed over the target's words, over the sum of their idf."""
    corpus, scores = words(sources), []
    mean = sum(len(text) for text in corpus) / len(corpus)
    (query,) = words([target])
    idf = {}
    for word in query:
        holding = sum(word in text for text in corpus)
        idf[word] = log(1 + (len(corpus) - holding + 0.5) / (holding + 0.5))
    for text in corpus:
        score = 0.0
        for word in query:
            count = text.count(word)
            score += idf[word] * count / (count + 1.5 * (1 - 0.75 + 0.75 * len(text) / mean))
        scores.append(score / sum(idf[word] for word in query))
    return scores


@pytest.mark.parametrize(
    "target", ["Count the words.", "Count, count the sentence's vowels.", "Translate an unknown word to Greek."]
)
def test_the_share_is_that_of_the_formula(target):
    (block,) = Corpus(SOURCES).similarities([target])
    assert block.dtype == np.int32
    np.testing.assert_allclose(block[0] / UNIT, by_hand(target, SOURCES), atol=2e-6)


def test_a_share_lies_between_0_and_1_and_a_text_without_known_words_has_none():
    block = np.concatenate(list(Corpus(SOURCES).similarities([*SOURCES, "Zebra!", "", "the"])))
    assert block.min() >= 0
    assert block.max() < UNIT
    assert not block[3:].any()
    assert block[:3].argmax(axis=1).tolist() == [0, 1, 2]


def test_a_long_text_does_not_score_higher_for_its_length():
    (short,) = Corpus(SOURCES).similarities(["Count vowels"])
    (long,) = Corpus(SOURCES).similarities(["Count vowels " * 5])
    np.testing.assert_allclose(short, long, atol=1)


def test_a_corpus_of_stop_words_has_no_similarities():
    (block,) = Corpus(["the", "of the"]).similarities(["Count the words.", "to"])
    assert block.tolist() == [[0, 0], [0, 0]]


def test_many_targets_come_in_blocks():
    targets = [f"Count word number{place}" for place in range(ROWS + 3)]
    blocks = list(Corpus(SOURCES).similarities(targets))
    assert [len(block) for block in blocks] == [ROWS, 3]
    assert (np.concatenate(blocks)[:, 0] == blocks[0][0, 0]).all()
