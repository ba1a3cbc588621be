"""CoQA's last question of each conversation (arXiv 1808.07042): prompt, references and word F1.

As lm-evaluation-harness's task `coqa`, which cannot be loaded beside transformers 5: it imports a module that is gone there.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from statistics import fmean
from typing import Any

PUNCTUATION = str.maketrans("", "", string.punctuation)


def prompt(doc: Mapping[str, Any]) -> str:
    """The story, the questions so far with their answers, and the last question."""
    asked, answered = doc["questions"]["input_text"], doc["answers"]["input_text"][:-1]
    turns = [
        f"Q: {question}\n\n" + ("A:" if answer is None else f"A: {answer}\n\n")
        for question, answer in zip_longest(asked, answered)
    ]
    return doc["story"] + "\n\n" + "".join(turns)


def references(doc: Mapping[str, Any]) -> list[str]:
    """The answer to the last question, and further annotators' that differ from it."""
    last = len(doc["questions"]["input_text"]) - 1
    found = [doc["answers"]["input_text"][last]]
    for other in (doc.get("additional_answers") or {}).values():
        if other["input_text"][last].lower() not in (answer.lower() for answer in found):
            found.append(other["input_text"][last])
    return found


def words(text: str) -> list[str]:
    """Lower-case words without punctuation and articles, as SQuAD's metric compares them."""
    return re.sub(r"\b(a|an|the)\b", " ", text.lower().translate(PUNCTUATION)).split()


def word_f1(reference: str, answer: str) -> float:
    """Of the words that both hold; where one has no words, 1 if neither has."""
    wanted, given = words(reference), words(answer)
    if not wanted or not given:
        return float(wanted == given)
    both = (Counter(wanted) & Counter(given)).total()
    return 2 * both / (len(wanted) + len(given))


def scores(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, float]:
    """lm-eval results of one document: `em` and `f1`, the best over references; of several, each is left out once (as a human is
    scored against the others), and the mean is taken."""
    answer, known = results[0].strip().split("\n")[0], references(doc)
    rounds = [known[:place] + known[place + 1 :] for place in range(len(known))] if len(known) > 1 else [known]
    return {
        "em": fmean(max(float(words(reference) == words(answer)) for reference in kept) for kept in rounds),
        "f1": fmean(max(word_f1(reference, answer) for reference in kept) for kept in rounds),
    }
