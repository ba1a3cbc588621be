"""Contrast by WCAG 2.1 (relative luminance), from the colours of the stylesheet itself."""

import re

import pytest

from instune.report.mask import HUES
from instune.report.page import TEMPLATES

STYLE = (TEMPLATES / "style.css").read_text(encoding="utf-8")


def colour(code):
    code = code.removeprefix("#")
    code = "".join(2 * digit for digit in code) if len(code) == 3 else code
    return tuple(int(code[place : place + 2], 16) / 255 for place in (0, 2, 4))


def mixed(share, first, second):
    """CSS color-mix in srgb."""
    return tuple(share * one + (1 - share) * other for one, other in zip(first, second, strict=True))


def luminance(rgb):
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in rgb]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(first, second):
    dark, light = sorted((luminance(first), luminance(second)))
    return (light + 0.05) / (dark + 0.05)


def schemes():
    """Light, dark and print: name -> colour; the later ones change the first."""
    blocks = re.findall(r":root \{([^}]*)\}", STYLE)
    read = [{name: colour(code) for name, code in re.findall(r"--([\w-]+): (#\w+)", block)} for block in blocks]
    light = read[0] | read[1]
    return {"light": light, "dark": light | read[2], "print": light | read[3]}


SCHEMES = schemes()
TEXT = [(text, ground) for text in ("ink", "muted", "accent", "second") for ground in ("paper", "panel")]


def test_the_measure_is_that_of_the_standard():
    assert contrast(colour("#000"), colour("#fff")) == pytest.approx(21)
    assert contrast(colour("#777777"), colour("#ffffff")) == pytest.approx(4.48, abs=0.005)
    assert SCHEMES["dark"]["paper"] == colour("#14171b")
    assert SCHEMES["print"]["ink"] == colour("#000")


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize(("text", "ground"), TEXT)
def test_text_stands_out_from_its_ground(scheme, text, ground):
    assert contrast(SCHEMES[scheme][text], SCHEMES[scheme][ground]) >= 4.5


@pytest.mark.parametrize("scheme", SCHEMES)
def test_numbers_in_the_darkest_cell_of_the_table_of_scores_can_be_read(scheme):
    colours = SCHEMES[scheme]
    assert contrast(colours["ink"], mixed(0.45, colours["accent"], colours["panel"])) >= 4.5


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("segment", HUES)
def test_tokens_of_every_segment_can_be_read_with_and_without_loss(scheme, segment):
    colours = SCHEMES[scheme]
    for share in (0.12, 0.38):
        assert contrast(colours["ink"], mixed(share, colour(HUES[segment]), colours["paper"])) >= 4.5


@pytest.mark.parametrize("scheme", SCHEMES)
def test_signs_of_the_map_and_borders_of_controls_stand_out(scheme):
    colours = SCHEMES[scheme]
    signs = [name for name in colours if name.startswith("category-")]
    assert len(signs) == 10
    for name in ("grey", "muted", *signs):
        assert contrast(colours[name], colours["paper"]) >= 3, name
