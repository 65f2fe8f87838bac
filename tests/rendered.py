"""What a reader of Markdown gets to see: GitHub's renderer, cmark-gfm, and its later filters."""

import re
from html.parser import HTMLParser

import cmarkgfm
from cmarkgfm.cmark import Options

# what GitHub looks for in the text that Markdown was turned into (html-pipeline's filters)
_REFERENCES = (
    r"(?:^|\W)@[a-z0-9]",
    r"(?:^|\W)#\d",
    r"\bGH-\d",
    r":[a-z0-9+_-]*[a-z+][a-z0-9+_-]*:",
    r"\w@[\w-]+\.\w",
    r"://|\bwww\.",
)


class Rendered(HTMLParser):
    """Tags in order, the text, and what GitHub would make a reference of."""

    def __init__(self, markdown: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.references: list[str] = []
        self._node = ""
        self._code = 0
        self.html = cmarkgfm.github_flavored_markdown_to_html(markdown, Options.CMARK_OPT_UNSAFE)
        self.feed(self.html)
        self.close()
        self._end_node()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self._end_node()
        self.tags.append(tag)
        self.attributes += attributes
        self._code += tag == "code"

    def handle_endtag(self, tag: str) -> None:
        self._end_node()
        self._code -= tag == "code"

    def handle_comment(self, data: str) -> None:
        self._end_node()

    def handle_data(self, data: str) -> None:
        self.text += data
        self._node += data

    def _end_node(self) -> None:
        """GitHub searches one text node at a time, and none inside code."""
        if not self._code:
            for pattern in _REFERENCES:
                self.references += re.findall(pattern, self._node, re.IGNORECASE)
        self._node = ""
