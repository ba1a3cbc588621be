"""Bring four things into the stated order. The answer is the names, divided by ` > `."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from instune.pools.playground_families.spec import Case, Maker, TaskSpec, sentence_case

FAMILY = "Item Ordering"


def _valued(names: Sequence[str], part: str, numbers: range, *, joiner: str = ", ", head: str = "") -> Maker:
    """Four names with a number each, to be written by ascending number."""

    def make(rng: Random, index: int) -> Case:
        chosen, values = rng.sample(names, 4), rng.sample(numbers, 4)
        parts = [part.format(name=name, value=value) for name, value in zip(chosen, values, strict=True)]
        ordered = [name for _, name in sorted(zip(values, chosen, strict=True))]
        return Case(sentence_case(f"{head}{joiner.join(parts)}."), " > ".join(ordered))

    return make


def _alphabetical(names: Sequence[str], head: str) -> Maker:
    def make(rng: Random, index: int) -> Case:
        chosen = rng.sample(names, 4)
        return Case(f"{head}{', '.join(chosen)}.", " > ".join(sorted(chosen)))

    return make


BOATS = (
    "Amber Gull", "Bold Venture", "Cormorant", "Dawn Treader", "Emerald", "Frigga", "Golden Hind", "Hope", "Isolde",
    "Jolly Roger", "Kestrel", "Lodestar", "Mistral",
)  # fmt: skip
PACKETS = ("the flat packet", "the round packet", "the long packet", "the torn packet", "the blue packet", "the damp packet")
EVENTS = (
    "the founding of the choir", "the great flood", "the first tram", "the opening of the theatre", "the fire in the mill",
    "the building of the dam", "the last coronation", "the visit of the queen",
)  # fmt: skip
FRUITS = ("apricots", "bananas", "cherries", "dates", "grapes", "kiwis", "lemons", "melons", "pears", "plums")

TASKS = (
    TaskSpec(
        name="harbour_ship_ordering",
        domain="Shipping",
        wordings=(
            "A harbour log lists the ships that lie there. Write the names of the ships in alphabetical order with > in between.",
            "Sort the ships of the log from A to Z. The reply has the shape ship > ship > ship > ship.",
            "Which order do the ships have in the alphabet? Consult the log and use > between names.",
        ),
        reason="From A to Z the log gives {output}.",
        make=_alphabetical(BOATS, "In the harbour: "),
        entities=BOATS,
    ),
    TaskSpec(
        name="packet_weight_ordering",
        domain="Post",
        wordings=(
            "The post office weighs four packets. Write the packets from the lightest to the heaviest, in the pattern packet > "
            "packet.",
            "Pounds are noted for each packet. Stack them in your reply, light ones first, with a > after each but the last.",
            "Of the weighed packets, give all four by rising weight (a > b > c > d).",
        ),
        reason="The weights rise along {output}.",
        make=_valued(PACKETS, "{name} weighs {value} pounds", range(11, 99), head="On the scales: "),
        entities=PACKETS,
    ),
    TaskSpec(
        name="town_history_timeline",
        domain="History",
        wordings=(
            "Make a timeline of the town's events, earliest first, with > between them.",
            "What happened first, second, third and last? List the events in this order; put > between one and the next.",
            "Order the four events by year. Leave the years out of the reply and join the events by >.",
        ),
        reason="The years grow from left to right in {output}.",
        make=_valued(EVENTS, "{name} ({value})", range(1801, 1999), joiner="; ", head="In no order: "),
        entities=EVENTS,
    ),
    TaskSpec(
        name="market_price_ordering",
        domain="Shopping",
        wordings=(
            "Fruit at the market, with prices in cents per piece: bring the sorts into order from cheap to dear (x > y > z > w).",
            "Start with the fruit that costs least and end with the fruit that costs most. Symbol between fruits: >",
            "Arrange by increasing price. Only the names of the fruit, and > between them, go into the reply.",
        ),
        reason="Prices increase in {output}.",
        make=_valued(FRUITS, "{name} cost {value} cents", range(12, 95)),
        entities=FRUITS,
    ),
)
