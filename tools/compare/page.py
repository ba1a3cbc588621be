"""The comparison as one HTML page without any request, everything from the data escaped."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from instune.report.numbers import sentence


def render(shown: Mapping[str, Any]) -> str:
    """The whole page as text; equal comparisons give equal text."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["sentence"] = sentence
    return environment.get_template("page.html.j2").render(**shown)
