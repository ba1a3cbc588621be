"""One small step of arithmetic in a story. The answer is `Result: <number>`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

from instune.pools.playground_families.spec import PEOPLE, Case, Maker, TaskSpec

FAMILY = "Arithmetic"


def _maker(frames: Sequence[str], step: Callable[[int, int], int], first: range, second: range, names: Sequence[str]) -> Maker:
    """Two numbers `a` and `b` in a story; the answer is `step(a, b)`."""

    def make(rng: Random, index: int) -> Case:
        a, b = rng.choice(first), rng.choice(second)
        one, two = rng.sample(names, 2)
        return Case(frames[index % len(frames)].format(a=a, b=b, one=one, two=two), f"Result: {step(a, b)}")

    return make


SPANS = ("Mill Bridge", "Fox Bridge", "Tower Bridge", "Market Bridge", "Abbey Bridge", "Ferry Bridge", "Stone Bridge")

TASKS = (
    TaskSpec(
        name="bridge_length_difference",
        domain="Engineering",
        wordings=(
            "Two bridges and their lengths in metres are stated. Work out which number of metres the longer has more and write: "
            "Result: number.",
            "An engineer compares two spans. By how much do they differ? Respond by Result: followed by the figure.",
            "Subtract the shorter bridge from the longer one (Result: ...).",
        ),
        reason="Longer less shorter. {output}",
        make=_maker(
            (
                "{one} measures {a} m, {two} measures {b} m.",
                "{two} is {b} m and {one} {a} m.",
                "Of {one} ({a} m) and {two} ({b} m).",
            ),
            lambda a, b: a - b,
            range(50, 99),
            range(11, 49),
            SPANS,
        ),
        entities=SPANS,
    ),
    TaskSpec(
        name="apple_basket_sum",
        domain="Gardening",
        wordings=(
            "How many apples do the two have together? Write Result: and the number.",
            "Two people pick apples. Add up what they have picked; put Result: in front.",
            "Sum of the apples, please, after the word Result and a colon.",
        ),
        reason="Both baskets are added. {output}",
        make=_maker(
            (
                "{one} picks {a} apples and {two} picks {b}.",
                "In the basket of {one} are {a} apples, in that of {two} {b}.",
                "{two} has {b} apples. {one} has {a}.",
            ),
            lambda a, b: a + b,
            range(5, 40),
            range(5, 40),
            PEOPLE,
        ),
        entities=(),
    ),
    TaskSpec(
        name="bus_passengers_left",
        domain="Travel",
        wordings=(
            "A bus stops and people get off. Calculate who is left, as a number behind Result:",
            "After the stop, how many passengers are there on the bus? Format of the reply: Result: n",
            "Take those who get off from those who were on board. Result: ?",
        ),
        reason="Those who got off are taken away. {output}",
        make=_maker(
            (
                "{one} drives a bus with {a} people, and {b} get off at {two}'s house.",
                "{a} people ride with {one}; then {b} leave with {two}.",
                "{b} of the {a} passengers get off. {one} and {two} watch.",
            ),
            lambda a, b: a - b,
            range(20, 60),
            range(2, 19),
            PEOPLE,
        ),
        entities=(),
    ),
    TaskSpec(
        name="market_stall_total",
        domain="Shopping",
        wordings=(
            "Somebody buys several pieces at the same price. What is the sum to be paid? Begin with Result:",
            "Multiply pieces by price and report it as Result: sum.",
            "The customer asks what all of it costs. Say Result: and the total, without a currency.",
        ),
        reason="Pieces times price. {output}",
        make=_maker(
            (
                "{one} buys {b} mugs at {a} dollars each from {two}.",
                "{two} sells {one} {b} towels, {a} dollars a piece.",
                "At {a} dollars each, {one} takes {b} candles for {two}.",
            ),
            lambda a, b: a * b,
            range(2, 12),
            range(2, 10),
            PEOPLE,
        ),
        entities=(),
    ),
)
