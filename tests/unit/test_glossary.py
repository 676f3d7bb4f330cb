"""The glossary explains words that the code uses, each once, in alphabetical order."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

APP: Final = Path(__file__).parents[2] / "app"

ROWS: Final = re.findall(r"^\| (.+?) \| (.+?) \| (.+?) \|$", (APP / "docs" / "glossary.md").read_text(), re.MULTILINE)[
    1:
]
WORDS: Final = [word for word, _, _ in ROWS]
SOURCE: Final = "\n".join(path.read_text() for path in sorted(APP.rglob("*.py"))).lower()


def test_words_are_in_alphabetical_order_and_occur_once() -> None:
    assert len(WORDS) > 50
    assert sorted(set(WORDS), key=str.lower) == WORDS


@pytest.mark.parametrize("word", WORDS)
def test_the_code_uses_the_word(word: str) -> None:
    """A word may be written with blanks, hyphens or underscores, or in one (`IndexWriter`)."""
    assert re.search(r"[\s_-]*".join(map(re.escape, word.lower().split())).replace(r"\-", r"[\s_-]*"), SOURCE), word
