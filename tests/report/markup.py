"""Pages as a test reads them."""

import re
from html.parser import HTMLParser

VOID = {"meta", "br"}


class Page(HTMLParser):
    """Reads a page: tags that are closed in order, attributes, texts, rows of its tables."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.texts, self.rows, self.wrong = [], [], [], [], []
        self.feed(text)
        self.close()
        assert not self.open, self.open
        assert not self.wrong, self.wrong

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag == "tr":
            self.rows.append([])
        if tag not in VOID and not self.get_starttag_text().endswith("/>"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        if self.open.pop() != tag:
            self.wrong.append((tag, self.getpos()))

    def handle_data(self, data):
        self.texts.append(data)
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1].append(data)

    def of(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def needs_no_other_file(text):
    """Whether by tags, attributes, styles or addresses."""
    read = Page(text)
    assert {tag for tag, _ in read.tags}.isdisjoint({"script", "link", "img", "iframe", "object", "embed"})
    for _, attributes in read.tags:
        assert attributes.keys().isdisjoint({"src", "href", "srcset", "data", "action", "onload"})
    assert not re.search(r"https?:|//|url\(|@import", text)
