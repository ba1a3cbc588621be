"""Find the entry that a list in the input gives for a key. The answer is the entry alone."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from instune.pools.playground_families.spec import HELD_OUT_PEOPLE, PEOPLE, Case, Maker, TaskSpec

FAMILY = "Code Lookup"


def _maker(keys: Sequence[str], entries: Sequence[str], *, pair: str, joiner: str, asks: Sequence[str]) -> Maker:
    """Three to five pairs in one list, then one of `asks` about the key of one of them."""

    def make(rng: Random, index: int) -> Case:
        count = rng.randint(3, 5)
        pairs = list(zip(rng.sample(keys, count), rng.sample(entries, count), strict=True))
        key, entry = pairs[index % count]
        listing = joiner.join(pair.format(key=one, entry=other) for one, other in pairs)
        return Case(f"{listing}{rng.choice(asks).format(key=key)}", entry)

    return make


SUBJECTS = (
    "poetry", "astronomy", "law", "gardening", "chess", "biography", "geology", "mythology", "photography", "economics",
    "grammar", "folk tales", "travel guides", "old maps", "sewing", "comics",
)  # fmt: skip
COLOURS = (
    "scarlet", "ivory", "teal", "mustard", "lavender", "charcoal", "salmon pink", "sky blue", "moss green", "chestnut", "plum",
    "sand", "turquoise", "rust red", "pale lemon",
)  # fmt: skip
CITIES = (
    "Lisbon", "Vienna", "Prague", "Antwerp", "Seville", "Krakow", "Zurich", "Turin", "Bergen", "Ghent", "Porto", "Lyon",
    "Munich", "Naples", "Leeds",
)  # fmt: skip
DEPARTMENTS = (
    "cardiology", "dermatology", "neurology", "oncology", "paediatrics", "radiology", "urology", "maternity", "orthopaedics",
    "intensive care", "eye surgery", "kidney care", "sleep medicine", "burns unit", "allergy testing",
)  # fmt: skip
SHIPS = (
    "Albatross", "Northern Star", "Sea Whistle", "Morning Tide", "Kittiwake", "Iron Duchess", "Grey Heron", "Blue Marlin",
    "Halcyon", "Swift Current", "Old Mariner", "Copper Queen", "Lady Brine", "Stormcock",
)  # fmt: skip
BANDS = (
    "orange", "silver", "violet", "magenta", "mauve", "beige", "indigo", "khaki", "crimson", "azure", "tartan", "dotted",
)  # fmt: skip
STAGES = (
    "river stage", "circus tent", "forest arena", "balcony", "terrace stage", "amphitheatre", "hayloft", "quarry", "rooftop",
    "meadow", "courtyard", "pavilion", "vault",
)  # fmt: skip
CODENAMES = (
    "Falcon", "Thunder", "Juniper", "Onyx", "Cobalt", "Maple", "Comet", "Condor", "Cinnamon", "Glacier", "Ember", "Walrus",
    "Pebble", "Tornado",
)  # fmt: skip

TASKS = (
    TaskSpec(
        name="library_shelf_subject",
        domain="Libraries",
        wordings=(
            "You see a shelf plan of a library, where every shelf number has a subject behind it. Answer with the subject that "
            "stands on the shelf in the last line. Copy it as it is written and add nothing.",
            "A reader asks what is kept on one particular shelf. Look at the plan and reply with that subject only.",
            "Shelf plan in, one subject out: report what the plan says for the requested shelf number.",
        ),
        reason="The plan puts {output} on the shelf that is asked for.",
        make=_maker(
            [f"{letter}{digit}" for letter in "ABCDEF" for digit in range(1, 10)],
            SUBJECTS,
            pair="{key}: {entry}",
            joiner="; ",
            asks=("\nShelf: {key}", "\nWanted shelf: {key}", "\nPlease look up shelf {key}"),
        ),
        entities=SUBJECTS,
    ),
    TaskSpec(
        name="paint_number_colour",
        domain="Painting",
        wordings=(
            "Tins of paint carry numbers. Translate the number at the end into its colour with the help of the chart.",
            "Use the colour chart to decode the paint number. Give the colour's name and no other words.",
            "Which colour belongs to the number on the tin? The chart is all you need; do not guess from the number.",
            "Decode one paint number per request, by the chart that comes with it.",
        ),
        reason="In the chart this number stands for {output}.",
        make=_maker(
            [str(number) for number in range(101, 200)],
            COLOURS,
            pair="{key} = {entry}",
            joiner=", ",
            asks=(". Tin number {key}.", ". The tin says {key}.", ". Number to decode: {key}"),
        ),
        entities=COLOURS,
    ),
    TaskSpec(
        name="locker_owner",
        domain="Schools",
        wordings=(
            "Somebody has left a locker open, and the caretaker would like to know whose it is. You have the caretaker's notes. "
            "Say the pupil's name, nothing more.",
            "Read the notes on who uses which locker and name the pupil that the open locker belongs to.",
            "Whose locker is it? Reply with a single first name taken from the notes.",
        ),
        reason="The notes give that locker to {output}.",
        make=_maker(
            [str(number) for number in range(11, 60)],
            PEOPLE,
            pair="{entry} uses locker {key}",
            joiner=". ",
            asks=(". Locker {key} stands open.", ". Open today: locker {key}.", ". Nobody has shut locker {key}."),
        ),
        entities=PEOPLE,
    ),
    TaskSpec(
        name="train_platform",
        domain="Travel",
        wordings=(
            "Passengers at a station want to know where their train leaves. The board in the input shows destinations and "
            "platforms. Tell the passenger the platform, in the way the board writes it.",
            "From the departure board, give the platform for the passenger's destination.",
            "A traveller names a destination; find it on the board and return what stands beside it.",
        ),
        reason="Beside that destination the board shows {output}.",
        make=_maker(
            CITIES,
            [f"platform {number}" for number in range(1, 25)],
            pair="{key} - {entry}",
            joiner=" / ",
            asks=("\nDestination: {key}", "\nThe passenger travels to {key}.", "\nGoing to {key}"),
        ),
        entities=CITIES,
    ),
    TaskSpec(
        name="hospital_ward_department",
        domain="Medicine",
        wordings=(
            "You are given the wards of a hospital, each with its code and its department. Name the department whose ward code "
            "is asked for at the end. Write only the department.",
            "The porter has a bed to bring to a ward code. Use the sign to tell which department that is.",
            "Given a hospital sign, resolve the ward code in the final line.",
        ),
        reason="The sign writes {output} beside this ward code.",
        make=_maker(
            [f"W{number}" for number in range(20, 80)],
            DEPARTMENTS,
            pair="{key} {entry}",
            joiner=" | ",
            asks=("\nWard code? {key}", "\nBed goes to {key}", "\nCode: {key}"),
        ),
        entities=DEPARTMENTS,
        held_out=True,
    ),
    TaskSpec(
        name="harbour_berth_ship",
        domain="Shipping",
        wordings=(
            "A harbour log lists the berths and the ships that lie there. Write the name of the ship at the berth in question.",
            "Which vessel is moored at the place the pilot mentions? Consult the log; the ship's name is the whole reply.",
            "Answer the harbour pilot from the log with one ship.",
        ),
        reason="According to the log, {output} lies at this berth.",
        make=_maker(
            [f"{side} {number}" for side in ("north", "south", "east") for number in range(1, 13)],
            SHIPS,
            pair="berth {key} holds {entry}",
            joiner=", ",
            asks=(". The pilot heads for berth {key}.", ". Query: berth {key}", ". Pilot to berth {key}!"),
        ),
        entities=SHIPS,
        held_out=True,
    ),
    TaskSpec(
        name="festival_wristband_stage",
        domain="Festivals",
        wordings=(
            "Every wristband colour opens one festival stage. Look at the list and reply with the stage for the wristband that "
            "the guest wears.",
            "Where may the guest go? The list of wristbands tells. Give the stage and nothing else.",
            "Find the guest's wristband in the list; the answer is the stage listed with it.",
        ),
        reason="The list gives {output} for this wristband.",
        make=_maker(
            BANDS,
            STAGES,
            pair="{key} band -> {entry}",
            joiner="; ",
            asks=("\nThe guest wears a {key} band.", "\nWristband: {key}", "\nAt the gate: {key} band"),
        ),
        entities=(*BANDS, *STAGES),
        held_out=True,
    ),
    TaskSpec(
        name="expedition_radio_codename",
        domain="Expeditions",
        wordings=(
            "The members of an expedition call each other by code names. Use the sheet to say which code name belongs to the "
            "person in the last line.",
            "Look up the person on the call sheet and return the code name exactly as printed.",
            "Call sheet and a person are given. Reply: that person's code name, no other word.",
        ),
        reason="On the sheet this person goes by {output}.",
        make=_maker(
            HELD_OUT_PEOPLE,
            CODENAMES,
            pair="{key} is {entry}",
            joiner=", ",
            asks=("\nCall {key}", "\nPerson: {key}", "\nWho is {key} on the radio?"),
        ),
        entities=(*HELD_OUT_PEOPLE, *CODENAMES),
        held_out=True,
    ),
)
