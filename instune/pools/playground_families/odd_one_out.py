"""Name the word that is of another kind than the three others. The answer is `<word> does not belong`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random

from instune.pools.playground_families.spec import Case, Maker, TaskSpec

FAMILY = "Odd One Out"


def _maker(groups: Mapping[str, Sequence[str]]) -> Maker:
    """Three words of one group and one of another; the place of the odd one goes round."""

    def make(rng: Random, index: int) -> Case:
        home, other = rng.sample(list(groups), 2)
        words, odd = rng.sample(groups[home], 3), rng.choice(groups[other])
        words.insert(index % 4, odd)
        return Case(", ".join(words), f"{odd} does not belong")

    return make


KITCHEN = {
    "tools": ("ladle", "whisk", "grater", "sieve", "rolling pin", "peeler"),
    "drinks": ("tea", "cocoa", "lemonade", "cider", "juice", "milk"),
    "meats": ("ham", "bacon", "sausage", "mutton", "veal", "turkey"),
}
NATURE = {
    "birds": ("robin", "owl", "swan", "stork", "finch", "raven"),
    "trees": ("beech", "willow", "larch", "poplar", "cedar", "elm"),
    "insects": ("wasp", "beetle", "ant", "moth", "cricket", "ladybird"),
}
TOWN = {
    "buildings": ("cathedral", "barracks", "library", "prison", "cinema", "hotel"),
    "vehicles": ("tram", "taxi", "lorry", "scooter", "ambulance", "bicycle"),
    "jobs": ("butcher", "barber", "judge", "cashier", "florist", "cobbler"),
}
CLASSROOM = {
    "writing things": ("pencil", "chalk", "crayon", "biro", "marker", "quill"),
    "shapes": ("circle", "square", "triangle", "cube", "cone", "oval"),
    "games": ("hopscotch", "tag", "marbles", "dominoes", "hangman", "skittles"),
}


def _words(groups: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    return tuple(word for group in groups.values() for word in group)


TASKS = (
    TaskSpec(
        name="kitchen_odd_word",
        domain="Cooking",
        wordings=(
            "Four words from the kitchen; three are alike in kind. Name the fourth and say that it does not belong.",
            "Find the intruder among the kitchen words. Reply: WORD does not belong",
            "Which word is out of place? Write it with 'does not belong' behind it.",
        ),
        reason="The three others are of one kind, so {output}.",
        make=_maker(KITCHEN),
        entities=_words(KITCHEN),
    ),
    TaskSpec(
        name="nature_odd_word",
        domain="Nature",
        wordings=(
            "Birds, trees and insects have got mixed up. Which of the four is of a different sort than the rest? End with does "
            "not belong.",
            "Spot the one that differs. The reply is made of that word and the words does not belong.",
            "A nature quiz: three of one sort, one of another. State the one of another sort plus 'does not belong'.",
        ),
        reason="Looking at the sort of each, {output}.",
        make=_maker(NATURE),
        entities=_words(NATURE),
    ),
    TaskSpec(
        name="town_odd_word",
        domain="City life",
        wordings=(
            "One thing seen in town is not like the others in the row. Finish this: ... does not belong",
            "Decide which of the words from town should be struck out, and answer with it and does not belong.",
            "Choose the stranger in the row (answer: stranger does not belong).",
            "Odd one out, in town.",
        ),
        reason="Compared with the rest of the row, {output}.",
        make=_maker(TOWN),
        entities=_words(TOWN),
    ),
    TaskSpec(
        name="classroom_odd_word",
        domain="Schools",
        wordings=(
            "Children sort words into groups. In this group a wrong one has slipped in. Tell which, by the words: it does not "
            "belong, where it is the wrong one.",
            "Pick the word that the teacher would remove from the group, then write does not belong after it.",
            "The group has a mistake. Reply with the mistake + does not belong.",
        ),
        reason="The teacher would say that {output}.",
        make=_maker(CLASSROOM),
        entities=_words(CLASSROOM),
    ),
)
