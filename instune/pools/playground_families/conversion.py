"""Turn a record into `key=value | key=value`, keys in lower case, in the order given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random

from instune.pools.playground_families.spec import PEOPLE, Case, Maker, TaskSpec

FAMILY = "Record Conversion"


def _maker(fields: Mapping[str, Sequence[str]], *, pair: str, joiner: str, head: str = "", tail: str = "") -> Maker:
    """Three fields out of `fields` in a drawn order."""

    def make(rng: Random, index: int) -> Case:
        keys = rng.sample(list(fields), 3)
        values = {key: rng.choice(fields[key]) for key in keys}
        text = head + joiner.join(pair.format(key=key, value=value) for key, value in values.items()) + tail
        return Case(text, " | ".join(f"{key.lower()}={value}" for key, value in values.items()))

    return make


def _numbers(*numbers: int, unit: str = "") -> tuple[str, ...]:
    return tuple(f"{number}{unit}" for number in numbers)


CONTACTS = {
    "Name": PEOPLE,
    "Phone": _numbers(5512, 5748, 5903, 6120, 6377, 6581, 6894, 7035, 7266),
    "City": ("Leipzig", "Malaga", "Tampere", "Bologna", "Aarhus", "Debrecen", "Limerick"),
    "Job": ("baker", "nurse", "roofer", "translator", "tailor", "plumber", "dentist"),
}
BOOKS = {
    "Title": ("Winter Roads", "The Tin Boat", "Salt", "Nine Letters", "Under Glass", "A Short Summer", "The Clockmaker"),
    "Author": ("Marsh", "Okafor", "Lindqvist", "Tanaka", "Petrov", "Delgado", "Byrne"),
    "Pages": _numbers(88, 120, 164, 203, 256, 310, 415),
    "Year": _numbers(1958, 1967, 1974, 1983, 1992, 2001, 2016),
}
PLANTS = {
    "Plant": ("fern", "cactus", "orchid", "basil", "ivy", "lemon tree", "rosemary", "aloe"),
    "Light": ("full sun", "half shade", "deep shade", "bright window"),
    "Water": ("daily", "weekly", "twice a week", "once a month"),
    "Pot": _numbers(10, 14, 18, 22, 30, unit=" cm"),
}
ROOMS = {
    "Room": _numbers(102, 115, 208, 214, 307, 319, 401, 422),
    "Guest": PEOPLE,
    "Nights": _numbers(1, 2, 3, 4, 5, 6, 7),
    "Board": ("breakfast", "half board", "full board", "none"),
}


def _entities(fields: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    return tuple(value for values in fields.values() for value in values if not value[0].isdigit())


TASKS = (
    TaskSpec(
        name="contact_card_pairs",
        domain="Office",
        wordings=(
            "Convert the contact card to key=value pairs separated by a bar.",
            "Contact cards have to be imported: write each entry as key=value, keys in small letters, with ' | ' between the "
            "entries.",
            "Put the card on one line for the import, like key=value | key=value.",
        ),
        reason="Every entry of the card stands in it as key=value: {output}",
        make=_maker(CONTACTS, pair="{key}: {value}", joiner=", "),
        entities=_entities(CONTACTS),
    ),
    TaskSpec(
        name="catalogue_entry_pairs",
        domain="Books",
        wordings=(
            "Make a machine-readable line (a=b | c=d) of the catalogue entry.",
            "Our catalogue program expects lower-case keys, an equals sign and bars in between. Reformat the entry.",
            "Reformat each book's entry. Keep the order of the details. Example of the shape: pages=12 | year=1900",
        ),
        reason="The details keep their order and take the wanted shape: {output}",
        make=_maker(BOOKS, pair="{key} - {value}", joiner="\n"),
        entities=_entities(BOOKS),
    ),
    TaskSpec(
        name="plant_label_pairs",
        domain="Gardening",
        wordings=(
            "Plant labels: shorten to name=content, bars between.",
            "The gardener's label tells a few things about a plant. Note each of them as name=content, all on one line, divided "
            "by |.",
            "Rewrite the label with equals signs and vertical bars, names uncapitalised.",
            "Label to line, e.g. light=dim | water=rarely",
        ),
        reason="Each thing on the label became name=content: {output}",
        make=_maker(PLANTS, pair="{key} is {value}", joiner=". ", tail="."),
        entities=_entities(PLANTS),
    ),
    TaskSpec(
        name="hotel_booking_pairs",
        domain="Hotels",
        wordings=(
            "Type the booking into the old terminal, which takes only field=value entries with a bar after each but the last.",
            "Encode the hotel booking as field=value | field=value | field=value.",
            "Hotel bookings must be normalised. Lower-case field, equals sign, value, bar.",
        ),
        reason="The terminal takes the booking as {output}",
        make=_maker(ROOMS, pair="{key} {value}", joiner="; ", head="Booking. "),
        entities=_entities(ROOMS),
    ),
)
