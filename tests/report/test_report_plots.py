from html.parser import HTMLParser

from instune.report.plots import ACCENT, INK, PAGE_COLOURS, Dot, curve_plot, dot_plot


class Texts(HTMLParser):
    def __init__(self):
        super().__init__()
        self.ids, self.texts, self.references = [], [], []

    def handle_starttag(self, tag, attrs):
        for name, value in attrs:
            if name == "id":
                self.ids.append(value)
            if name == "xlink:href":
                self.references.append(value[1:])
            if name == "clip-path":
                self.references.append(value.removeprefix("url(#").removesuffix(")"))

    def handle_data(self, data):
        self.texts.append(data.strip())


def parse(svg):
    parser = Texts()
    parser.feed(svg)
    return parser


DOTS = [Dot("base", 5.0, 1.0, 9.0, "5.0 [1.0, 9.0]", INK), Dot("<b>tuned</b>", 50.0, None, None, "50.0", ACCENT)]


def test_a_dot_plot_prints_every_label_and_value_and_escapes_them():
    found = parse(dot_plot(DOTS, name="x", title="Exact match"))
    assert {"base", "<b>tuned</b>", "5.0 [1.0, 9.0]", "50.0", "Exact match"} <= set(found.texts)


def test_equal_data_give_equal_bytes_and_no_metadata():
    first, second = (dot_plot(DOTS, name="x", title="Exact match") for _ in range(2))
    assert first == second
    assert "metadata" not in first
    assert "http" not in first


def test_ids_are_prefixed_unique_and_every_reference_finds_its_id():
    curves = {"train": [(0, 3.0), (10, 1.0)], "validation": [(0, 2.0)]}
    for svg in (dot_plot(DOTS, name="one", title="a"), curve_plot(curves, name="one", title="b")):
        found = parse(svg)
        assert len(set(found.ids)) == len(found.ids)
        assert all(name.startswith("one-") for name in found.ids)
        assert found.references
        assert set(found.references) <= set(found.ids)


def test_colours_are_the_pages_own():
    svg = dot_plot(DOTS, name="x", title="Exact match")
    assert not any(stand_in in svg for stand_in in PAGE_COLOURS)
    assert "var(--accent)" in svg
    assert "var(--ink)" in svg


def test_the_figure_is_told_in_words():
    svg = curve_plot({"train": [(0, 3.25), (10, 1.5)]}, name="x", title="Loss")
    assert 'aria-label="Loss: train goes from 3.25 at step 0 to 1.5 at step 10."' in svg
    assert 'role="img"' in svg
