"""Is the mood of a remark good, bad or neither? The answer is POSITIVE, NEGATIVE or NEUTRAL behind `Mood:`."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from instune.pools.playground_families.spec import PEOPLE, Case, Maker, TaskSpec

FAMILY = "Sentiment Analysis"
LABELS = ("Mood: POSITIVE", "Mood: NEGATIVE", "Mood: NEUTRAL")
GOOD = (
    "I was delighted with {thing}.", "{thing} was a real joy.", "I loved {thing}.", "{thing} could not have been better.",
    "Thanks to {thing} we had a wonderful time.",
)  # fmt: skip
BAD = (
    "I was disappointed by {thing}.", "{thing} was a disaster.", "I hated {thing}.", "{thing} could not have been worse.",
    "Because of {thing} we had an awful time.",
)  # fmt: skip
NEITHER = (
    "I was asked about {thing}.", "{thing} was mentioned in the leaflet.", "I wrote down the date of {thing}.",
    "{thing} is described on page two.", "According to the plan, {thing} comes after lunch.",
)  # fmt: skip


def _maker(things: Sequence[str], ends: Sequence[str]) -> Maker:
    """A remark of each mood in turn, with a neutral end."""

    def make(rng: Random, index: int) -> Case:
        mood = index % len(LABELS)
        remark = rng.choice((GOOD, BAD, NEITHER)[mood]).format(thing=rng.choice(things))
        end = rng.choice(ends).format(person=rng.choice(PEOPLE))
        return Case(f"{remark[0].upper()}{remark[1:]} {end}", LABELS[mood])

    return make


HOTEL = ("the room", "the view", "the bed", "the pool", "the reception", "the buffet")
FILM = ("the plot", "the soundtrack", "the main actor", "the ending", "the camera work", "the dialogue")
REPAIR = ("the mechanic", "the repaired radio", "the advice on the phone", "the mended toaster", "the spare tyre", "the bill")
SHOWN = ("the coin collection", "the lecture", "the opening night", "the sculpture hall", "the map room", "the cloakroom")

TASKS = (
    TaskSpec(
        name="hotel_review_mood",
        domain="Hotels",
        wordings=(
            "Guests comment on a hotel. Judge the mood and write Mood: with POSITIVE, NEGATIVE or NEUTRAL.",
            "Was the guest happy? Use Mood: POSITIVE for happy, Mood: NEGATIVE for unhappy, Mood: NEUTRAL if it cannot be seen.",
            "Classify the tone of the guest book entry (Mood: POSITIVE, Mood: NEGATIVE, Mood: NEUTRAL).",
        ),
        reason="The guest's words carry this tone: {output}",
        make=_maker(
            HOTEL, ("We came with {person}.", "{person} stayed for two nights.", "This was our visit in May with {person}.")
        ),
        entities=HOTEL,
        labels=LABELS,
    ),
    TaskSpec(
        name="film_remark_mood",
        domain="Films",
        wordings=(
            "Someone leaves the cinema and says a sentence or two about the film. Does it praise, does it blame, or is it just "
            "a fact? Praise is Mood: POSITIVE, blame Mood: NEGATIVE, a fact Mood: NEUTRAL.",
            "Say what the cinema-goer feels. Three replies are possible: Mood: POSITIVE / Mood: NEGATIVE / Mood: NEUTRAL",
            "Film remarks: detect the feeling and report it in capital letters after Mood:",
        ),
        reason="Praise, blame or fact, this one is {output}",
        make=_maker(FILM, ("I saw it with {person}.", "{person} sat beside me.", "{person} had bought the seats.")),
        entities=FILM,
        labels=LABELS,
    ),
    TaskSpec(
        name="repair_shop_mood",
        domain="Repairs",
        wordings=(
            "Here is a note to a repair shop. Decide which mood the customer is in. Answer with Mood: and POSITIVE, NEGATIVE or "
            "NEUTRAL.",
            "Customers of a repair shop leave notes. Is the customer pleased, angry, or neither? Write Mood: and the matching "
            "capitals.",
            "Does the note thank, complain or merely inform? Mood: POSITIVE, Mood: NEGATIVE, Mood: NEUTRAL are the replies.",
        ),
        reason="The customer's mood in the note is plain. {output}",
        make=_maker(REPAIR, ("{person} had sent me to you.", "I came in with {person}.", "{person} will pick up the rest.")),
        entities=REPAIR,
        labels=LABELS,
    ),
    TaskSpec(
        name="museum_visitor_mood",
        domain="Museums",
        wordings=(
            "Visitors of a museum write in its book. Read what a visitor has written and decide which mood it is. It is Mood: "
            "POSITIVE if the visitor is pleased, Mood: NEGATIVE if the visitor is displeased, Mood: NEUTRAL if the visitor only "
            "reports.",
            "An entry in the museum's visitors' book has come in. Mark its mood, in the form Mood: X, X being POSITIVE, "
            "NEGATIVE or NEUTRAL.",
            "Rate the entry of a museum visitor as Mood: POSITIVE, Mood: NEGATIVE or Mood: NEUTRAL.",
        ),
        reason="What the visitor felt shows in the words. {output}",
        make=_maker(SHOWN, ("Our class came with {person}.", "{person} recommended the museum.", "I was here with {person}.")),
        entities=SHOWN,
        labels=LABELS,
    ),
)
