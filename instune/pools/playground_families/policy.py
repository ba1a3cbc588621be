"""Apply a rule with a limit, stated in the input, to a case. Long instructions, answers `allowed` or `refused`."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from instune.pools.playground_families.spec import PEOPLE, Case, Maker, TaskSpec

FAMILY = "Rule Checking"
LABELS = ("allowed", "refused")


def _maker(rule: str, cases: Sequence[str], limits: range) -> Maker:
    """A rule that allows at most `limit`; the case is below or above it by one to six."""

    def make(rng: Random, index: int) -> Case:
        limit, distance = rng.choice(limits), rng.randint(1, 6)
        allowed = index % 2 == 0
        value = limit - distance if allowed else limit + distance
        text = rng.choice(cases).format(person=rng.choice(PEOPLE), value=value)
        return Case(f"Rule: {rule.format(limit=limit)} Case: {text}", LABELS[0 if allowed else 1])

    return make


TASKS = (
    TaskSpec(
        name="luggage_weight_rule",
        domain="Travel",
        wordings=(
            "At the counter of a coach company, luggage is weighed before it goes into the hold, and there is a rule on how "
            "heavy it may be. The rule is not always the same; it stands at the beginning of the input, and you have to go by "
            "the rule that stands there, not by one that you know from elsewhere. After the rule comes a case: a passenger and "
            "the weight of a suitcase. Compare the weight with the limit. If the suitcase weighs no more than the limit, the "
            "answer is allowed. If it weighs more, be it by a single kilo, the answer is refused. The passenger's name is of no "
            "importance. Write one of the two words and leave out the reasons.",
            "May the suitcase travel? Go by the rule in the input and say allowed or refused.",
            "Check the suitcase against the limit. Output allowed when it is kept, refused when it is exceeded.",
        ),
        reason="Held against the limit, the suitcase is {output}.",
        make=_maker(
            "a suitcase may weigh at most {limit} kilos.",
            ("{person} brings a suitcase of {value} kilos.", "The suitcase of {person} weighs {value} kilos."),
            range(15, 41),
        ),
        entities=(),
        labels=LABELS,
    ),
    TaskSpec(
        name="city_permit_rule",
        domain="City life",
        wordings=(
            "Residents write to the city office for permits, and the office has to decide what becomes of every request. Read "
            "the rule first: it says up to how many guests a street party may have. Then read the resident's request. The team "
            "at the office never makes exceptions, whatever a resident feels about it, and it does not matter in which place "
            "the party would be. A request with a number of guests up to the limit is allowed. A request with a number beyond "
            "the limit is refused, even where it is beyond by one guest only. The limit is not the same in every input, since "
            "each quarter has its own. Reply with allowed or refused, exactly as it is spelled here, in lower case.",
            "Street parties: does the city office let this request pass? Reply allowed or refused by the quarter's rule.",
            "Apply the rule on guests to the resident's request, and answer allowed or refused.",
        ),
        reason="By the quarter's rule the request is {output}.",
        make=_maker(
            "a street party may have up to {limit} guests.",
            (
                "{person} requests a party for {value} guests.",
                "Request of {person}: {value} guests.",
                "{value} guests, asks {person}.",
            ),
            range(20, 90),
        ),
        entities=(),
        labels=LABELS,
    ),
    TaskSpec(
        name="library_loan_rule",
        domain="Libraries",
        wordings=(
            "Libraries differ in how long a book can be kept. The input gives the rule of one library, as a number of days, and "
            "a reader who would like to keep a book for a certain time. Imagine that you sit at the desk and must give a "
            "verdict in one word. The verdict is allowed in case the reader's time is within the rule, which includes the last "
            "day. The verdict is refused in case the reader asks for a longer time than the rule grants. You should not offer a "
            "compromise, should not ask for the title, and should not take into account that a reader is friendly, old, ill or "
            "far away. Every input is to be decided for itself; the verdict on one reader does not bind you for the next.",
            "Can the reader keep the book that long? The desk says allowed or refused, following the stated number of days.",
            "Given a loan rule and a wish, print allowed if the wish is within the rule and refused otherwise.",
        ),
        reason="Going by the days, the wish is {output}.",
        make=_maker(
            "books can be kept for {limit} days at most.",
            ("{person} would like to keep a book for {value} days.", "For {value} days, {person} wants to keep a novel."),
            range(10, 60),
        ),
        entities=(),
        labels=LABELS,
    ),
    TaskSpec(
        name="lift_load_rule",
        domain="Buildings",
        wordings=(
            "A lift in an office building has a sign with the greatest number of persons. The guard in front of the lift sees a "
            "group arrive and has to let them in or turn them away as a whole; groups are not split up. You are this guard. "
            "What the sign says can be read in the input, followed by the group that has arrived. As long as the group is not "
            "larger than the sign permits, you say allowed. When it is larger, you say refused. It makes no difference who "
            "leads the group, how tall or heavy its people are, and whether they are in a hurry. Guards do not talk much: use "
            "just this one word, without a greeting and without a reason.",
            "Guard the lift: allowed for groups that the sign permits, refused for larger groups.",
            "Does the group fit by the sign's number? Say allowed (fits) or refused (does not fit).",
        ),
        reason="With the sign in mind the guard says {output}.",
        make=_maker(
            "no more than {limit} persons in this lift.",
            ("{person} arrives with a group of {value} persons.", "A group of {value} persons comes, led by {person}."),
            range(8, 40),
        ),
        entities=(),
        labels=LABELS,
    ),
)
