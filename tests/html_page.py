"""The text of an HTML page, whose elements must be closed in their order."""

from html.parser import HTMLParser

EMPTY = {"br", "img", "meta"}


class Page(HTMLParser):
    """The text of a page, whose elements must be closed in their order."""

    def __init__(self, page):
        super().__init__()
        self.text, self.open, self.sources = [], [], []
        self.feed(page)
        assert not self.open

    @property
    def shown(self):
        """The text, with single spaces."""
        return " ".join(" ".join(self.text).split())

    def handle_starttag(self, tag, attrs):
        self.sources += [value for name, value in attrs if name in ("src", "href")]
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style",):
            self.text.append(data)
