"""Seeded damage to bytes, tables and JSON."""

from __future__ import annotations

import copy
import json
from typing import Any

import numpy as np

WORDS = (
    "", "0", "-1", "nan", "inf", "1e309", "-0.0", "99999999999999999999", "1_0", "0x10", "../up", "/etc/passwd",
    "a/../../b", "con", "x" * 300, "\x00", "\x1b[2J", "\n", "\u202e", "'", '"', ";", ",", "$\\frac{", "=1+1", "None",
    "true", "[]", "{}", "2026-01-01 00:00:00", "12:00", "1,5", "video.mp4", "http://127.0.0.1:1/x.mp4",
)  # fmt: skip
NUMBERS = (0, 1, -1, 2**31 - 1, 2**32 - 1, 2**63 - 1, 10**12, 1e300, 0.5, 1000)
VALUES: tuple[Any, ...] = (*NUMBERS, None, True, "", "x", "../x", "a" * 5000, [], {}, [[]], [0], {"a": 1}, float("nan"))


def mutate_bytes(data: bytes, rng: np.random.Generator, other: bytes = b"") -> bytes:
    """Some changes, most of them near the begin and the end, where headers are.

    Args:
        data: Of a file.
        rng: Of the case.
        other: Of another file, pieces of which are spliced in.
    """
    out = bytearray(data)
    for _ in range(int(rng.integers(1, 6))):
        if not out:
            break
        span = len(out) if rng.random() < 0.3 else min(len(out), 4096)
        at = int(rng.integers(span)) if rng.random() < 0.8 else len(out) - 1 - int(rng.integers(min(len(out), 2048)))
        kind = int(rng.integers(7))
        if kind == 0:
            out[at] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            width = int(rng.choice([1, 2, 4, 8]))
            value = int(rng.choice([0, 1, 2**31 - 1, 2**32 - 1, 2**40, 255])) % (1 << (8 * width))
            out[at : at + width] = value.to_bytes(width, "big" if rng.random() < 0.5 else "little")
        elif kind == 2:
            out[at : at + int(rng.integers(1, 64))] = b""
        elif kind == 3:
            out[at:at] = rng.bytes(int(rng.integers(1, 64)))
        elif kind == 4:
            del out[at + 1 :]
        elif kind == 5 and other:
            begin = int(rng.integers(len(other)))
            out[at : at + 256] = other[begin : begin + int(rng.integers(1, 512))]
        else:
            n = int(rng.integers(1, 512))
            out[at:at] = out[at : at + n]
    return bytes(out)


def mutate_table(text: str, rng: np.random.Generator) -> bytes:
    """Cells, lines, separators and encodings of a table."""
    lines = [line.split(",") for line in text.splitlines()]
    for _ in range(int(rng.integers(1, 4))):
        i = int(rng.integers(len(lines)))
        j = int(rng.integers(len(lines[i]))) if lines[i] else 0
        kind = int(rng.integers(9))
        if kind <= 1 and lines[i]:
            lines[i][j] = str(rng.choice(WORDS))
        elif kind <= 4 and lines[i]:  # a cell of the same column, or a digit more
            other = lines[int(rng.integers(len(lines)))]
            lines[i][j] = other[j] if j < len(other) and kind < 4 else lines[i][j] + "1"
        elif kind == 5:
            lines.insert(i, list(lines[int(rng.integers(len(lines)))]))
        elif kind == 6 and len(lines) > 1:
            del lines[i]
        elif kind == 7 and lines[i]:
            for line in lines:
                line.insert(min(j, len(line)), str(rng.choice(WORDS)))
    separator = str(rng.choice([",", ",", ",", ",", ",", ";", "\t", " "]))
    out = "\n".join(separator.join(line) for line in lines)
    if rng.random() < 0.1:
        out = "".join(f"# line {k}\n" for k in range(int(rng.integers(1, 20)))) + out
    data = out.encode(str(rng.choice(["utf-8", "utf-8", "utf-8", "utf-8", "utf-16", "utf-8-sig"])), "surrogatepass")
    return mutate_bytes(data, rng) if rng.random() < 0.2 else data


def mutate_json(content: Any, rng: np.random.Generator) -> bytes:
    """Values of a JSON file, anywhere in it."""
    content = copy.deepcopy(content)
    for _ in range(int(rng.integers(1, 4))):
        place = content
        while True:
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            if not keys:
                break
            key = keys[int(rng.integers(len(keys)))]
            inner = place[key]
            if isinstance(inner, dict | list) and inner and rng.random() < 0.85:
                place = inner
                continue
            if rng.random() < 0.15:
                del place[key]
            else:
                place[key] = copy.deepcopy(VALUES[int(rng.integers(len(VALUES)))])
            break
    data = json.dumps(content).encode()
    return mutate_bytes(data, rng) if rng.random() < 0.15 else data
