"""Columns of text files with a header: comma, semicolon or tab, decimal point or comma, UTF-8 or UTF-16."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from mmcl.errors import FileError

SEPARATORS = (",", ";", "\t")
N_LOOKED_AT = 60  # first lines, among which the header is
MOMENT = re.compile(r"\d[\d\-/:.,TZ+ apmAPM]*")  # a date or a time, by its characters
THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+")
MARKS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16", b"\xef\xbb\xbf": "utf-8-sig"}


def read_text_table(path: Path) -> dict[str, np.ndarray]:
    """The columns of a text file, by name and in order.

    Args:
        path: Its first line names the columns; the second line holds the first values.

    Returns:
        float64 where all values are numbers, else strings.

    Raises:
        FileError: Naming the line that is wrong.
    """
    text = _read_text(path)
    try:
        separator, first = _find_header(text)
        lines = _rows(text, separator)
        header = [name.strip() for name in next(islice(lines, first, None), (0, []))[1]]
    except csv.Error as error:
        raise FileError(path, f"is no table ({error})", "repair or save it again") from error
    if not header or all(_is_value(name) for name in header):
        raise FileError(path, "has no header", "name the columns in the first line")
    if first:
        names = ", ".join(header[:4])
        raise FileError(path, f"begins with {first} lines before its header ({names})", "remove these lines")
    if repeated := {name for name in header if header.count(name) > 1}:
        raise FileError(path, f"has two columns '{min(repeated)}'", "name each column once")
    cells: list[list[str]] = []
    numbers: list[int] = []
    try:
        for number, row in lines:
            if len(row) != len(header):
                raise FileError(
                    path, f"line {number} has {len(row)} columns, the header {len(header)}", "repair the line"
                )
            cells.append(row)
            numbers.append(number)
    except csv.Error as error:
        raise FileError(path, f"is no table ({error})", "repair or save it again") from error
    if separator != ",":
        _check_decimal_marks(cells, path)
    return {
        name: _column([row[i].strip() for row in cells], name, numbers, separator, path)
        for i, name in enumerate(header)
    }


def _check_decimal_marks(cells: Sequence[Sequence[str]], path: Path) -> None:
    """Commas and points are not both in a file's numbers, and commas are not those of thousands."""
    commas = {c for row in cells for c in row if "," in c and _is_value(c)}
    if commas and any("." in c and _is_number(c) for row in cells for c in row):
        raise FileError(path, "has numbers with commas and with points", "write decimal points, and no thousands")
    if commas and all(THOUSANDS.fullmatch(c.strip()) for c in commas):
        raise FileError(path, f"has numbers such as {min(commas)}: thousands, or decimals?", "write decimal points")


def _column(cells: Sequence[str], name: str, numbers: Sequence[int], separator: str, path: Path) -> np.ndarray:
    """A column as numbers, or as strings where every cell looks like a date or a time."""
    plain = cells if separator == "," else [c.replace(",", ".") if c.count(",") == 1 else c for c in cells]
    try:
        x = np.array([_number(c) for c in plain], np.float64)
    except ValueError as error:
        if all(MOMENT.fullmatch(c) for c in cells):
            return np.array(cells, dtype=object)
        number = next(n for n, c in zip(numbers, plain, strict=True) if not _is_number(c))
        raise FileError(path, f"line {number}: {error}", "expected numbers below a line of names") from error
    with np.errstate(over="ignore"):
        in_range = np.isfinite(x.astype(np.float32))
    if not in_range.all():
        line = numbers[int(np.argmin(in_range))]
        raise FileError(path, f"NaN or infinity in line {line}, column '{name}'", "repair or cut the recording")
    return x


def _read_text(path: Path) -> str:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise FileError(path, f"cannot be read ({error.strerror})", "check the file") from error
    encoding = next((e for mark, e in MARKS.items() if content.startswith(mark)), "utf-8")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError:
        raise FileError(path, "is no UTF-8 or UTF-16 text", "save it again as UTF-8") from None
    text = re.sub(r"\A(sep=.\s*\n)?(#.*\n)*", lambda m: "\n" * m[0].count("\n"), text)  # empty: lines keep numbers
    if "\0" in text:
        raise FileError(path, "holds NUL characters", "save it again as UTF-8 text")
    return text


def _find_header(text: str) -> tuple[str, int]:
    """The separator, and how many lines there are before the header: before the first line of names that is followed
    by lines of as many values. Of several separators the one that makes the most columns."""
    best = (0, ",", 0)
    for separator in SEPARATORS:
        try:
            rows = [row for _, row in islice(_rows(text, separator), N_LOOKED_AT)]
        except csv.Error:  # quoted by another separator's rules
            continue
        for i in range(len(rows) - 1):
            n = len(rows[i])
            follow = rows[i + 1 : i + 3]
            is_header = not all(_is_value(v) for v in rows[i]) and all(len(r) != n for r in rows[:i])
            is_table = n > 1 or not any(s in cell for s in SEPARATORS for row in rows[i : i + 3] for cell in row)
            if is_header and is_table and all(len(r) == n and all(_is_value(v) for v in r) for r in follow):
                if n > best[0]:
                    best = (n, separator, i)
                break
    if best[0] == 0:  # no such line: what is wrong is told by the lines themselves
        first = next((line for line in text.splitlines() if line.strip()), "")
        return max(SEPARATORS, key=first.count), 0
    return best[1], best[2]


def _rows(text: str, separator: str) -> Iterator[tuple[int, list[str]]]:
    """(number, cells) of each line that is not empty."""
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    for row in lines:
        if any("\n" in cell or "\r" in cell for cell in row):
            raise csv.Error(f"line {lines.line_num}: a cell of several lines")
        if row and any(cell.strip() for cell in row):
            yield lines.line_num, row


def _number(text: str) -> float:
    if "_" in text:
        raise ValueError(f"could not convert string to float: {text!r}")
    return float(text)


def _is_number(text: str) -> bool:
    try:
        _number(text)
    except ValueError:
        return False
    return True


def _is_value(text: str) -> bool:
    text = text.strip()
    return _is_number(text.replace(",", ".")) or bool(MOMENT.fullmatch(text))
