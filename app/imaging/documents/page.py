"""HTML pages with text of strangers: every text is escaped, the length is bounded, one style sheet is allowed."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from typing import Final

MAX_PAGE: Final = 16 << 20
"""The largest size of a page in characters. It bounds memory."""

STYLE: Final = """
:root{color-scheme:light dark;--ink:#1c2430;--soft:#5b6675;--line:#d8dee6;--paper:#fff;--band:#f3f6f9;--link:#1659b5}
@media(prefers-color-scheme:dark){
  :root{--ink:#e4e9f0;--soft:#9aa7b8;--line:#3a4554;--paper:#161b22;--band:#1f2630;--link:#7db4ff}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.5 system-ui,"Segoe UI",Roboto,sans-serif}
main{max-width:60rem;margin:0 auto;padding:1.5rem;overflow-wrap:anywhere}
h1{margin:0 0 .5rem;font-size:1.7rem;line-height:1.2}
h2,h3,h4,h5,h6{margin:1.4rem 0 .4rem;line-height:1.3}
h2{font-size:1.3rem;border-bottom:1px solid var(--line);padding-bottom:.2rem}
h3{font-size:1.1rem}
h4,h5,h6{font-size:1rem}
a{color:var(--link)}
.facts{display:grid;grid-template-columns:max-content 1fr;gap:.1rem 1rem;margin:1rem 0;
  padding:.8rem 1rem;background:var(--band);border-radius:.5rem}
.facts dt{color:var(--soft)}
.facts dd{margin:0}
.flag{display:inline-block;margin:0 .4rem .4rem 0;padding:.1rem .6rem;border:1px solid var(--line);
  border-radius:1rem;font-size:.85rem}
.item{margin:.35rem 0}
.nested{margin:.2rem 0 .4rem .3rem;padding-left:.9rem;border-left:2px solid var(--line)}
.name{font-weight:600}
.value{white-space:pre-wrap}
.note{color:var(--soft);font-size:.85rem}
.warning{margin:1rem 0;padding:.6rem 1rem;border:1px solid currentColor;border-radius:.5rem}
table{border-collapse:collapse;margin:.4rem 0}
th,td{border:1px solid var(--line);padding:.2rem .6rem;text-align:left;vertical-align:top}
:target{background:var(--band)}
@media print{main{max-width:none;padding:0}}
"""

STYLE_HASH: Final = "sha256-" + base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
"""The hash of the style sheet, for a Content Security Policy that allows no other style (CSP Level 3 §6.7.2.3)."""

_CONTROL: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")
"""Characters that no HTML document may have."""


def text(value: str) -> str:
    """Return text in which no character means anything to HTML, in an element or in an attribute in quotes."""
    return escape(_CONTROL.sub("\ufffd", value.replace("\r\n", "\n").replace("\r", "\n")))


class Page:
    """An HTML page that is written from its begin to its end. Methods take text, `raw` takes HTML."""

    def __init__(self, title: str) -> None:
        self._pieces: list[str] = []
        self._length = 0
        self.raw(
            f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
            f'<meta name="viewport" content="width=device-width"><title>{text(title)}</title>'
            f"<style>{STYLE}</style></head>\n<body><main>\n"
        )

    @property
    def is_full(self) -> bool:
        """Whether the page has reached its largest size. What follows should be left out."""
        return self._length > MAX_PAGE

    def raw(self, html: str) -> None:
        """Append HTML whose texts are escaped."""
        self._pieces.append(html)
        self._length += len(html)

    @contextmanager
    def inside(self, tag: str, attributes: str = "") -> Iterator[None]:
        """Write an element around what is written meanwhile. `attributes` is HTML."""
        self.raw(f"<{tag}{' ' if attributes else ''}{attributes}>")
        yield
        self.raw(f"</{tag}>\n")

    def element(self, tag: str, value: str, name: str = "") -> None:
        """Write an element with a text. `name` is its class."""
        attribute = f' class="{name}"' if name else ""
        self.raw(f"<{tag}{attribute}>{text(value)}</{tag}>\n")

    def facts(self, rows: list[tuple[str, str]]) -> None:
        """Write names and values below each other, without those that have no value."""
        with self.inside("dl", 'class="facts"'):
            for name, value in rows:
                if value:
                    self.raw(f"<dt>{text(name)}</dt><dd>{text(value)}</dd>\n")

    def finished(self) -> bytes:
        """Return the whole page in UTF-8."""
        return ("".join(self._pieces) + "</main></body></html>\n").encode()
