"""Sort a short message into one of four classes that the (long) instruction explains. The answer is the class name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random

from instune.pools.playground_families.classification_texts import (
    BANK,
    CITY,
    CLOSINGS,
    GYM,
    HELD_OUT_CLOSINGS,
    HELD_OUT_OPENINGS,
    MUSEUM,
    NEWS,
    NEWS_CLOSINGS,
    NEWS_OPENINGS,
    OPENINGS,
    SHOP,
)
from instune.pools.playground_families.spec import Case, Maker, TaskSpec

FAMILY = "Text Categorization"


def _maker(messages: Mapping[str, Sequence[str]], openings: Sequence[str], closings: Sequence[str]) -> Maker:
    """An opening, a message of the class whose turn it is, a closing; then the classes in a drawn order."""
    labels = tuple(messages)

    def make(rng: Random, index: int) -> Case:
        label = labels[index % len(labels)]
        text = " ".join((rng.choice(openings), rng.choice(messages[label]), rng.choice(closings)))
        return Case(f"{text}\nOptions: {', '.join(rng.sample(labels, len(labels)))}", label)

    return make


def _said(messages: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    return tuple(text for texts in messages.values() for text in texts)


TASKS = (
    TaskSpec(
        name="bank_message_topic",
        domain="Banking",
        wordings=(
            "The customers of a bank write short messages, and each must reach the right desk. There are four desks. Choose "
            "card when the message is about a bank card: one that is lost, kept by a machine, copied, scratched or late, or "
            "about its PIN. Choose loan when somebody borrows, wants to borrow, or pays back what was borrowed, interest and "
            "instalments included. Choose transfer when money was sent or is to be sent from one place to another, also when it "
            "was sent wrongly. Choose account when it is about the customer's own data, about opening or closing, or about "
            "getting into online banking. Politeness and mood play no part. Write one word in small letters and nothing else: "
            "card, loan, transfer or account.",
            "To which of the desks card, loan, transfer and account would you forward this mail to a bank? Cards and PINs "
            "belong to the first, borrowed money to the second, sent money to the third, and the customer's data and access to "
            "the last. One word.",
            "Assign the bank customer's request to a single topic. Possible topics: account; card; loan; transfer.",
        ),
        reason="What the customer wants is the business of the desk {output}.",
        make=_maker(BANK, OPENINGS, CLOSINGS),
        entities=_said(BANK),
        labels=tuple(BANK),
    ),
    TaskSpec(
        name="newspaper_section",
        domain="News",
        wordings=(
            "A newspaper is put together from short reports, and every report goes to one of four sections. The section sport "
            "takes matches, races, teams, athletes and their coaches. The section weather takes forecasts, storms, heat, cold "
            "and whatever else comes from the sky. The section politics takes governments, parliaments, elections, laws and the "
            "people in office, from a mayor to a president. The section business takes companies, shares, sales, wages and "
            "jobs. Phrases such as the opening line of the agency or a hint at pictures are not part of the report and say "
            "nothing about where it goes. Read the report and answer with the section: sport, weather, politics or business. "
            "Use one word and no full stop.",
            "Where in the paper would an editor print this? Say sport, weather, politics or business.",
            "You are an editor. Reports on games, on the sky, on those who govern, and on companies go to the pages sport, "
            "weather, politics and business in that order. Name the page for the report that you are given.",
        ),
        reason="Such a report is printed under {output}.",
        make=_maker(NEWS, NEWS_OPENINGS, NEWS_CLOSINGS),
        entities=_said(NEWS),
        labels=tuple(NEWS),
    ),
    TaskSpec(
        name="online_shop_ticket",
        domain="Shopping",
        wordings=(
            "Tickets of an online shop have to be tagged before the support staff sees them. You will read one ticket at a "
            "time. There are exactly four tags. The tag delivery is for goods that are on their way, late, brought to the wrong "
            "place, or to be brought at a certain hour. The tag refund is for money that the buyer wants back, because of a "
            "return, a double charge or a promise. The tag product is for questions on an article before it is bought: size, "
            "stuff, colour, weight, parts. The tag login is for passwords, codes and profiles, in short for getting into the "
            "site. If you are torn between tags, ask what the buyer would like to happen. Put down the tag only: delivery, "
            "refund, product or login.",
            "Tag the ticket: delivery, refund, product or login?",
            "Buyers write to the shop since goods are late (delivery), since they want money back (refund), since they wonder "
            "about an article (product) or since they cannot get into the site (login). Give the word in brackets that fits.",
        ),
        reason="The buyer's wish falls under {output}.",
        make=_maker(SHOP, OPENINGS, CLOSINGS),
        entities=_said(SHOP),
        labels=tuple(SHOP),
    ),
    TaskSpec(
        name="gym_feedback_subject",
        domain="Fitness",
        wordings=(
            "Members of a gym may leave a slip of paper in a box at the exit. The slips are read once a week, and for the "
            "statistics every slip receives one subject from a fixed list. The list has four entries. First, membership: "
            "contracts, prices, plans, breaks and leaving. Second, classes: everything that happens in a group with a teacher "
            "at a fixed hour, whether yoga, boxing or dance. Third, equipment: the machines, weights, bikes and their faults. "
            "Fourth, hygiene: dirt, smells, bins, soap and the state of the showers. Slips often begin or end with a friendly "
            "phrase; skip it. Take the subject that the writer is really concerned with, and give it without its number: "
            "membership, classes, equipment or hygiene.",
            "Sort slips from a gym's box into membership / classes / equipment / hygiene. Output the one that fits.",
            "What is the gym slip about: its contract (membership), its groups (classes), its machines (equipment) or its "
            "cleanliness (hygiene)?",
        ),
        reason="The slip is concerned with {output}.",
        make=_maker(GYM, OPENINGS, CLOSINGS),
        entities=_said(GYM),
        labels=tuple(GYM),
    ),
    TaskSpec(
        name="city_office_routing",
        domain="City life",
        wordings=(
            "Residents write to the city office, and the office has to decide what becomes of every letter. Read the resident's "
            "letter and pick the team that will handle it. The team streets repairs roads, kerbs, crossings and signals. The "
            "team garbage empties containers, removes what was dumped, and advises on throwing things out. The team greenery "
            "looks after trees, hedges, lawns and beds on public ground. The team noise follows up on sounds that keep people "
            "awake, be it a bar, an animal, an engine or a building site. What a resident feels about it does not matter, nor "
            "does the place. A letter never goes to two teams. Reply with the team alone, in lower case: streets, garbage, "
            "greenery or noise.",
            "Who at the town hall should get this complaint? The options are streets, garbage, greenery, noise, and the reply "
            "is one of them.",
            "Complaints of residents are distributed among four crews (greenery: plants; noise: loud things at night; garbage: "
            "what people throw out; streets: where people drive and walk). State the crew.",
        ),
        reason="Of the teams, {output} deals with what the letter describes.",
        make=_maker(CITY, HELD_OUT_OPENINGS, HELD_OUT_CLOSINGS),
        entities=_said(CITY),
        labels=tuple(CITY),
    ),
    TaskSpec(
        name="museum_enquiry_kind",
        domain="Museums",
        wordings=(
            "Visitors of a museum write to its desk. Read what a visitor has written and decide which kind of enquiry it is. It "
            "is admission if the visitor wants to know about prices, tickets, free days or the hours at which people are let "
            "in. It is tours if the visitor needs someone, or a device, to lead and explain. It is exhibits if it concerns an "
            "object that the house shows, showed or will show: its age, maker, label or absence. It is cafeteria if it concerns "
            "eating and drinking in the house. The visitor's tone is of no account, and greetings should be passed over. Your "
            "answer is the kind alone, in lower-case letters: admission, tours, exhibits or cafeteria.",
            "An enquiry has come in at the museum. Mark it as admission, tours, exhibits or cafeteria.",
            "For a museum's mailbox: food and drink become cafeteria, objects become exhibits, guiding becomes tours, getting in "
            "becomes admission. What does the mail become?",
        ),
        reason="The enquiry is of the kind {output}.",
        make=_maker(MUSEUM, HELD_OUT_OPENINGS, HELD_OUT_CLOSINGS),
        entities=_said(MUSEUM),
        labels=tuple(MUSEUM),
    ),
)
