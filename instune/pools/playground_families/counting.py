"""Count the things that a sentence lists. The answer is a number word with `in all`."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from instune.pools.playground_families.spec import PEOPLE, Case, Maker, TaskSpec, join_words, sentence_case

FAMILY = "Counting"
NUMBERS = ("one", "two", "three", "four", "five")
LABELS = tuple(f"{number} in all" for number in NUMBERS)


def _maker(things: Sequence[str], frames: Sequence[str]) -> Maker:
    """One to five different things, in turn, listed in a frame."""

    def make(rng: Random, index: int) -> Case:
        count = index % len(NUMBERS) + 1
        listing = join_words(rng.sample(things, count))
        text = rng.choice(frames).format(person=rng.choice(PEOPLE), things=listing)
        return Case(sentence_case(text), LABELS[count - 1])

    return make


FOODS = ("flour", "salt", "cumin", "raisins", "cream", "tomatoes", "rice", "mushrooms", "mustard seeds", "lemon zest", "parsley")
PLAYERS = (
    "a viola",
    "a tuba",
    "a sitar",
    "a drum kit",
    "a piano",
    "a mandolin",
    "a bassoon",
    "a zither",
    "a guitar",
    "a recorder",
)
WARDS = ("emergency", "surgery", "dentistry", "pathology", "psychiatry", "gynaecology", "haematology", "geriatrics", "pharmacy")
FIELD_PLANTS = ("potatoes", "cabbages", "pumpkins", "peas", "carrots", "turnips", "beans", "strawberries", "leeks", "celery")

TASKS = (
    TaskSpec(
        name="cooking_ingredient_counting",
        domain="Cooking",
        wordings=(
            "Given a sentence about cooking, count the ingredients that are mentioned. Begin the answer with the number as a "
            "word and then write in all.",
            "How many different ingredients does the cook use? Say the number in letters followed by 'in all'.",
            "Tell the number of ingredients (in words, then: in all).",
        ),
        reason="The cook's list has {output}.",
        make=_maker(
            FOODS,
            ("{person} puts {things} into the bowl.", "For the filling, {person} needs {things}.", "{things} went into the pot."),
        ),
        entities=FOODS,
        labels=LABELS,
    ),
    TaskSpec(
        name="band_instrument_counting",
        domain="Music",
        wordings=(
            "Count the musical instruments in the line from a concert review. The number word comes first, then in all.",
            "Someone has to carry the band's things upstairs. How many are there? Example: two in all",
            "State, as a word plus 'in all', the size of the list.",
        ),
        reason="The band brings {output}.",
        make=_maker(
            PLAYERS,
            (
                "The band brought {things}.",
                "On the stage {person} saw {things}.",
                "{person} can play {things}, the critics wrote.",
            ),
        ),
        entities=PLAYERS,
        labels=LABELS,
    ),
    TaskSpec(
        name="hospital_department_counting",
        domain="Medicine",
        wordings=(
            "You are given the wards of a hospital, each with its department. Count the departments and name their number at "
            "the end, as a word with in all. Write only that.",
            "A hospital's sign lists departments. The porter wants to know how many there are: number word, in all.",
            "Number of the departments on the hospital sign? (word + in all)",
        ),
        reason="The sign lists {output}.",
        make=_maker(
            WARDS,
            (
                "Sign by the stairs: {things}.",
                "{person} works for {things}.",
                "This floor has {things}.",
                "Lift stops for {things}.",
            ),
        ),
        entities=WARDS,
        labels=LABELS,
    ),
    TaskSpec(
        name="farm_diary_counting",
        domain="Agriculture",
        wordings=(
            "Read the entry of a farm diary and count the crops in it. Answer the number in letters and in all.",
            "The farm diary speaks of plants that are grown. Report how many, e.g. four in all",
            "One to five crops stand in the entry. Put their number, spelled out, before the words in all.",
        ),
        reason="The entry speaks of {output}.",
        make=_maker(
            FIELD_PLANTS,
            ("{person} sowed {things} by the barn.", "The frost took {things}.", "At the gate {person} sells {things}."),
        ),
        entities=FIELD_PLANTS,
        labels=LABELS,
    ),
)
