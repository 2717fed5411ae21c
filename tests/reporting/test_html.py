"""The summary as HTML holds the same words and fetches nothing."""

from __future__ import annotations

from html.parser import HTMLParser

from synapnet_edge.reporting.html import page

PAGE = "# Top\n\nWords with `a<b` and\n**bold**.\n\n## Part\n\n- one\n- two\n\n"
PAGE += "| a | b & c |\n| --- | --- |\n| 1 | 2 |\n"


class Checked(HTMLParser):
    """Fails on a tag that closes another one; keeps the words and links."""

    def __init__(self, text):
        super().__init__()
        self.open, self.words, self.links = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.links += [value for name, value in attrs if name in ("src", "href")]
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def test_blocks_become_well_formed_html():
    checked = Checked(page(PAGE, "t"))
    assert checked.open == []
    words = "".join(checked.words)
    for piece in ("Top", "a<b", "bold", "one", "b & c"):
        assert piece in words
    assert checked.links == ["#s0"], "only links within the page"


def test_every_row_of_a_table_is_there():
    text = page(PAGE, "t")
    assert text.count("<tr>") == 2 and "<th>b &amp; c</th>" in text and "<td>2</td>" in text
    assert text.count("<li>") == 2 and "<code>a&lt;b</code>" in text and "<strong>bold</strong>" in text
