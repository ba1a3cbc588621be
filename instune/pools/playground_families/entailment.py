"""Does the second sentence follow from the first: yes, no, or maybe? Long instructions, one-word answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random

from instune.pools.playground_families.spec import PEOPLE, Case, Maker, TaskSpec

FAMILY = "Textual Entailment"
LABELS = ("yes", "no", "maybe")


def _maker(premise: str, second: Mapping[str, Sequence[str]], things: Sequence[str], first: Sequence[str]) -> Maker:
    """A premise with a quality out of `first`; `other` is another one, which the premise rules out."""

    def make(rng: Random, index: int) -> Case:
        label = LABELS[index % len(LABELS)]
        quality, other = rng.sample(first, 2)
        values = {"person": rng.choice(PEOPLE), "thing": rng.choice(things), "quality": quality, "other": other}
        hypothesis = rng.choice(second[label])
        return Case(f"Text: {premise.format(**values)}\nClaim: {hypothesis.format(**values)}", label)

    return make


CLOTHES = ("coat", "scarf", "hat", "jacket", "pullover", "shirt")
CLOTH_COLOURS = ("red", "blue", "green", "grey", "white", "yellow")
COUNTRIES = ("Spain", "Norway", "Egypt", "Chile", "Japan", "Greece")
VEHICLES = ("train", "bus", "ship", "plane", "car")
LESSONS = ("maths", "history", "music", "biology", "drawing", "chemistry")
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday")
PETS = ("parrot", "hamster", "rabbit", "kitten", "tortoise", "puppy")
AGES = ("two", "three", "five", "six", "seven", "nine")

TASKS = (
    TaskSpec(
        name="clothes_claim_check",
        domain="Clothing",
        wordings=(
            "You will be shown a text about somebody's clothes and a claim about the same person. Judge the claim by the text "
            "alone. If everybody who believes the text must believe the claim as well, the answer is yes. If nobody can believe "
            "both of them, because they contradict each other, for example in a colour, the answer is no. In all other cases "
            "the text leaves the claim open: it may be true or false, and we cannot tell without asking further; then the "
            "answer is maybe. Do not use what you know about the world, about fashion or about prices. A claim that is likely "
            "is still open as long as the text does not settle it. Answer with a single word.",
            "Does the claim about the clothes follow from the text? yes: it must be true. no: it cannot be true. maybe: the "
            "text does not say.",
            "Compare claim and text. Depending on whether the text proves it, excludes it or leaves it open, write yes, no or "
            "maybe.",
        ),
        reason="Judged by the text alone the claim gets {output}.",
        make=_maker(
            "{person} bought a {quality} {thing} in the sale.",
            {
                "yes": (
                    "{person} bought a {thing}.",
                    "The {thing} of {person} is {quality}.",
                    "{person} bought something in the sale.",
                ),
                "no": ("The {thing} that {person} bought is {other}.", "{person} bought nothing in the sale."),
                "maybe": ("{person} gave the {thing} away.", "{person} also owns a {other} {thing}.", "The {thing} was cheap."),
            },
            CLOTHES,
            CLOTH_COLOURS,
        ),
        entities=CLOTHES,
        labels=LABELS,
    ),
    TaskSpec(
        name="journey_inference",
        domain="Travel",
        wordings=(
            "A traveller's journey is described in one sentence. Another sentence makes a claim on it. Your task is to find out "
            "how the two are related. There are three relations. In the first, the claim is contained in the description, so "
            "that it holds whenever the description holds; mark this by yes. In the second, description and claim exclude one "
            "another: they cannot hold at the same time; mark this by no. In the third, the claim adds something which the "
            "description neither contains nor excludes, such as a reason, a feeling or what happened later; mark this by maybe. "
            "Take the description as true even if the journey seems strange to you. Give the mark and nothing more, with no "
            "capital letter.",
            "Read about the journey, then say if the claim is certain (yes), impossible (no) or undecided (maybe).",
            "Yes, no or maybe: is the traveller's claim supported by the description of the journey?",
        ),
        reason="Between journey and claim the relation is {output}.",
        make=_maker(
            "{person} went to {quality} by {thing} last spring.",
            {
                "yes": (
                    "{person} took a {thing}.",
                    "{person} was in {quality} last spring.",
                    "{person} made a journey by {thing}.",
                ),
                "no": ("{person} went to {other} and not to {quality}.", "{person} stayed at home all last spring."),
                "maybe": ("{person} liked {quality}.", "{person} has friends in {quality}.", "The {thing} was late."),
            },
            VEHICLES,
            COUNTRIES,
        ),
        entities=COUNTRIES,
        labels=LABELS,
    ),
    TaskSpec(
        name="timetable_entailment",
        domain="Schools",
        wordings=(
            "This is a task in logical reading. It has a text, which informs about lessons at a school, and a claim. Suppose "
            "that the text is true, and think about what this means for the claim. Write yes when the claim is then true as "
            "well. Write no when the claim is then false, since the text says something that does not agree with it, for "
            "instance another day of the week. Write maybe when you would have to ask the teacher or the pupil before you could "
            "tell, since the text is silent on the point. It is not important whether the claim sounds sensible. Do not explain "
            "your decision, do not repeat the text, and choose exactly one of the three words.",
            "Decide by the text whether the claim on lessons is true (yes), false (no) or cannot be known (maybe).",
            "True, false or unknown according to the text? Say it by the words yes, no and maybe in this order.",
        ),
        reason="Supposing the text is true, the claim is rated {output}.",
        make=_maker(
            "{person} teaches {thing} every {quality} and on no other day.",
            {
                "yes": (
                    "{person} teaches {thing}.",
                    "There is {thing} with {person} on {quality}.",
                    "{person} works on {quality}.",
                ),
                "no": ("{person} teaches {thing} on {other}.", "{person} never teaches {thing}."),
                "maybe": ("The pupils like {thing}.", "{person} also teaches sewing.", "The {thing} room is on the top floor."),
            },
            LESSONS,
            WEEKDAYS,
        ),
        entities=LESSONS,
        labels=LABELS,
    ),
    TaskSpec(
        name="pet_statement_support",
        domain="Pets",
        wordings=(
            "People report on their pets, and somebody else claims something about these pets. Check each claim against its "
            "report, like a careful clerk who knows nothing but the paper on the table. The clerk says yes to a claim if the "
            "paper states it, in the same or in other words, or if it follows from what the paper states. The clerk says no to "
            "a claim if the paper states the opposite, or something that rules it out. The clerk says maybe if the paper is no "
            "help in the matter, which happens often, because people claim all sorts of things on character, food and price. "
            "Play the clerk. Reply in one word, in small letters, without a full stop.",
            "Is the claim backed by the report on the pet (yes), refuted by it (no), or neither (maybe)?",
            "Verify a claim on somebody's pet; allowed verdicts are yes, no, maybe.",
        ),
        reason="From the report alone the clerk says {output}.",
        make=_maker(
            "The {thing} of {person} is {quality} years old today.",
            {
                "yes": (
                    "{person} has a {thing}.",
                    "It is the birthday of the {thing}.",
                    "The age of the {thing} is {quality} years.",
                ),
                "no": ("{person} has no pet.", "The {thing} of {person} is {other} years old today."),
                "maybe": (
                    "The {thing} likes children.",
                    "{person} bought the {thing} from a neighbour.",
                    "The {thing} is asleep.",
                ),
            },
            PETS,
            AGES,
        ),
        entities=PETS,
        labels=LABELS,
    ),
)
