"""Write the question that a marked part of a sentence answers. Short instruction, long output."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random

from instune.pools.playground_families.spec import PEOPLE, Case, Maker, TaskSpec

FAMILY = "Question Generation"


def _maker(pairs: Sequence[tuple[str, str]], slots: Mapping[str, Sequence[str]]) -> Maker:
    """Pairs of a sentence and its question, filled with the same values."""

    def make(rng: Random, index: int) -> Case:
        sentence, question = pairs[index % len(pairs)]
        values = {name: rng.choice(options) for name, options in slots.items()}
        return Case(sentence.format(**values), question.format(**values))

    return make


WOODS = ("pine", "copper", "leather", "steel", "cotton", "cork", "plaster", "aluminium")
OBJECTS = ("bench", "belt", "doll", "bookend", "drum", "toy boat", "candlestick")
MEALS = ("pancakes", "omelettes", "noodles", "dumplings", "waffles", "meatballs")
VILLAGES = ("Ashford", "Elmstead", "Barnham", "Kirby", "Thornton", "Selby")
PUPILS = ("the project", "the poster", "the essay", "the model", "the experiment", "the speech")
TIMES = ("at noon", "on Sunday", "in March", "before dinner", "last winter", "at dawn")

TASKS = (
    TaskSpec(
        name="workshop_material_question",
        domain="Crafts",
        wordings=(
            "You get a sentence from a craft workshop. Your answer is a question about the part of it in asterisks.",
            "Ask for what stands between the asterisks; the sentence is about a piece made in a workshop.",
            "Write a question whose reply would be the words in asterisks.",
        ),
        reason="What is marked replies to this: {output}",
        make=_maker(
            (
                (
                    "{person} carved the {thing} out of *{item}* while the others had lunch.",
                    "What did {person} carve the {thing} out of while the others had lunch?",
                ),
                (
                    "*{person}* mended the {thing} of {item} for the old shepherd.",
                    "Who mended the {thing} of {item} for the old shepherd?",
                ),
                (
                    "{person} showed the *{thing}* of {item} to a friend from abroad.",
                    "What of {item} did {person} show to a friend from abroad?",
                ),
            ),
            {"person": PEOPLE, "thing": OBJECTS, "item": WOODS},
        ),
        entities=(*WOODS, *OBJECTS),
    ),
    TaskSpec(
        name="kitchen_wh_question",
        domain="Cooking",
        wordings=(
            "Turn the statement into a question for the capitalised part.",
            "Interview the cook: which question has the part in capitals as its reply?",
            "Put a who-, what- or when-question to the part in capital letters.",
        ),
        reason="The part in capitals is what one asks for here: {output}",
        make=_maker(
            (
                (
                    "{person} makes MANY {meal} for the guests at the long table.",
                    "How many {meal} does {person} make for the guests at the long table?",
                ),
                (
                    "SOMEBODY CALLED {person} burnt the {meal} for the guests {time}.",
                    "Who burnt the {meal} for the guests {time}?",
                ),
                (
                    "{person} cooked {meal} for the children IN THE KITCHEN {time}.",
                    "Where did {person} cook {meal} for the children {time}?",
                ),
            ),
            {"person": PEOPLE, "meal": MEALS, "time": TIMES},
        ),
        entities=MEALS,
    ),
    TaskSpec(
        name="village_where_question",
        domain="Geography",
        wordings=(
            "Ask where.",
            "Form a where-question from the statement.",
            "The statement tells a place. Write the question that a stranger would ask to hear it.",
        ),
        reason="A stranger who wants to hear the place asks: {output}",
        make=_maker(
            (
                (
                    "{person} has lived in {village} with an aunt since the war.",
                    "Where has {person} lived with an aunt since the war?",
                ),
                (
                    "{person} works as a teacher of small children in {village}.",
                    "Where does {person} work as a teacher of small children?",
                ),
                (
                    "{person} was born in {village} as the youngest of five {time}.",
                    "Where was {person} born as the youngest of five {time}?",
                ),
            ),
            {"person": PEOPLE, "village": VILLAGES, "time": TIMES},
        ),
        entities=VILLAGES,
    ),
    TaskSpec(
        name="classroom_when_question",
        domain="Schools",
        wordings=(
            "Make a quiz question about the time.",
            "For a quiz, ask when it happened.",
            "The teacher states what a pupil did and when. Rephrase it so that the pupils must guess the time.",
        ),
        reason="The time is what has to be guessed: {output}",
        make=_maker(
            (
                ("{person} finished {work} with a friend {time}.", "When did {person} finish {work} with a friend?"),
                ("{person} was praised for {work} {time}.", "When was {person} praised for {work}?"),
                ("{person} showed {work} to the whole class {time}.", "When did {person} show {work} to the whole class?"),
            ),
            {"person": PEOPLE, "work": PUPILS, "time": TIMES},
        ),
        entities=PUPILS,
    ),
)
