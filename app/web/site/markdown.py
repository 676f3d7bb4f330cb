"""Makes HTML of the documents in `app/docs` (CommonMark with tables)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache, lru_cache
from importlib import resources
from itertools import pairwise
from typing import Any, Final, NamedTuple

from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup

DOCUMENTS: Final = ("conformance", "security", "operations", "glossary")
"""The names of the documents, in the order of the list."""

_STATEMENT: Final = "conformance"
_CONTENTS: Final = "Contents"
"""The section of the statement that the page shows beside the text."""
_SECTION: Final = re.compile(r"(?:(?:PS3\.\d+|RFC \d+)(?:[ ,]+(?:and )?§[\w.]+)+)|§(\d+(?:\.\d+)?)\b")
"""A section of a standard, or, in the group, of the statement."""
_NUMBERED: Final = re.compile(r"(\d+(?:\.\d+)?) ")


class Heading(NamedTuple):
    """A heading: its level (2 to 4), its text, and the id of its element."""

    level: int
    text: str
    anchor: str


class Document(NamedTuple):
    """A document as a page shows it. `body` has no element for `title`. `summary` is its first sentence."""

    title: str
    summary: str
    headings: tuple[Heading, ...]
    body: Markup


@cache
def document(name: str) -> Document:
    """Return a document of `DOCUMENTS`. It is made once in a process."""
    tokens = _without_contents(_reader().parse(_text(name)))
    headings = tuple(_marked_headings(tokens))
    targets = _sections() if name != _STATEMENT else {_number(each): f"#{each.anchor}" for each in headings}
    title = next(each.content for each in tokens if each.type == "inline")
    for token in tokens:
        if token.type == "inline":
            token.children = list(_linked(token.children or [], targets))
    summary = next((each.content for each in tokens[3:] if each.type == "inline"), "")
    return Document(title, _plain(summary), headings, _html(tokens[3:]))


@lru_cache(maxsize=2048)
def line(text: str) -> Markup:
    """Return a line of text with its code in `code` elements, and with links to the sections of the statement.

    The reference of the API has some hundred lines, and everyone may ask for it. So each is made once.
    """
    tokens = _reader().parseInline(text)
    for token in tokens:
        token.children = list(_linked(token.children or [], _sections()))
    return _html(tokens)


@cache
def _sections() -> dict[str, str]:
    """Return the URLs of the sections of the statement by their numbers."""
    return {_number(each): f"{_STATEMENT}#{each.anchor}" for each in document(_STATEMENT).headings}


def _plain(text: str) -> str:
    """Return the first sentence of a paragraph, without marks and links."""
    plain = " ".join(re.sub(r"\[([^\]]*)\]\([^)]*\)|`([^`]*)`", r"\1\2", text).split())
    return re.match(r".*?[.](?= [A-Z]|$)|.*", plain)[0]  # type: ignore[index]  # it always matches


def _text(name: str) -> str:
    return resources.files("app").joinpath("docs", f"{name}.md").read_text(encoding="utf-8")


@cache
def _reader() -> MarkdownIt:
    reader = MarkdownIt("commonmark", {"html": False}).enable("table")
    reader.add_render_rule("table_open", lambda *_: '<div class="table-wrap" tabindex="0"><table class="table">')
    reader.add_render_rule("table_close", lambda *_: "</table></div>")
    reader.add_render_rule("fence", _fence)
    return reader


def _fence(renderer: Any, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
    return str(Markup('<pre tabindex="0"><code>{}</code></pre>\n').format(tokens[index].content))


def _html(tokens: Sequence[Token]) -> Markup:
    for token, content in zip(tokens, [*tokens[1:], None], strict=True):
        if token.type == "th_open" and content is not None and not content.content:
            token.type = "td_open"  # a heading without a text is none
        if token.type in ("th_open", "td_open"):
            aligned = str(token.attrs.pop("style", ""))  # the policy of pages forbids inline styles
            token.attrs |= {"class": "number"} if "right" in aligned else {}
            token.attrs |= {"scope": "col"} if token.type == "th_open" else {}
    reader = _reader()
    return Markup(reader.renderer.render(tokens, reader.options, {}))  # noqa: S704  # `html` is off, so texts are escaped


def _without_contents(tokens: list[Token]) -> list[Token]:
    """Return the tokens without the section that lists the sections."""
    kept, is_left_out = [], False
    for token, following in zip(tokens, [*tokens[1:], tokens[-1]], strict=True):
        if token.type == "heading_open":
            is_left_out = following.content == _CONTENTS
        if not is_left_out:
            kept.append(token)
    return kept


def _marked_headings(tokens: Sequence[Token]) -> Iterator[Heading]:
    """Yield the headings below the title, and give each an id as the links of the documents spell it."""
    used: set[str] = set()
    for token, content in pairwise(tokens):
        if token.type != "heading_open" or token.tag == "h1":
            continue
        anchor = re.sub(r"[^\w\- ]", "", content.content).strip().lower().replace(" ", "-")
        while anchor in used:
            anchor += "-"
        used.add(anchor)
        token.attrs["id"] = anchor
        yield Heading(int(token.tag[1:]), content.content.replace("`", ""), anchor)


def _number(heading: Heading) -> str:
    found = _NUMBERED.match(heading.text)
    return found[1] if found else heading.anchor


def _linked(tokens: Sequence[Token], targets: dict[str, str]) -> Iterator[Token]:
    """Yield the tokens of a line. `§4.2` becomes a link, and a link to a file the link to its page.

    A link to a file without a page becomes its text.
    """
    inside: list[bool] = []
    before = ""
    for token in tokens:
        if token.type == "link_open":
            address = _page_of(str(token.attrs["href"]))
            inside.append(address is not None)
            if address is not None:
                token.attrs["href"] = address
                yield token
        elif token.type == "link_close":
            if inside.pop():
                yield token
        elif token.type == "text" and not inside:
            yield from _with_sections(token.content, before, targets)
        else:
            yield token
        before = token.content or " "


def _page_of(address: str) -> str | None:
    """Return the address of a link in a page, None if what it leads to has no page."""
    path, _, anchor = address.partition("#")
    if not path or "://" in path:
        return address
    name = path.removesuffix(".md")
    return name + (f"#{anchor}" if anchor else "") if name in DOCUMENTS else None


def _with_sections(text: str, before: str, targets: dict[str, str]) -> Iterator[Token]:
    """Yield a text with links for the sections of the statement. `before` is the text of the line before."""
    place = 0
    for found in _SECTION.finditer(text):
        is_of_a_standard = not found[1] or re.search(r"(?:PS3\.\d+|RFC \d+)[ ,]*$", before + text[: found.start()])
        if is_of_a_standard or found[1] not in targets:
            continue
        yield Token("text", "", 0, content=text[place : found.start()])
        yield Token("link_open", "a", 1, attrs={"href": targets[found[1]]})
        yield Token("text", "", 0, content=found[0])
        yield Token("link_close", "a", -1)
        place = found.end()
    yield Token("text", "", 0, content=text[place:])
