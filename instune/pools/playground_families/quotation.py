"""Copy the words that stand between marks in the text. The answer is `Words: <what stands between them>`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random

from instune.pools.playground_families.spec import HELD_OUT_PEOPLE, PEOPLE, Case, Maker, TaskSpec, fill

FAMILY = "Quotation"


def _maker(frames: Sequence[str], slots: Mapping[str, Sequence[str]]) -> Maker:
    """A frame with its slots filled; the answer is the value of `words`, which the frame puts between marks."""

    def make(rng: Random, index: int) -> Case:
        text, values = fill(frames[index % len(frames)], slots, rng)
        return Case(text, f"Words: {values['words']}")

    return make


INSCRIPTIONS = (
    "we crossed at dawn", "bread for all", "the sea gave", "never silent", "mind before might", "he planted this avenue",
    "ring and be heard", "to those who dug the tunnel", "peace came late", "built in one summer", "they sang here",
)  # fmt: skip
MONUMENTS = ("the obelisk", "the fountain", "the bronze plate", "the archway", "the well", "the bell tower")
FILM_LINES = (
    "hand me the map", "you were never my brother", "count to nine", "nobody leaves this train", "I sold the piano",
    "this is not my hat", "wait for the second whistle", "burn the letter", "drive slower", "it was raining that night",
)  # fmt: skip
SHOP_SIGNS = (
    "back in ten minutes", "no bare feet", "last pair", "please ring twice", "cash only", "two for one", "mind the step",
    "closing down", "ask for a larger size", "do not lean on the glass", "fresh every hour",
)  # fmt: skip
SHOPS = ("the bakery", "the shoe shop", "the butcher", "the florist", "the bookshop", "the optician")
NOTES = (
    "feed the cat", "soup is on the stove", "do not wake the baby", "your turn to shop", "call grandma", "take the blue key",
    "homework first", "dentist at four", "we are next door", "leave some cake",
)  # fmt: skip
SPOTS = ("the fridge", "the kitchen table", "the hall mirror", "a pillow", "the lunch box")
TANK_SIGNS = (
    "do not tap", "rays like it dark", "eels are shy", "hands off the glass", "feeding at three", "no flash photography",
    "octopus asleep", "count the seahorses", "sharks lose teeth weekly", "touch with wet fingers only",
)  # fmt: skip
BASINS = ("the coral basin", "the kelp hall", "the eel grotto", "the penguin pool", "the touch pond")
DOME_NOTES = (
    "fog after midnight", "mirror cleaned", "second comet confirmed", "shutter stuck again", "use the red lamp",
    "guests until eleven", "plates are numbered", "Jupiter too low", "cables swapped", "clock runs fast",
)  # fmt: skip
DOMES = ("the north dome", "the control desk", "the filter drawer", "the eyepiece case", "the dome ladder")
PANELS = (
    "found by a shepherd", "gift of a widow", "older than writing", "please open the drawers", "copy of a lost vase",
    "lift the lid", "worn at weddings", "carved with a shell", "repaired three times", "smell the spices",
)  # fmt: skip
GALLERIES = ("the coin room", "the whale hall", "the textile wing", "the upper gallery", "the costume court")
WHISPERS = (
    "say it louder", "wrong door", "skip the third verse", "kneel now", "exit left", "drop the veil", "look at the balcony",
    "start the storm", "mind the trapdoor", "kiss her hand",
)  # fmt: skip
ACTORS = ("the tenor", "the jester", "the second soldier", "the nurse", "the old count")

TASKS = (
    TaskSpec(
        name="monument_inscription_words",
        domain="Tourism",
        wordings=(
            "Travellers describe monuments and what is written on them. Repeat the inscription, which stands in quotation marks, "
            "after the label Words:",
            "What is carved there? Copy the part between the marks and put Words: in front.",
            "Give the inscription alone as Words: inscription.",
        ),
        reason="Between the marks one reads what the answer holds: {output}",
        make=_maker(
            (
                'On {spot} we read "{words}" and {person} took a picture.',
                '"{words}" is what {spot} says, and {person} did not understand it.',
                'Under the moss of {spot} {person} found the line "{words}".',
                '{person} translated the "{words}" of {spot} for us.',
            ),
            {"words": INSCRIPTIONS, "spot": MONUMENTS, "person": PEOPLE},
        ),
        entities=INSCRIPTIONS,
    ),
    TaskSpec(
        name="film_scene_line",
        domain="Film",
        wordings=(
            "A scene of a film is told. Return the line that is spoken in it, word for word, like this: Words: ...",
            "Only the dialogue matters. Write Words: and then whatever the character says.",
            "Take the spoken line out of the description of the scene (begin with Words:).",
            "Quote the character, starting your reply with Words:",
        ),
        reason="The character says it in this scene: {output}",
        make=_maker(
            (
                "{person} turns round and says: '{words}'.",
                "'{words}', whispers {person} in the dark.",
                "Close-up of {person}, who murmurs '{words}' and leaves.",
                "The lamp goes out. '{words}' is all that {person} answers.",
            ),
            {"words": FILM_LINES, "person": PEOPLE},
        ),
        entities=FILM_LINES,
    ),
    TaskSpec(
        name="shop_window_sign",
        domain="Retail",
        wordings=(
            "Which text does the sign in the shop show? The asterisks enclose it. Answer with Words: and that text, without "
            "the asterisks.",
            "Report the sign, not the shop: Words: sign text.",
            "Read out the starred words and introduce them by Words:",
        ),
        reason="The sign in the window shows it: {output}",
        make=_maker(
            (
                "In the window of {shop} hangs a sign, *{words}*, painted by {person}.",
                "*{words}* has been on the door of {shop} since {person} took over.",
                "{person} asked at {shop} what *{words}* was meant to say.",
                "At {shop} one reads *{words}* these days.",
            ),
            {"words": SHOP_SIGNS, "shop": SHOPS, "person": PEOPLE},
        ),
        entities=SHOP_SIGNS,
    ),
    TaskSpec(
        name="family_note_text",
        domain="Family",
        wordings=(
            "People leave notes at home. Write what the note says, with Words: in front, and nothing about where it was found.",
            "Copy the content of the note (it is in brackets) behind Words:",
            "Note in, Words: note out.",
        ),
        reason="The note in brackets reads as in the answer: {output}",
        make=_maker(
            (
                "A note from {person} is stuck to {spot} [{words}].",
                "[{words}] stands on the paper that {person} left on {spot}.",
                "{person} found a message [{words}] on {spot} this morning.",
                "Nobody saw the slip on {spot} [{words}] until {person} came home.",
            ),
            {"words": NOTES, "spot": SPOTS, "person": PEOPLE},
        ),
        entities=NOTES,
    ),
    TaskSpec(
        name="aquarium_sign_words",
        domain="Aquariums",
        wordings=(
            "Rewrite the sentence about an aquarium tank as Words: sign, where sign is what the sign at the tank says.",
            "A visitor of the aquarium mentions a sign beside the fish. Copy the sign after Words:",
            "Sign of the fish tank, please (Words: sign).",
        ),
        reason="The sign beside the tank says it: {output}",
        make=_maker(
            (
                'Beside {spot} hangs the sign "{words}", as {person} noticed.',
                '{person} laughed about "{words}" in front of {spot}.',
                'The sign "{words}" at {spot} is new, says {person}.',
                '"{words}" was all that {person} could read at {spot}.',
            ),
            {"words": TANK_SIGNS, "spot": BASINS, "person": HELD_OUT_PEOPLE},
        ),
        entities=(*TANK_SIGNS, *BASINS, *HELD_OUT_PEOPLE),
        held_out=True,
    ),
    TaskSpec(
        name="observatory_note_words",
        domain="Astronomy",
        wordings=(
            "Rewrite what was noted at an observatory as: Words: MESSAGE.",
            "Astronomers keep notes for each other at night; a visitor wants the message of the sentence (Words: ...).",
            "Say the message of the observatory in the pattern Words: message",
        ),
        reason="It is the message that was left: {output}",
        make=_maker(
            (
                "{person} left a message at {spot}: '{words}'.",
                "'{words}' was pinned to {spot} by {person}.",
                "At {spot} {person} wrote '{words}' for the next shift.",
                "For days '{words}' stood on {spot}, in the hand of {person}.",
            ),
            {"words": DOME_NOTES, "spot": DOMES, "person": HELD_OUT_PEOPLE},
        ),
        entities=(*DOME_NOTES, *DOMES, *HELD_OUT_PEOPLE),
        held_out=True,
    ),
    TaskSpec(
        name="museum_panel_words",
        domain="Museums",
        wordings=(
            "Visitors of a museum tell which panel they have read. Read what the visitor tells and decide which text is the "
            "panel's: Words: text.",
            "An entry about a museum panel has come in. Mark its text, in the form Words: X, X being the text of the panel.",
            "Return Words: and the panel's text for the museum visitor.",
        ),
        reason="The panel has this text: {output}",
        make=_maker(
            (
                "In {spot} the panel *{words}* made {person} stop.",
                "{person} photographed *{words}* in {spot}.",
                "*{words}*, said a panel in {spot}, and {person} did.",
                "Somebody had printed *{words}* on a panel of {spot}, {person} tells.",
            ),
            {"words": PANELS, "spot": GALLERIES, "person": HELD_OUT_PEOPLE},
        ),
        entities=(*PANELS, *GALLERIES, *HELD_OUT_PEOPLE),
        held_out=True,
    ),
    TaskSpec(
        name="theatre_prompter_words",
        domain="Theatre",
        wordings=(
            "In a theatre the prompter whispers to the stage. Rewrite the whisper of the sentence as Words: whisper.",
            "Repeat the prompter's whisper with Words: in front of it.",
            "What was whispered? Reply in the form Words: ...",
        ),
        reason="The prompter whispers it: {output}",
        make=_maker(
            (
                "{person} in the prompt box hissed [{words}] at {actor}.",
                "[{words}] came from below, and {actor} winked at {person}.",
                "When {actor} froze, {person} whispered [{words}].",
                "{actor} did not hear [{words}] although {person} said it twice.",
            ),
            {"words": WHISPERS, "actor": ACTORS, "person": HELD_OUT_PEOPLE},
        ),
        entities=(*WHISPERS, *ACTORS, *HELD_OUT_PEOPLE),
        held_out=True,
    ),
)
