"""Say a record as one sentence of a fixed pattern that the instruction shows. Short instruction, long output."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random

from instune.pools.playground_families.spec import PEOPLE, Case, Maker, TaskSpec

FAMILY = "Data to Text"


def _maker(fields: Mapping[str, Sequence[str]], sentence: str, *, pair: str, joiner: str) -> Maker:
    """All fields in a drawn order; the sentence has them in its own."""

    def make(rng: Random, index: int) -> Case:
        values = {key: rng.choice(options) for key, options in fields.items()}
        order = rng.sample(list(fields), len(fields))
        return Case(joiner.join(pair.format(key=key, value=values[key]) for key in order), sentence.format(**values))

    return make


POND = {
    "Species": ("carp", "trout", "catfish", "eel", "perch", "pike", "sturgeon", "goldfish"),
    "Tank": ("tank one", "tank two", "tank three", "tank four"),
    "Length": ("20 cm", "35 cm", "50 cm", "62 cm", "81 cm"),
}
NIGHTS = {
    "Object": ("Mars", "Jupiter", "Saturn", "Venus", "Mercury", "Neptune", "Uranus"),
    "Hour": ("nine", "ten", "eleven", "midnight", "two", "four"),
    "Watcher": PEOPLE,
}
NOVELS = {
    "Title": ("Harvest", "Two Keys", "The Ferry", "Ash and Snow", "Long Division", "The Guest"),
    "Author": ("Kowalski", "Moreau", "Hughes", "Rossi", "Andersen", "Castro"),
    "Year": ("1931", "1946", "1959", "1978", "1995", "2008"),
}
STAFF = {
    "Name": PEOPLE,
    "Post": ("driver", "clerk", "guard", "cook", "porter", "gardener"),
    "Town": ("Bremen", "Lucerne", "Parma", "Nantes", "Brno", "Odense"),
}


def _entities(fields: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    return tuple(value for values in fields.values() if values is not PEOPLE for value in values if not value[0].isdigit())


TASKS = (
    TaskSpec(
        name="aquarium_card_sentence",
        domain="Aquariums",
        wordings=(
            "Rewrite the aquarium card of a fish as a sentence: In TANK there is a SPECIES with a length of LENGTH.",
            "What the card says about the fish goes on the aquarium's board: In ... there is a ... with a length of ...",
            "Sentence for the fish card, please (In tank there is a species with a length of so much).",
        ),
        reason="The board's sentence for the card is: {output}",
        make=_maker(POND, "In {Tank} there is a {Species} with a length of {Length}.", pair="{key}: {value}", joiner=" / "),
        entities=_entities(POND),
    ),
    TaskSpec(
        name="observatory_log_sentence",
        domain="Astronomy",
        wordings=(
            "Rewrite the log entry of an observatory as: At HOUR o'clock WATCHER saw OBJECT through the telescope.",
            "Astronomers keep a night log; a visitor wants it as a sentence (At ... o'clock ... saw ... through the telescope.).",
            "Say the entry in the pattern At hour o'clock watcher saw object through the telescope.",
        ),
        reason="A visitor would read: {output}",
        make=_maker(
            NIGHTS, "At {Hour} o'clock {Watcher} saw {Object} through the telescope.", pair="{key} was {value}", joiner="; "
        ),
        entities=_entities(NIGHTS),
    ),
    TaskSpec(
        name="novel_facts_sentence",
        domain="Books",
        wordings=(
            "Turn the facts into: The novel TITLE by AUTHOR was first printed in YEAR.",
            "One sentence for the back cover, built as The novel ... by ... was first printed in ...",
            "Write the sentence 'The novel title by author was first printed in year.' with the facts in it.",
        ),
        reason="All three facts are in the sentence: {output}",
        make=_maker(NOVELS, "The novel {Title} by {Author} was first printed in {Year}.", pair="{key} - {value}", joiner="\n"),
        entities=_entities(NOVELS),
    ),
    TaskSpec(
        name="staff_record_introduction",
        domain="Office",
        wordings=(
            "Introduce the new colleague: Please welcome NAME, who comes from TOWN and is our new POST.",
            "Write the welcome, Please welcome ..., who comes from ... and is our new ..., from the staff record.",
            "Staff record to welcome line. Pattern: Please welcome name, who comes from town and is our new post.",
        ),
        reason="This line welcomes the colleague: {output}",
        make=_maker(
            STAFF, "Please welcome {Name}, who comes from {Town} and is our new {Post}.", pair="{key}={value}", joiner=" | "
        ),
        entities=_entities(STAFF),
    ),
)
