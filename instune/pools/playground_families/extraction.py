"""Copy from a sentence the one thing of the kind that the instruction names. The answer is `Found: <words of the sentence>`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random

from instune.pools.playground_families.spec import HELD_OUT_PEOPLE, PEOPLE, Case, Maker, TaskSpec, fill

FAMILY = "Information Extraction"


def _maker(frames: Sequence[str], slots: Mapping[str, Sequence[str]], wanted: str) -> Maker:
    """A frame with its slots filled; the answer is the value of the slot `wanted`."""

    def make(rng: Random, index: int) -> Case:
        text, values = fill(frames[index % len(frames)], slots, rng)
        return Case(text, f"Found: {values[wanted]}")

    return make


DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
INGREDIENTS = (
    "saffron", "butter", "lentils", "garlic", "honey", "red onions", "coconut milk", "ginger", "black pepper", "spinach",
    "chickpeas", "vinegar", "brown sugar", "dried figs", "olive oil", "yeast",
)  # fmt: skip
DISHES = ("the stew", "the soup", "the pie", "the sauce", "the salad", "the curry", "the bread")
INSTRUMENTS = (
    "cello", "trumpet", "accordion", "harp", "clarinet", "banjo", "oboe", "xylophone", "violin", "bass drum", "church organ",
    "ukulele", "trombone", "flute", "bagpipes",
)  # fmt: skip
HALLS = ("the town hall", "the old church", "the school gym", "the summer stage", "the jazz cellar", "the opera")
TOWNS = (
    "Granada", "Tallinn", "Bruges", "Salzburg", "Dubrovnik", "Oslo", "Palermo", "Riga", "Basel", "Marseille", "Gdansk", "Split",
    "Cardiff", "Utrecht", "Valencia", "Helsinki",
)  # fmt: skip
GOODS = ("lamp", "blanket", "teapot", "backpack", "clock", "mirror", "rug", "kettle", "chair", "umbrella", "vase")
PRICES = tuple(f"{number} {unit}" for number in (4, 7, 9, 12, 15, 18, 25, 32, 40, 55, 60, 75) for unit in ("euros", "dollars"))
MATERIALS = (
    "walnut", "porcelain", "brass", "linen", "birch bark", "pewter", "felt", "marble", "bamboo", "horsehair", "wrought iron",
    "clay", "silk", "oak veneer", "stained glass", "wax", "rattan",
)  # fmt: skip
CRAFTED = ("jug", "lampshade", "stool", "jewel case", "puppet", "picture frame", "tray", "chess set", "lantern")
CROPS = (
    "barley", "rapeseed", "sugar beet", "sunflowers", "winter wheat", "maize", "hops", "oats", "flax", "clover", "buckwheat",
    "lupins", "alfalfa", "sweetcorn", "rye",
)  # fmt: skip
FIELDS = ("the hill field", "the river meadow", "the far acre", "the strip by the mill", "the lower terrace", "the stony slope")
PARTS = (
    "fan belt", "brake cable", "fuel pump", "door hinge", "water valve", "spark plug", "heating coil", "gear wheel",
    "power cord", "rear axle", "drain hose", "starter motor", "pressure seal", "side mirror",
)  # fmt: skip
ANIMALS = (
    "badger", "heron", "red squirrel", "polecat", "barn owl", "wild boar", "lynx", "kingfisher", "pine marten", "adder", "stoat",
    "hedgehog", "osprey", "roe deer", "newt",
)  # fmt: skip
TRAILS = ("the birch trail", "the mossy gorge", "the beaver pond", "the lookout", "the fallen pine", "the reed bed")
MACHINES = ("washing machine", "moped", "tractor", "dishwasher", "lawn mower", "delivery van", "coffee machine", "elevator")

TASKS = (
    TaskSpec(
        name="cooking_ingredient_naming",
        domain="Cooking",
        wordings=(
            "Given a sentence about cooking, extract the ingredient that is mentioned. Begin the answer with Found: and then "
            "copy the ingredient.",
            "Every sentence below comes from a kitchen and mentions a single ingredient. Reply with Found: and that ingredient.",
            "Pick out what goes into the dish (not the dish itself, not the cook). Form of the reply: Found: ingredient",
        ),
        reason="The ingredient in the sentence gives the answer {output}.",
        make=_maker(
            (
                "On {day} {person} stirred {item} into {dish}.",
                "{person} says that {dish} needs more {item}.",
                "Without {item}, {person} would never serve {dish}.",
                "There was too much {item} in {dish} that {person} made on {day}.",
                "For {dish}, {person} always buys {item} at the market.",
                "{person} forgot {item} when preparing {dish} last {day}.",
            ),
            {"item": INGREDIENTS, "dish": DISHES, "person": PEOPLE, "day": DAYS},
            "item",
        ),
        entities=INGREDIENTS,
    ),
    TaskSpec(
        name="concert_instrument",
        domain="Music",
        wordings=(
            "What is being played? Read the line from a concert review and give the musical instrument, introduced by Found:",
            "Locate the instrument in a review of a concert. Players, halls and dates are of no interest. Output Found: "
            "followed by it.",
            "Output format: Found: <instrument>. The instrument has to appear word for word in the review.",
        ),
        reason="Of all words in the review only the instrument fits, hence {output}.",
        make=_maker(
            (
                "{person} and a {item} filled {hall} on {day}.",
                "In {hall}, the {item} of {person} was hardly to be heard.",
                "After the break {person} took up the {item} and played until midnight.",
                "The solo for {item} in {hall} drew loud applause for {person}.",
                "It was {day} when {person} first carried a {item} into {hall}.",
                "{person}, who had come from far, tuned the {item} behind {hall}.",
            ),
            {"item": INSTRUMENTS, "hall": HALLS, "person": PEOPLE, "day": DAYS},
            "item",
        ),
        entities=INSTRUMENTS,
    ),
    TaskSpec(
        name="postcard_town",
        domain="Travel",
        wordings=(
            "Postcards! Someone writes where they have been. Say the town, after the word Found and a colon.",
            "Find the place name in the postcard text and write it as Found: place.",
            "A postcard mentions people, days and one town. Your job is to return the town in the shape Found: town, spelled as "
            "the writer spells it.",
            "Identify the town that the traveller writes about (reply: Found: ...).",
        ),
        reason="The town in the postcard leads to {output}.",
        make=_maker(
            (
                "Dear {person}, we reached {item} on {day} and it has rained ever since.",
                "Greetings from {item}! The boat trip with {person} was lovely.",
                "{person} and I walked all through {item} and our feet hurt.",
                "We had planned to leave {item} by {day}, but {person} fell ill.",
                "You would love {item}, {person}: narrow streets and good cake.",
                "On {day} we met {person} at the station of {item}.",
            ),
            {"item": TOWNS, "person": PEOPLE, "day": DAYS},
            "item",
        ),
        entities=TOWNS,
    ),
    TaskSpec(
        name="small_ad_price",
        domain="Shopping",
        wordings=(
            "Small ads tell what is sold, by whom, and for how much. Report how much. Write Found: and the amount with its "
            "currency.",
            "Return the price stated in the advertisement, in the form Found: amount currency.",
            "Someone wants to know what the thing in the ad costs. Answer Found: and the sum as printed.",
        ),
        reason="The sum in the advertisement makes it {output}.",
        make=_maker(
            (
                "Used {good} for sale, {item}, ask for {person} after 6 pm.",
                "{person} sells a {good} in good shape for {item}.",
                "Who would like my {good}? Only {item}. Pick up on {day}, {person}.",
                "For {item} this {good} is yours. Call {person} by {day}.",
                "Moving out on {day}: {good}, hardly used, {item}. {person}",
                "{good} wanted by {person}, will pay {item} in cash.",
            ),
            {"item": PRICES, "good": GOODS, "person": PEOPLE, "day": DAYS},
            "item",
        ),
        entities=GOODS,
    ),
    TaskSpec(
        name="workshop_material",
        domain="Crafts",
        wordings=(
            "You get a sentence from a craft workshop. Your answer is about the material in it: write Found: and then the "
            "material.",
            "Tell what the piece was made of, starting with Found:",
            "From each workshop sentence return the material alone, in the pattern Found: material. Ignore who made the piece.",
        ),
        reason="What the piece is made of leads to {output}.",
        make=_maker(
            (
                "{person} shaped the {thing} out of {item} in two evenings.",
                "The {thing} by {person} is of {item} and weighs almost nothing.",
                "Because {item} was cheap, {person} chose it for the {thing}.",
                "{person} had never worked with {item} before this {thing}.",
                "A customer ordered a {thing} in {item} from {person}.",
                "It took {item} from three suppliers until {person} was content with the {thing}.",
            ),
            {"item": MATERIALS, "thing": CRAFTED, "person": HELD_OUT_PEOPLE},
            "item",
        ),
        entities=(*MATERIALS, *CRAFTED, *HELD_OUT_PEOPLE),
        held_out=True,
    ),
    TaskSpec(
        name="farm_diary_crop",
        domain="Agriculture",
        wordings=(
            "Read the entry of a farm diary and look for the crops in it. There is one crop; answer Found: and the crop.",
            "The diary speaks of a plant that is grown on the farm. Quote it behind Found:",
            "Report the crop of the diary entry as Found: crop.",
        ),
        reason="The plant grown in this entry makes the answer {output}.",
        make=_maker(
            (
                "{person} drove the seed drill over {field} and put in {item}.",
                "Hail has flattened {item} on {field}, as {person} feared.",
                "This year {field} carries {item}, and {person} is glad of it.",
                "We cut {item} until dusk; {person} brought tea to {field}.",
                "{person} walked {field} and found mildew on {item}.",
                "No more {item} on {field}, {person} has decided.",
            ),
            {"item": CROPS, "field": FIELDS, "person": HELD_OUT_PEOPLE},
            "item",
        ),
        entities=(*CROPS, *FIELDS, *HELD_OUT_PEOPLE),
        held_out=True,
    ),
    TaskSpec(
        name="repair_faulty_part",
        domain="Repairs",
        wordings=(
            "Here is a note from a repair shop. Decide which part of the machine is broken. Answer with Found: and the part's "
            "name.",
            "Mechanics' notes: quote the part that failed, preceded by Found:",
            "Which component does the note call faulty? Reply as Found: component and leave the machine and the customer out.",
        ),
        reason="The note blames one part only: {output}.",
        make=_maker(
            (
                "{person} came in with a {machine}; the {item} is worn through.",
                "New {item} needed for the {machine} of {person}.",
                "The {machine} rattles since its {item} broke, {person} reports.",
                "We opened the {machine} and the {item} fell out in two pieces. Call {person}.",
                "{person} had the {item} changed last year, yet it has failed again in the {machine}.",
                "A cracked {item} is why the {machine} stands still, so {person} must wait.",
            ),
            {"item": PARTS, "machine": MACHINES, "person": HELD_OUT_PEOPLE},
            "item",
        ),
        entities=(*PARTS, *MACHINES, *HELD_OUT_PEOPLE),
        held_out=True,
    ),
    TaskSpec(
        name="ranger_radio_animal",
        domain="Wildlife",
        wordings=(
            "A park ranger reports something over the radio. Extract the animal from the report and give it after Found:",
            "Which animal does the ranger mention? Write Found: and copy its name from the report. Places and colleagues do not "
            "count.",
            "Return Found: animal for the ranger's message.",
        ),
        reason="The report is about one animal, so the answer is {output}.",
        make=_maker(
            (
                "{person} here, a {item} just crossed {trail}.",
                "We have a limping {item} near {trail}, can {person} come?",
                "Fresh tracks of a {item} at {trail}, photographed by {person}.",
                "{person} has freed a {item} from a fence behind {trail}.",
                "No sign of the {item} at {trail} today, {person}. Over.",
                "Please close {trail}: {person} saw a {item} with young.",
            ),
            {"item": ANIMALS, "trail": TRAILS, "person": HELD_OUT_PEOPLE},
            "item",
        ),
        entities=(*ANIMALS, *TRAILS, *HELD_OUT_PEOPLE),
        held_out=True,
    ),
)
