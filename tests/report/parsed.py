"""A page as its parts, for tests."""

from __future__ import annotations

from html.parser import HTMLParser

VOID = {"meta", "br", "hr", "img", "input", "link", "path", "use", "rect"}


class Page(HTMLParser):
    """Collects headings, links, ids, cells of tables, and checks that every element is closed."""

    def __init__(self, text):
        super().__init__()
        self.open, self.levels, self.addresses, self.ids, self.tags, self.rows = [], [], [], [], set(), []
        self.texts, self.scripts, self.attributes = [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        if tag not in VOID:
            self.open.append(tag)
        if len(tag) == 2 and tag[0] == "h" and tag[1].isdigit():
            self.levels.append(int(tag[1]))
        if tag == "tr":
            self.rows.append([])
        if tag == "script":
            self.scripts.append("")
        for name, value in attrs:
            self.attributes.append((tag, name, value))
            if name in ("src", "href", "xlink:href", "action", "data", "srcset"):
                self.addresses.append(value)
            if name == "id":
                self.ids.append(value)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "script":
            self.scripts[-1] += data
            return
        data = data.replace("\u00a0", " ")
        self.texts.append(data.strip())
        if self.open and self.open[-1] in ("th", "td"):
            self.rows[-1].append(data)
