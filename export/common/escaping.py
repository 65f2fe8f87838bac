"""Untrusted text, escaped for whatever reads it next.

Names of networks, artifacts, classes, images and files come from other people. Whoever writes
one of them into a document takes the function of that document here, once, at the place of
writing; texts are kept as they are everywhere else.
"""

import re

_UNSEEN = re.compile(
    "[\x00-\x1f\x7f-\x9f"  # C0, DEL, C1: escape sequences, bells, line ends
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # change the direction of what follows
    "\u2028\u2029\ufeff\ufffe\uffff\ud800-\udfff]"  # line ends, byte order mark, undecodable bytes
)
_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_MARKUP = re.compile(r"[\\`*\[\]~$|]|(?<![^\W_])_|_(?![^\W_])|#(?=#*$)")
"""What has a meaning in GitHub's Markdown.

"_" inside a word has none, "$" opens a formula, a last "#" ends a heading.
"""
_REFERENCE = re.compile(
    r"(?<=(?<![^\W_])@)(?=\w)"  # a mention
    r"|(?<=@)(?=[\w-]*\.\w)"  # an address
    r"|(?<=\#)(?=\d)|(?<=GH-)(?=\d)"  # an issue
    r"|(?<=:)(?=//)|(?<=www)(?=\.)"  # a link
    r"|(?<=:)(?=[+-]1:|[\w-]*[^\W\d][\w-]*:)",  # an emoji
    re.IGNORECASE,
)
_BREAK = "<!-- -->"
"""Shown as nothing, and parts the text that GitHub looks for references in.

A backslash does not help there: GitHub searches what Markdown has already been turned into.
"""
_BLOCK = re.compile(r"^(\d*)([+#=.)-](?!\w)|>)")
"""What begins a heading, list, quotation or rule, and so not a text such as -0.16."""
_CODE = re.compile(r"[^`\\\s](?:[^`\\]*[^`\\\s])?")


class Markdown(str):
    """Text that is Markdown already, not to be escaped again."""

    __slots__ = ()


def visible(text: str, keep: str = "") -> str:
    r"""Return one line in which control characters are written out, such as `\n` or `\x1b`.

    So are characters that change the direction of text, and bytes of file names that are no
    text. Those in `keep` stay as they are.
    """
    return _UNSEEN.sub(lambda match: match[0] if match[0] in keep else _written(match[0]), text)


def terminal(text: str) -> str:
    r"""Return `visible` text that is no command to a CI server whose log it is printed to, either.

    actions/runner takes `##[name]text` anywhere in a line for one (ActionCommand.TryParse), Azure
    Pipelines `##vso[`; both `::name::` only where a line begins.
    """
    shown = re.sub(r"##(?=\[|vso\[)", r"#\\x23", visible(text), flags=re.IGNORECASE)
    return re.sub(r"^(\s*):(?=:)", r"\1\\x3a", shown)


def terminal_lines(text: str) -> str:
    r"""Return `terminal` of every line; for texts of several lines that Segport laid out."""
    return "\n".join(map(terminal, text.split("\n")))


def markdown(text: str) -> Markdown:
    """Return GitHub-flavoured Markdown that shows `text` as it is, in one line.

    Nothing in it formats, links, mentions somebody or refers to an issue. Wherever a paragraph,
    list item, heading or table cell may have text.
    """
    return Markdown(_BLOCK.sub(r"\1\\\2", markdown_inline(text.strip(" "))))


def markdown_inline(text: str) -> Markdown:
    """Return the same for a place that is no line's beginning: a table's cell, a heading."""
    parts = _REFERENCE.split(visible(text))
    escaped = (_MARKUP.sub(r"\\\g<0>", _no_html(part)) for part in parts)
    return Markdown(_BREAK.join(escaped))


def markdown_code(text: str) -> Markdown:
    """Return `text` as code of GitHub-flavoured Markdown, in one line.

    Backticks cannot hold every text inside a table, so that odd ones become a `<code>` element.
    """
    shown = visible(text)
    if _CODE.fullmatch(shown):
        return Markdown(f"`{shown}`")
    return Markdown(f"<code>{_BREAK.join(map(_entities, _REFERENCE.split(shown)))}</code>")


def xml(text: str) -> str:
    """Return `text` without characters that XML cannot hold; a serializer escapes the others."""
    return _NO_XML.sub("", text)


def workflow_data(text: str) -> str:
    """Escape the message of a workflow command, as actions/toolkit's escapeData does.

    Line ends stay line ends, other control characters are written out.
    """
    shown = visible(text, keep="\r\n")
    return shown.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def workflow_property(text: str) -> str:
    """Escape a property of a workflow command, as actions/toolkit's escapeProperty does."""
    return workflow_data(text).replace(":", "%3A").replace(",", "%2C")


def shortened(text: str, length: int) -> str:
    """Return `text`, or its beginning and end around an ellipsis; at most `length` characters."""
    if len(text) <= length:
        return text
    tail = (length - 3) // 3
    return f"{text[: length - 3 - tail]}...{text[len(text) - tail :]}"


def _written(character: str) -> str:
    return ascii(character)[1:-1]


def _no_html(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;")


def _entities(text: str) -> str:
    return re.sub(r"[^\w\s.,/-]|_", lambda match: f"&#{ord(match[0])};", text)
