"""The tokens of a JSON text that comes in chunks. A text of any size needs the memory of one chunk or one token."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterable, Iterator
from typing import Any, Final

import orjson

_TOKEN: Final = re.compile(rb'\s*+("(?:[^"\\]++|\\.)*+"|[][{}:,]|[^][{}:,"\s]++)', re.DOTALL)
_PUNCTUATION: Final = frozenset(b'"{}[]:,')
_DEEPER: Final = frozenset((b"{", b"["))
_HIGHER: Final = frozenset((b"}", b"]"))


def tokens(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the tokens of a valid JSON text: strings with their quotes, numbers, words, and `{ } [ ] : ,`."""
    kept: list[bytes] = []
    size = needed = 0
    for chunk in chunks:
        kept.append(chunk)
        size += len(chunk)
        if size < needed:
            continue
        rest = yield from _complete(b"".join(kept), is_last=False)
        kept, size = [rest], len(rest)
        needed = 2 * size  # a long string is searched for its end a few times, and not with each chunk
    yield from _complete(b"".join(kept), is_last=True)


def value(given: Iterator[bytes], first: bytes) -> Any:
    """Return the value that begins with the token `first`. Its other tokens are taken from `given`."""
    found, depth = [first], 0
    token = first
    while True:
        depth += (token in _DEEPER) - (token in _HIGHER)
        if not depth:
            return orjson.loads(b"".join(found))
        token = next(given)
        found.append(token)


def _complete(text: bytes, *, is_last: bool) -> Generator[bytes, None, bytes]:
    """Yield the tokens that are complete, and return the rest. A number at the end may continue in the next chunk."""
    at = 0
    while match := _TOKEN.match(text, at):
        token = match[1]
        if match.end() == len(text) and not is_last and token[0] not in _PUNCTUATION:
            break
        yield token
        at = match.end()
    return text[at:]
