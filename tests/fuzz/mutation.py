"""Damage of bytes, texts and JSON. All of it follows from a `Random`, so a seed repeats it."""

from __future__ import annotations

from random import Random
from typing import Any, Final

_WORDS: Final = (
    b"\xff" * 4, bytes(4), b"\xfe\xff\x00\xe0", b"\xfe\xff\x0d\xe0", b"\xfe\xff\xdd\xe0", b"UN\0\0", b"SQ\0\0", b"ob",
    b"\r\n", b"--", b"\x00", b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd", b"\x80\0\0\0", b"\xff\xff\xff\x7f",
)  # fmt: skip
_TEXTS: Final = (
    "", " ", "*", "?", "%", "%00", "\x00", "\\", "/", "..", "../../etc/passwd", "%2F", "%2e%2e", "-", "-1", "0", "00",
    "1", "2147483648", "99999999999999999999", "1e9", "NaN", "Infinity", "null", "true", "[]", "{}", "'", '"', "<", ">",
    "\r\nX-Injected: 1", "\x1c", "\x1e", "\x85", "\u2003",
    "é", "\u202e", "\U0001f600", "\ud7ff", "Jane^Doe", "20240101", "20240101-", "-20240101",
    "20241301", "1.2.3", "1.2.840.10008.1.2.1", "2.25.1", "a" * 65, "1." * 40, "00100020", "PatientID", "all", ",",
    ";", "=", "a=b;q=0", "q=1.0001", "bytes=0-", "bytes=-1", "bytes=9-1", "${jndi:x}", "{{7*7}}", "' OR 1=1--",
)  # fmt: skip
"""Texts that parsers often read wrongly."""


def text(random: Random) -> str:
    """Return a text: one that is often read wrongly, or random characters."""
    if random.random() < 0.8:
        return random.choice(_TEXTS)
    return "".join(
        chr(random.choice((random.randrange(128), random.randrange(0xD800)))) for _ in range(random.randrange(20))
    )


def mutated_text(random: Random, valid: str) -> str:
    """Return a text with a part replaced, removed, doubled or added."""
    at = random.randrange(len(valid) + 1)
    end = min(len(valid), at + random.randrange(4))
    kind = random.randrange(5)
    if kind == 0:
        return valid[:at] + text(random) + valid[end:]
    if kind == 1:
        return valid[:at] + valid[end:]
    if kind == 2:
        return valid[:at] + valid[at:end] * random.choice((2, 3, 50)) + valid[end:]
    return text(random) if kind == 3 else valid + text(random)


def mutated_bytes(random: Random, valid: bytes) -> bytes:
    """Return bytes with some of them inverted, overwritten, removed, doubled or added, most of them near the start."""
    data = bytearray(valid)
    for _ in range(random.randint(1, 5)):
        if not data:
            return bytes(data)
        at = random.randrange(min(len(data), random.choice((200, 1000, 1 << 20))))
        kind = random.randrange(5)
        if kind == 0:
            data[at] ^= 1 << random.randrange(8)
        elif kind == 1:
            word = random.choice(_WORDS)
            data[at : at + len(word)] = word
        elif kind == 2:
            del data[at : at + random.randint(1, 8)]
        elif kind == 3:
            data[at:at] = data[at : at + random.randint(1, 64)]
        else:
            data[at:at] = random.randbytes(random.randint(1, 8))
    if random.random() < 0.1:
        del data[random.randrange(len(data) + 1) :]
    return bytes(data)


def mutated_json(random: Random, valid: Any, depth: int = 0) -> Any:
    """Return a JSON value with some member replaced, removed, renamed or nested."""
    if isinstance(valid, dict) and valid and (depth < 6 and random.random() < 0.85):
        changed = dict(valid)
        name = random.choice(list(changed))
        kind = random.randrange(6)
        if kind == 0:
            del changed[name]
        elif kind == 1:
            changed[mutated_text(random, name)] = changed.pop(name)
        elif kind == 2:
            changed[text(random)] = _value(random)
        else:
            changed[name] = mutated_json(random, changed[name], depth + 1)
        return changed
    if isinstance(valid, list) and valid and random.random() < 0.85:
        changed_list = list(valid)
        at = random.randrange(len(changed_list))
        changed_list[at] = mutated_json(random, changed_list[at], depth + 1)
        if random.random() < 0.2:
            changed_list += changed_list * random.choice((1, 3, 100))
        return changed_list
    if isinstance(valid, str) and random.random() < 0.6:
        return mutated_text(random, valid)
    return _value(random)


def _value(random: Random) -> Any:
    kind = random.randrange(8)
    if kind == 0:
        return text(random)
    if kind == 1:
        return random.choice((0, -1, 1, 1 << 31, 1 << 63, 1 << 70, 1.5, 1e308, -0.0))
    if kind == 2:
        return random.choice((None, True, False))
    if kind == 3:
        return [_value(random) for _ in range(random.randrange(3))]
    if kind == 4:
        return {text(random): _value(random) for _ in range(random.randrange(3))}
    if kind == 5:
        nested: Any = text(random)
        for _ in range(random.choice((2, 20, 200))):
            nested = [nested] if random.random() < 0.5 else {"vr": "SQ", "Value": [nested]}
        return nested
    return text(random)
