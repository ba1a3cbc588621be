"""Three things with a stated value each: which has the largest or the smallest? The answer is `The answer is <name>.`"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

from instune.pools.playground_families.spec import PEOPLE, Case, Maker, TaskSpec, sentence_case

FAMILY = "Value Comparison"


def _maker(
    names: Sequence[str], best: Callable[[Sequence[int]], int], *, part: str, joiner: str = "; ", head: str = "", end: str = "."
) -> Maker:
    """Three names with values of one, two and three digits; the place of the right one goes round."""

    def make(rng: Random, index: int) -> Case:
        values = rng.sample((rng.randint(2, 9), rng.randint(20, 95), rng.randint(200, 950)), 3)
        right, place = values.index(best(values)), index % 3
        values[right], values[place] = values[place], values[right]
        chosen = rng.sample(names, 3)
        parts = [part.format(name=name, value=value) for name, value in zip(chosen, values, strict=True)]
        return Case(sentence_case(head + joiner.join(parts) + end), f"The answer is {chosen[place]}.")

    return make


MOUNTAINS = (
    "Mount Arbel", "Grey Horn", "Old Tooth", "Wolf Peak", "Saint Ida", "Needle Rock", "The Anvil", "Cold Ridge", "Mount Ferro",
    "Eagle Dome",
)  # fmt: skip
SHOPS = (
    "Corner Store",
    "Megamart",
    "Fresh and Fair",
    "Budget Barn",
    "Village Grocer",
    "Green Basket",
    "Quick Stop",
    "Daily Deals",
)
BATTERIES = ("Voltix", "Ampero", "Longlife", "PowerCell", "Sunrun", "Chargo", "Duraflow", "Ionix")
BRIDGES = (
    "Harper Bridge", "King's Span", "the Iron Arch", "Millrace Bridge", "the Long Viaduct", "Otter Crossing", "Gallows Bridge",
    "the Twin Towers Bridge", "Cloister Bridge",
)  # fmt: skip
PARCELS = (
    "the striped box", "the padded envelope", "the wooden crate", "the cardboard tube", "the tin case", "the sealed sack",
    "the hat carton", "the wicker hamper",
)  # fmt: skip

TASKS = (
    TaskSpec(
        name="highest_mountain",
        domain="Geography",
        wordings=(
            "Heights of three summits above the camp are given in metres. Which summit is the highest? Reply: The answer is "
            "NAME.",
            "Tell a hiker which of the mountains towers above the other two. Use the sentence The answer is ... .",
            "Find the tallest of three peaks and finish the sentence 'The answer is' with its name and a full stop.",
        ),
        reason="No other summit has so large a number. {output}",
        make=_maker(MOUNTAINS, max, part="{name}: {value}"),
        entities=MOUNTAINS,
    ),
    TaskSpec(
        name="cheapest_shop",
        domain="Shopping",
        wordings=(
            "One basket, three shops, three totals. Where does a thrifty customer go? Write The answer is, the shop, and a full "
            "stop.",
            "Given what the same basket costs in three shops, choose the shop with the lowest total. Answer in the form: The "
            "answer is X.",
            "At which shop is the least money spent? Reply by a sentence that begins The answer is",
        ),
        reason="The other two totals are greater. {output}",
        make=_maker(SHOPS, min, part="{value} dollars at {name}", joiner=", "),
        entities=SHOPS,
    ),
    TaskSpec(
        name="fastest_runner",
        domain="Sports",
        wordings=(
            "Race times in minutes are listed for three runners. The one who needed the fewest minutes has won. Announce the "
            "winner like this: The answer is NAME.",
            "Who won the race? (A small time is a good time.) Say: The answer is, then the winner.",
            "Look at the runners' times and announce the quickest of them with the words The answer is.",
        ),
        reason="Nobody else needed so few minutes. {output}",
        make=_maker(PEOPLE, min, part="{name} ran it in {value} minutes", joiner=", "),
        entities=PEOPLE,
    ),
    TaskSpec(
        name="longest_lasting_battery",
        domain="Electronics",
        wordings=(
            "Three brands of battery were tested until they were empty. Name the brand that ran for the most hours. Your reply "
            "has the form The answer is BRAND.",
            "Choose the battery with the greatest endurance in the test. Write one sentence: The answer is ...",
            "Which brand lasts longest? Pattern of the reply: The answer is brand.",
            "A shopper needs the most durable battery of the test. Recommend it by The answer is and its brand.",
        ),
        reason="This brand has the most hours. {output}",
        make=_maker(BATTERIES, max, part="{name} lasted {value} hours", head="Test: "),
        entities=BATTERIES,
    ),
    TaskSpec(
        name="longest_bridge",
        domain="Engineering",
        wordings=(
            "Three bridges and their lengths in metres are stated. Work out which bridge is the longest and write: The answer is "
            "bridge.",
            "An engineer compares spans. Which one has the biggest figure? Respond by The answer is followed by the bridge.",
            "Tell, in a sentence opening with The answer is, where one walks farthest from bank to bank.",
        ),
        reason="Its span is beyond that of the other two. {output}",
        make=_maker(BRIDGES, max, part="{name} measures {value} m", joiner=", "),
        entities=BRIDGES,
    ),
    TaskSpec(
        name="lightest_parcel",
        domain="Post",
        wordings=(
            "The post office weighs three parcels. Write which parcel is the lightest, in the words The answer is parcel.",
            "Pounds are noted for each thing in the van. Say The answer is and then what can be lifted with the least effort.",
            "Of the weighed parcels, single out the one with the smallest weight (The answer is ...).",
        ),
        reason="Both other weights exceed it. {output}",
        make=_maker(PARCELS, min, part="{name} weighs {value} pounds", head="At the counter: "),
        entities=PARCELS,
    ),
)
