"""Sections are strict, numbers arrive as numbers, and every problem is told at once."""

from __future__ import annotations

from typing import Annotated, Literal

import pytest
from pydantic import AfterValidator, PositiveInt

from instune import config
from instune.config import Section
from instune.errors import InputError


class Fit(Section):
    rate: float
    steps: PositiveInt
    mask: Literal["it", "im"] | dict[str, float]


def write(tmp_path, text):
    path = tmp_path / "params.yaml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("text", ["1e-5", "1e-05", "1e-06", "0.00001", "1"])
def test_numbers_as_dvc_writes_them_arrive_as_floats(tmp_path, text):
    path = write(tmp_path, f"fit: {{rate: {text}, steps: 1, mask: it}}")
    assert config.load({"fit": Fit}, path=path)["fit"].rate == float(text)


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("fit: {rate: fast, steps: 1, mask: it}", ["fit.rate", "'fast'"]),
        ("fit: {rate: .nan, steps: 1, mask: it}", ["fit.rate"]),
        ("fit: {rate: 1.0, steps: 0, mask: it}", ["fit.steps", "0", "greater than 0"]),
        ("fit: {rate: 1.0, steps: 1.5, mask: it}", ["fit.steps", "1.5"]),
        ("fit: {rate: 1.0, steps: yes, mask: it}", ["fit.steps", "'yes'"]),
        ("fit: {rate: 1.0, steps: 1, mask: no}", ["fit.mask", "'no'"]),
        ("fit: {rate: 1.0, steps: 1, mask: it, extra: 3}", ["fit.extra", "unknown key"]),
        ("fit: {rate: 1.0, mask: it}", ["fit.steps", "missing"]),
        ("other: {}", ["fit", "section missing"]),
    ],
)
def test_a_wrong_value_is_refused_with_key_and_value(tmp_path, line, names):
    with pytest.raises(InputError) as error:
        config.load({"fit": Fit}, path=write(tmp_path, line))
    assert all(name in str(error.value) for name in names), str(error.value)


def test_all_problems_are_told_at_once(tmp_path):
    with pytest.raises(InputError) as error:
        config.load({"fit": Fit, "seed": int}, path=write(tmp_path, "fit: {rate: fast, steps: 0, mask: it, more: 1}\nseed: one"))
    assert all(key in str(error.value) for key in ("fit.rate", "fit.steps", "fit.more", "seed"))
    assert "4 problem(s)" in str(error.value)


@pytest.mark.parametrize("text", ["a: [", "- a\n- b", "a: 1\na: 2", ""])
def test_what_is_no_mapping_of_sections_is_refused(tmp_path, text):
    with pytest.raises(InputError, match=r"params\.yaml"):
        config.read_params(write(tmp_path, text))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match="not found"):
        config.read_params(tmp_path / "params.yaml")


def named(value: str) -> str:
    raise InputError(f"mask: {value!r} is not allowed. Use it.")


def test_a_check_of_ours_is_told_once_and_in_its_own_words(tmp_path):
    class Own(Section):
        mask: Annotated[str, AfterValidator(named)]

    with pytest.raises(InputError) as error:
        config.load({"fit": Own}, path=write(tmp_path, "fit: {mask: no}"))
    assert str(error.value).splitlines()[1] == "  fit.mask: 'no' is not allowed. Use it."


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xff\xfes\x00", "no UTF-8 text"),
        (b"a: [" * 2000, "nested too deeply"),
        (b"seed: " + b"1" * 5000, "cannot be read"),
        (b"day: 2026-13-45", "cannot be read"),
    ],
)
def test_bytes_that_are_no_parameters_are_told(tmp_path, content, message):
    (tmp_path / "params.yaml").write_bytes(content)
    with pytest.raises(InputError, match=rf"params\.yaml: .*{message}"):
        config.read_params(tmp_path / "params.yaml")


def test_a_folder_or_a_link_to_itself_is_told_and_a_byte_order_mark_is_none_of_the_first_key(tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    for place in (tmp_path, tmp_path / "loop"):
        with pytest.raises(InputError, match="cannot be read"):
            config.read_params(place)
    (tmp_path / "params.yaml").write_bytes(b"\xef\xbb\xbfseed: 1")
    assert config.read_params(tmp_path / "params.yaml") == {"seed": 1}


def test_a_value_that_holds_itself_a_billion_times_and_a_hundred_problems_take_one_screen(tmp_path):
    laughs = "a0: &a0 [ha, ha]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 60))
    path = write(tmp_path, laughs + "fit: {rate: *a59, steps: 1, mask: it}")
    with pytest.raises(InputError, match=r"fit\.rate") as error:
        config.load({"fit": Fit}, path=path)
    assert len(str(error.value)) < 1000
    path = write(tmp_path, "fit: {rate: 1.0, steps: 1, mask: it, " + ", ".join(f"k{n}: 1" for n in range(100)) + "}")
    with pytest.raises(InputError, match=r"100 problem\(s\)[\s\S]*and 80 more"):
        config.load({"fit": Fit}, path=path)
