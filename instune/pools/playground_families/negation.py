"""Say the opposite of a sentence by putting `not` behind its verb. Short instruction, long output."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random

from instune.pools.playground_families.spec import PEOPLE, Case, Maker, TaskSpec, sentence_case

FAMILY = "Sentence Negation"


def _maker(frames: Sequence[str], slots: Mapping[str, Sequence[str]]) -> Maker:
    """Frames have `{not}` behind the verb that is negated."""

    def make(rng: Random, index: int) -> Case:
        values = {name: rng.choice(options) for name, options in slots.items()}
        frame = frames[index % len(frames)]
        plain, negated = (frame.format(**values, **{"not": word}) for word in ("", " not"))
        return Case(sentence_case(plain), sentence_case(negated))

    return make


FLIGHT = ("the runway", "the tail", "the cabin", "the left engine", "the tower", "the rudder")
DESKS = ("the printer", "the report", "the meeting room", "the invoice", "the lease", "the phone line")
LABS = ("the exam", "the gym", "the timetable", "the school trip", "the canteen", "the blackboard")
YARD = ("the pond", "the shed", "the greenhouse", "the compost", "the fence", "the well")

TASKS = (
    TaskSpec(
        name="cockpit_sentence_negation",
        domain="Aviation",
        wordings=(
            "Rewrite the pilot's sentence with a not.",
            "Passengers would not like this sentence from the cockpit to be true. Let them read its opposite, with not behind "
            "the verb.",
            "What would the pilot's sentence be if it were denied?",
        ),
        reason="Denied, the pilot's sentence is: {output}",
        make=_maker(
            (
                "Captain {person} is{not} sure that {thing} has been looked at.",
                "{thing} was{not} clear when {person} called the ground.",
                "We could{not} see {thing} at first, says {person}.",
            ),
            {"person": PEOPLE, "thing": FLIGHT},
        ),
        entities=FLIGHT,
    ),
    TaskSpec(
        name="office_memo_denial",
        domain="Office",
        wordings=(
            "Deny the memo.",
            "Write the memo so that it says the contrary; one added word is enough.",
            "Add not where it makes the office memo mean the opposite.",
        ),
        reason="The contrary of the memo is: {output}",
        make=_maker(
            (
                "{thing} will{not} be ready before {person} comes back.",
                "{person} has{not} paid for {thing} this month.",
                "{thing} is{not} meant for visitors, as {person} wrote.",
            ),
            {"person": PEOPLE, "thing": DESKS},
        ),
        entities=DESKS,
    ),
    TaskSpec(
        name="school_notice_opposite",
        domain="Schools",
        wordings=(
            "Contradict the notice.",
            "A pupil claims the opposite of the notice. Write the pupil's sentence with the word not.",
            "Notice board game: negate each line.",
        ),
        reason="The pupil says instead: {output}",
        make=_maker(
            (
                "{person} was{not} told about {thing} by the teachers.",
                "{thing} should{not} be changed for {person} alone.",
                "{thing} has{not} been talked over with {person} yet.",
            ),
            {"person": PEOPLE, "thing": LABS},
        ),
        entities=LABS,
    ),
    TaskSpec(
        name="garden_statement_negation",
        domain="Gardening",
        wordings=(
            "Negate the gardener's statement.",
            "The neighbour disagrees with the gardener. What does the neighbour say, with not?",
            "Insert not so that the statement about the garden becomes its negation.",
        ),
        reason="The neighbour's view is: {output}",
        make=_maker(
            (
                "{person} would{not} give away {thing} for money.",
                "{thing} is{not} as old as {person} believes.",
                "{person} had{not} cleaned {thing} before the summer.",
            ),
            {"person": PEOPLE, "thing": YARD},
        ),
        entities=YARD,
    ),
)
