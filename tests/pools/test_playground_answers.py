"""Answers of the families with test tasks, computed again from the inputs by other means than the generator's."""

from __future__ import annotations

import re
from random import Random

import pytest

from instune.pools.playground import FAMILIES, draw_cases
from instune.pools.playground_families import classification_texts, extraction, glossary
from instune.pools.playground_families.spec import Case, TaskSpec

SPECS = {spec.name: spec for tasks in FAMILIES.values() for spec in tasks}


def of(family: str) -> list[str]:
    return [spec.name for spec in FAMILIES[family]]


def cases(name: str) -> list[Case]:
    return [case for seed in (0, 1) for case in draw_cases(SPECS[name], seed=seed, count=63)]


def occurring(terms, text: str) -> list[str]:
    return [term for term in terms if re.search(rf"(?<!\w){re.escape(term.lower())}(?!\w)", text.lower())]


LISTS = {
    "library_shelf_subject": (r"(?P<key>[A-F]\d): (?P<entry>[a-z ]+)", r"\b([A-F]\d)$"),
    "paint_number_colour": (r"(?P<key>\d{3}) = (?P<entry>[a-z ]+)", r"(\d{3})\.?$"),
    "locker_owner": (r"(?P<entry>[A-Z][a-z]+) uses locker (?P<key>\d\d)", r"ocker (\d\d)[^\d]*$"),
    "train_platform": (r"(?P<key>[A-Z][a-z]+) - (?P<entry>platform \d+)", r"([A-Z][a-z]+)\.?$"),
    "hospital_ward_department": (r"(?P<key>W\d\d) (?P<entry>[a-z ]+[a-z])", r"(W\d\d)$"),
    "harbour_berth_ship": (r"berth (?P<key>\w+ \d+) holds (?P<entry>[A-Za-z ]+)", r"berth (\w+ \d+)[.!]?$"),
    "festival_wristband_stage": (
        r"(?P<key>\w+) band -> (?P<entry>[a-z ]+)",
        r"\n(?:The guest wears a |Wristband: |At the gate: )(\w+)",
    ),
    "expedition_radio_codename": (r"(?P<key>\w+) is (?P<entry>\w+)(?=,|\n)", r"\n(?:Call |Person: |Who is )(\w+)"),
}


@pytest.mark.parametrize("name", of("Code Lookup"))
def test_the_answer_is_the_entry_of_the_key_in_the_last_part(name):
    pair, ask = LISTS[name]
    for case in cases(name):
        table = {match["key"]: match["entry"] for match in re.finditer(pair, case.input)}
        assert len(table) >= 3
        assert case.output == table[re.search(ask, case.input)[1]]


WANTED = {
    "cooking_ingredient_naming": extraction.INGREDIENTS,
    "concert_instrument": extraction.INSTRUMENTS,
    "postcard_town": extraction.TOWNS,
    "small_ad_price": extraction.PRICES,
    "workshop_material": extraction.MATERIALS,
    "farm_diary_crop": extraction.CROPS,
    "repair_faulty_part": extraction.PARTS,
    "ranger_radio_animal": extraction.ANIMALS,
}


@pytest.mark.parametrize("name", of("Information Extraction"))
def test_exactly_one_thing_of_the_kind_is_in_the_sentence_and_it_is_the_answer(name):
    for case in cases(name):
        (found,) = occurring(WANTED[name], case.input)
        assert case.output == f"Found: {found}"
        assert found in case.input


RECORDS = {
    "contact_card_pairs": r"(\w+): ([^,]+)",
    "catalogue_entry_pairs": r"(\w+) - (.+)",
    "plant_label_pairs": r"(\w+) is ([^.]+)",
    "hotel_booking_pairs": r"(Room|Guest|Nights|Board) ([^;]+)",
}


