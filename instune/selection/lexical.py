"""Similarity of wordings by the words they share: BM25."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from math import fsum, log

import bm25s
import numpy as np

from instune.selection.rank import ROWS, UNIT


def words(texts: Sequence[str]) -> list[list[str]]:
    """Lower-case words of two letters or more, without English stop words."""
    return bm25s.tokenize(list(texts), stopwords="english", return_ids=False, show_progress=False)


class Corpus:
    """Source texts, indexed for BM25 in Lucene's form with k1 1.5 and b 0.75."""

    def __init__(self, sources: Sequence[str]) -> None:
        texts = words(sources)
        self.size, self.frequency = len(texts), Counter(word for text in texts for word in set(text))
        if not self.frequency:  # nothing but stop words: the library cannot index that
            texts = [["", *text] for text in texts]
        self.index = bm25s.BM25(method="lucene", k1=1.5, b=0.75)
        self.index.index(texts, show_progress=False)

    def similarities(self, targets: Sequence[str]) -> Iterator[np.ndarray]:
        """How much of each target text the source texts hold, in millionths: int32 blocks (m_i, n).

        BM25 under the target's words, divided by its least upper bound, the sum of their inverse document frequencies. Raw
        BM25 grows with the number of words, so that among several wordings of a target the longest would decide; the share, 0
        to 1, can be compared and averaged as cosines are. Ranks within one wording stay the same.
        """
        rows = words(targets)
        for start in range(0, len(rows), ROWS):
            yield np.stack([self._shares(row) for row in rows[start : start + ROWS]])

    def _shares(self, row: list[str]) -> np.ndarray:
        known = [word for word in row if word in self.frequency]
        if not known:
            return np.zeros(self.size, dtype=np.int32)
        bound = fsum(log(1 + (self.size - self.frequency[word] + 0.5) / (self.frequency[word] + 0.5)) for word in row)
        return np.rint(self.index.get_scores(known).astype(np.float64) / bound * UNIT).astype(np.int32)
