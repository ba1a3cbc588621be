"""Write a sentence again with one term replaced by the meaning that the input states. Short instruction, long output."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random

from instune.pools.playground_families.spec import PEOPLE, Case, Maker, TaskSpec, fill, sentence_case

FAMILY = "Glossary Rewriting"


def _maker(terms: Mapping[str, str], frames: Sequence[str], slots: Mapping[str, Sequence[str]], layout: str) -> Maker:
    """A frame with its slots filled, once with the term between asterisks and once with its meaning."""

    def make(rng: Random, index: int) -> Case:
        term = rng.choice(list(terms))
        text, _ = fill(frames[index % len(frames)].replace("{term}", "\0"), slots, rng)
        before, after = (sentence_case(text.replace("\0", word)) for word in (f"*{term}*", terms[term]))
        return Case(layout.format(term=term, meaning=terms[term], text=before), after)

    return make


OFFICE = {
    "EOD": "end of the day",
    "KPI": "main target",
    "OOO": "out of office note",
    "FAQ": "list of common questions",
    "TBC": "open point",
    "SOP": "standard procedure",
    "WIP": "unfinished work",
    "NDA": "secrecy agreement",
}
SAILING = {
    "galley": "ship's kitchen",
    "bow": "front of the boat",
    "stern": "back of the boat",
    "keel": "bottom beam",
    "mainsheet": "rope of the big sail",
    "tiller": "steering handle",
    "bilge": "lowest room",
    "head": "toilet on board",
}
GAMING = {
    "NPC": "computer-run figure",
    "loot": "treasure",
    "boss": "final enemy",
    "lag": "delay",
    "quest": "mission",
    "buff": "boost of strength",
    "spawn": "starting spot",
    "guild": "team of players",
}
LAW = {
    "plaintiff": "person who sues",
    "verdict": "decision of the jury",
    "bail": "money for release",
    "affidavit": "sworn statement",
    "hearsay": "second-hand report",
    "statute": "written law",
    "docket": "list of cases",
    "subpoena": "order to appear",
}
AVIATION = {
    "ATIS": "recorded airport bulletin",
    "flaps": "movable wing edges",
    "yoke": "control wheel",
    "apron": "parking area for planes",
    "squawk": "radar code",
    "holding pattern": "waiting loop",
    "METAR": "coded report of conditions",
    "pitot": "airspeed tube",
}
THEATRE = {
    "cyc": "curved backdrop",
    "prompt side": "left half of the boards",
    "dresser": "costume helper",
    "gobo": "patterned light stencil",
    "understudy": "stand-in performer",
    "flies": "loft above the boards",
    "green room": "lounge for performers",
    "strike": "taking down of the scenery",
}


def _words(terms: Mapping[str, str]) -> tuple[str, ...]:
    return (*terms, *terms.values())


TASKS = (
    TaskSpec(
        name="office_abbreviation_expansion",
        domain="Office",
        wordings=(
            "Spell out the office abbreviation in the mail.",
            "Write the mail again, with the long form in place of the short one.",
            "New colleagues do not know our abbreviations. Give them the same sentence in full words, as the key explains.",
        ),
        reason="In full words the mail reads: {output}",
        make=_maker(
            OFFICE,
            (
                "{person} asked for the {term} twice on {day} but nobody in the team had an answer.",
                "Before we talk to {person}, the {term} has to be checked by two people.",
                "The {term} from {person} came on {day} and was longer than we thought.",
                "On {day} {person} will explain the {term} to everyone who has just joined.",
            ),
            {"person": PEOPLE, "day": ("Monday", "Tuesday", "Thursday", "Friday")},
            "{term} = {meaning}\n{text}",
        ),
        entities=_words(OFFICE),
    ),
    TaskSpec(
        name="sailing_term_plain",
        domain="Sailing",
        wordings=(
            "Make the sailor's sentence understandable on land.",
            "Use the note to swap the sailing word for plain words; leave the rest of the sentence alone.",
            "Put plain words for the sailing word.",
        ),
        reason="With plain words the sentence is: {output}",
        make=_maker(
            SAILING,
            (
                "{person} hurried to the {term} when the {weather} began.",
                "During the {weather}, water came in near the {term} and {person} shouted for help.",
                "Nobody but {person} was allowed to clean the {term} after the {weather}.",
                "The {term} was painted by {person} just before the {weather}.",
            ),
            {"person": PEOPLE, "weather": ("storm", "heavy rain", "regatta", "night watch")},
            "{text}\n({term}: {meaning})",
        ),
        entities=_words(SAILING),
    ),
    TaskSpec(
        name="gaming_slang_for_parents",
        domain="Games",
        wordings=(
            "Help parents understand: say it without the gaming word.",
            "Repeat what the child says, but with the explanation in the place of the slang.",
            "A child talks about a game. Substitute the explained word by its explanation and keep every other word.",
            "Substitute the slang.",
        ),
        reason="A parent would understand this: {output}",
        make=_maker(
            GAMING,
            (
                "Yesterday {person} and I saw a huge {term} in the {place}.",
                "Because of the {term}, {person} lost the round in the {place} again.",
                "{person} says the {term} near the {place} is the best one in the game.",
                "If there is no {term} in the {place}, then {person} will stop playing.",
            ),
            {"person": PEOPLE, "place": ("ice castle", "desert level", "third cave", "pirate town")},
            "Explained: {term} means {meaning}.\nChild: {text}",
        ),
        entities=_words(GAMING),
    ),
    TaskSpec(
        name="court_term_simplification",
        domain="Law",
        wordings=(
            "Replace the legal term by its definition.",
            "A newspaper prints sentences from the court in simple English. Print this one, using the definition that is given.",
            "Simplify: legal word out, definition in.",
        ),
        reason="The definition stands where the term stood: {output}",
        make=_maker(
            LAW,
            (
                "The judge asked {person} about the {term} and then closed the {session}.",
                "During the {session}, {person} spoke of the {term} for almost an hour.",
                "Without the {term}, the lawyer of {person} would have lost the {session}.",
                "The {term} surprised {person} so much that the {session} was stopped.",
            ),
            {"person": PEOPLE, "session": ("hearing", "trial", "morning session", "appeal")},
            "Definition of {term}: {meaning}. Sentence: {text}",
        ),
        entities=_words(LAW),
    ),
    TaskSpec(
        name="cockpit_jargon_rewriting",
        domain="Aviation",
        wordings=(
            "Rewrite the pilot's sentence without its jargon.",
            "Passengers would not grasp this sentence from the cockpit. Let them read it with the jargon explained in place.",
            "What would the pilot's sentence be if the explained expression were written out?",
        ),
        reason="Written out, the pilot says: {output}",
        make=_maker(
            AVIATION,
            (
                "Captain {person} looked at the {term} again before the {move} at {airport}.",
                "At {airport} the {term} worried the crew, and {person} delayed the {move}.",
                "First officer {person} had trouble with the {term} after the {move}.",
                "Not until the {term} was confirmed did {person} begin the {move} at {airport}.",
            ),
            {
                "person": PEOPLE,
                "move": ("take-off", "landing", "descent", "taxiing"),
                "airport": ("Tegel", "Orly", "Gatwick"),
            },
            "{term} stands for {meaning}\nCockpit: {text}",
        ),
        entities=(*_words(AVIATION), *PEOPLE),
    ),
    TaskSpec(
        name="stage_term_replacement",
        domain="Theatre",
        wordings=(
            "Rewrite the theatre sentence with its stage word made plain.",
            "Say the same to someone who never worked backstage.",
            "The hint tells what the stage word is. Let the sentence use the hint's words.",
        ),
        reason="Someone from outside the house would read: {output}",
        make=_maker(
            THEATRE,
            (
                "Shortly before the {event}, {person} had words with the director over the {term}.",
                "Every evening {person} goes to see about the {term} first.",
                "The {term} cost the company more than the whole {event}, says {person}.",
                "For the {event} a second {term} was arranged by {person}.",
            ),
            {"person": PEOPLE, "event": ("premiere", "matinee", "dress rehearsal", "guest night", "gala")},
            "{text} [hint: {term} = {meaning}]",
        ),
        entities=(*_words(THEATRE), *PEOPLE),
    ),
)
