"""All template files of promptsource."""

from __future__ import annotations

import tarfile

import pytest

from instune.pools.promptsource import compiled, parse_templates, wording
from tests.pools.published import DATA

ARCHIVE = DATA / "promptsource_templates/templates.tar.gz"


@pytest.mark.skipif(not ARCHIVE.is_file(), reason=f"{ARCHIVE} is absent")
def test_every_published_template_is_parsed_and_compiled():
    names, templates = [], []
    with tarfile.open(ARCHIVE) as archive:
        for member in archive:
            if member.name.endswith("/templates.yaml"):
                name, found = parse_templates(archive.extractfile(member).read())
                names.append(name)
                templates += found
    assert (len(names), len(set(names)), len(templates)) == (279, 279, 2085)
    for template in templates:
        compiled(template.jinja)
        compiled(template.answer_choices or "")
    assert sum(not wording(template) for template in templates) == 0