@pytest.mark.parametrize("name", of("Record Conversion"))
def test_keys_are_lowered_and_values_kept_in_order(name):
    for case in cases(name):
        pairs = re.findall(RECORDS[name], case.input)
        assert len(pairs) == 3
        assert case.output == " | ".join(key.lower() + "=" + value for key, value in pairs)


@pytest.mark.parametrize("name", of("Quotation"))
def test_the_answer_is_what_stands_between_the_only_marks(name):
    for case in cases(name):
        (quoted,) = re.findall(r"""["'*\[]([^"'*\[\]]+)["'*\]]""", case.input)
        assert case.output == f"Words: {quoted}"


MESSAGES = {
    "bank_message_topic": classification_texts.BANK,
    "newspaper_section": classification_texts.NEWS,
    "online_shop_ticket": classification_texts.SHOP,
    "gym_feedback_subject": classification_texts.GYM,
    "city_office_routing": classification_texts.CITY,
    "museum_enquiry_kind": classification_texts.MUSEUM,
}


@pytest.mark.parametrize("name", of("Text Categorization"))
def test_the_message_is_of_one_class_only(name):
    for case in cases(name):
        classes = [label for label, messages in MESSAGES[name].items() for message in messages if message in case.input]
        assert classes == [case.output]
        assert sorted(case.input.split("\nOptions: ")[1].split(", ")) == sorted(MESSAGES[name])


@pytest.mark.parametrize(
    ("name", "best"),
    [
        ("highest_mountain", max),
        ("cheapest_shop", min),
        ("fastest_runner", min),
        ("longest_lasting_battery", max),
        ("longest_bridge", max),
        ("lightest_parcel", min),
    ],
)
def test_the_named_thing_stands_beside_the_best_number(name, best):
    places = set()
    for case in cases(name):
        numbers = [int(number) for number in re.findall(r"\d+", case.input)]
        parts = re.split(r"[;,] ", case.input)
        assert len(numbers) == len(parts) == len(set(numbers)) == 3
        answer = case.output.removeprefix("The answer is ").removesuffix(".")
        right = numbers.index(best(numbers))
        assert [answer.lower() in part.lower() for part in parts] == [place == right for place in range(3)]
        places.add(right)
    assert places == {0, 1, 2}


GLOSSARIES = {
    "office_abbreviation_expansion": r"(?P<term>.+) = (?P<meaning>.+)\n(?P<text>.+)",
    "sailing_term_plain": r"(?P<text>.+)\n\((?P<term>.+): (?P<meaning>.+)\)",
    "gaming_slang_for_parents": r"Explained: (?P<term>.+) means (?P<meaning>.+)\.\nChild: (?P<text>.+)",
    "court_term_simplification": r"Definition of (?P<term>.+): (?P<meaning>.+?)\. Sentence: (?P<text>.+)",
    "cockpit_jargon_rewriting": r"(?P<term>.+) stands for (?P<meaning>.+)\nCockpit: (?P<text>.+)",
    "stage_term_replacement": r"(?P<text>.+) \[hint: (?P<term>.+) = (?P<meaning>.+)\]",
}


@pytest.mark.parametrize("name", of("Glossary Rewriting"))
def test_only_the_term_is_replaced_by_its_meaning(name):
    for case in cases(name):
        part = re.fullmatch(GLOSSARIES[name], case.input)
        pieces = part["text"].split(f"*{part['term']}*")
        assert len(pieces) == 2
        assert case.output == part["meaning"].join(pieces)


def test_no_term_of_a_glossary_is_part_of_its_own_meaning():
    for terms in (glossary.OFFICE, glossary.SAILING, glossary.GAMING, glossary.LAW, glossary.AVIATION, glossary.THEATRE):
        assert all(not occurring([term], meaning) for term, meaning in terms.items())


def test_makers_draw_from_their_generator_alone():
    for spec in SPECS.values():
        assert isinstance(spec, TaskSpec)
        assert [spec.make(Random(5), index) for index in range(4)] == [spec.make(Random(5), index) for index in range(4)]
