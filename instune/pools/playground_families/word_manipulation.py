"""Work on the words of a line as mere words: take one, turn the order round. Answers are in capital letters."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from random import Random

from instune.pools.playground_families.spec import PEOPLE, Case, Maker, TaskSpec, fill, sentence_case

FAMILY = "Word Manipulation"


def _maker(frames: Sequence[str], slots: Mapping[str, Sequence[str]], change: Callable[[list[str]], list[str]]) -> Maker:
    """A frame without inner punctuation; `change` works on its list of words."""

    def make(rng: Random, index: int) -> Case:
        text, _ = fill(frames[index % len(frames)], slots, rng)
        return Case(f"{sentence_case(text)}.", " ".join(change(text.split())).upper())

    return make


ROLES = ("the king", "the ghost", "the butler", "the witch", "the duke", "the maid")
PLACES = ("Verona", "the forest", "the attic", "the ballroom", "the throne room")
TOOLS = ("a rake", "a spade", "a hose", "a wheelbarrow", "a trowel", "shears")
BEDS = ("roses", "tulips", "dahlias", "lettuce", "radishes", "daisies")
GOALS = ("a goal", "a penalty", "the final", "the derby", "a corner")
CLUBS = ("Rovers", "United", "Wanderers", "Athletic", "Harriers")

TASKS = (
    TaskSpec(
        name="theatre_line_reversal",
        domain="Theatre",
        wordings=(
            "Rewrite the theatre sentence with its words in reverse order, in capitals.",
            "Last word first, first word last: turn the stage line round. Capital letters, no full stop.",
            "Let the sentence of the play run backwards, word by word and in capital letters.",
        ),
        reason="Run backwards, the line is {output}.",
        make=_maker(
            ("{role} waits for {person} in {place}", "{person} has seen {role} in {place}", "in {place} {person} fears {role}"),
            {"role": ROLES, "person": PEOPLE, "place": PLACES},
            lambda words: words[::-1],
        ),
        entities=ROLES,
    ),
    TaskSpec(
        name="garden_last_word",
        domain="Gardening",
        wordings=(
            "Shout the last word of the gardener's sentence.",
            "Which word does the sentence end with? Write it in capital letters, without the full stop.",
            "Copy only the final word, capitalised throughout.",
        ),
        reason="The sentence ends with {output}.",
        make=_maker(
            (
                "{person} works with {tool} among {bed}",
                "{person} needs {tool} for the {bed}",
                "for {bed} {person} fetches {tool}",
            ),
            {"person": PEOPLE, "tool": TOOLS, "bed": BEDS},
            lambda words: words[-1:],
        ),
        entities=(*TOOLS, *BEDS),
    ),
    TaskSpec(
        name="football_first_two_words",
        domain="Sports",
        wordings=(
            "Keep the first two words of the football ticker, put into capital letters, and drop what comes after.",
            "Shorten the ticker to its two opening words. ALL CAPITALS.",
            "The display has room for two words: those that the line starts with, in upper case.",
        ),
        reason="The line opens with {output}.",
        make=_maker(
            (
                "{club} won {goal} thanks to {person}",
                "{person} missed {goal} for {club}",
                "again {club} lost {goal} without {person}",
            ),
            {"club": CLUBS, "goal": GOALS, "person": PEOPLE},
            lambda words: words[:2],
        ),
        entities=(*CLUBS, *GOALS),
    ),
    TaskSpec(
        name="telegram_swap_ends",
        domain="Post",
        wordings=(
            "First and last word of the telegram change places; the others stay. Telegrams are in capitals.",
            "Swap the two outer words, then print everything in upper case and without the full stop.",
            "Exchange the ends of the message. Use capital letters only.",
        ),
        reason="With its ends exchanged the telegram is {output}.",
        make=_maker(
            ("arriving {day} with {person} stop", "{person} sends {thing} on {day}", "expect {thing} from {person} {day}"),
            {
                "person": PEOPLE,
                "day": ("Monday", "Tuesday", "Wednesday", "Friday", "Sunday"),
                "thing": ("money", "medicine", "letters", "the keys"),
            },
            lambda words: [words[-1], *words[1:-1], words[0]],
        ),
        entities=(),
    ),
)
