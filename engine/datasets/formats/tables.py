"""Tables (CSV, TSV, Parquet) as rows of text cells, streamed, each with its place in the file."""

from __future__ import annotations

import csv
import io
import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

from engine.datasets.archive import Member, reading
from engine.datasets.formats.base import HEAD_BYTES, SourceView
from engine.errors import InputError, LimitError

if TYPE_CHECKING:
    import pyarrow
    import pyarrow.parquet

DELIMITERS = ",;\t"
SUFFIXES = (".csv", ".tsv", ".parquet")
MOST_ROWS = 10_000_000
MOST_COLUMNS = 20_000
SAMPLE_ROWS = 50
BATCH = 2_048  # rows of a Parquet file that are held at once


class Table(Protocol):
    """A table of text cells.

    ``first`` are the cells of its first line, in Parquet the names of the columns. ``named`` says that
    these are certainly names. ``lists`` are the columns that hold JSON lists by their type. ``sample``
    are the first records behind ``first``.
    """

    @property
    def member(self) -> Member:
        """The file."""

    @property
    def first(self) -> tuple[str, ...]:
        """The cells of the first line."""

    @property
    def named(self) -> bool:
        """Whether the first line is certainly a header."""

    @property
    def lists(self) -> frozenset[int]:
        """Columns of lists."""

    @property
    def sample(self) -> tuple[list[str], ...]:
        """The first records."""

    def rows(self, skip: int) -> Iterator[tuple[int, list[str]]]:
        """Yield line (1-based) and cells of each record that is not empty, ``skip`` records left out."""


def open_table(view: SourceView, member: Member) -> Table | None:
    """Look at the start of a file; returns None when it is empty, or damaged text."""
    if PurePosixPath(member.path).suffix.lower() == ".parquet":
        return _open_parquet(view, member)
    start = view.head(member)
    encoding = "utf-16" if start[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    # A character may be cut at the end of the sample; the rows themselves are decoded strictly.
    sample = start.decode(encoding, errors="ignore")
    lines = sample.splitlines()
    if not lines:
        return None
    delimiter = max(DELIMITERS, key=lines[0].count)
    records = list(islice(_records(sample, delimiter), SAMPLE_ROWS + 1))
    if len(start) == HEAD_BYTES and 1 < len(records) <= SAMPLE_ROWS:
        records.pop()  # cut off
    if not records or not records[0]:
        return None
    filled = tuple(cells for cells in records[1:] if any(cell.strip() for cell in cells))
    return TextTable(view, member, encoding, delimiter, tuple(records[0]), filled)


def _records(text: str, delimiter: str) -> Iterator[list[str]]:
    """Yield records as far as they can be read; reading the table itself says what is wrong."""
    try:
        yield from csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    except csv.Error:
        return


def csv_records(
    lines: Iterable[str], path: str, delimiter: str = ",", *, trim: bool = False
) -> Iterator[tuple[int, list[str]]]:
    """Yield the line on which each record ends, and its cells; blanks before a cell go with ``trim``.

    Raises ``InputError``, which names the file, for what is no CSV or no text, and for endless cells.
    """
    reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=trim)
    last = 0
    try:
        for cells in reader:
            last = reader.line_num
            yield last, cells
    except (csv.Error, UnicodeError) as error:
        raise InputError(
            f"“{path}” cannot be read after line {last} ({error}).", "Save it as CSV in UTF-8."
        ) from error


def named_records(text: str, path: str) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the line of each record that is not empty, and its cells by column (lower case, trimmed).

    Of columns of one name, the first counts. The first record, of line and names, has empty cells.
    Raises ``InputError`` as ``csv_records`` does.
    """
    records = csv_records(io.StringIO(text, newline=""), path, trim=True)
    line, header = next(records, (0, []))
    names = [cell.strip().casefold() for cell in header]
    yield line, dict.fromkeys(names, "")
    for line, cells in records:
        if any(cells):
            filled = [*cells, *[""] * (len(names) - len(cells))]
            yield line, dict(reversed(list(zip(names, filled, strict=False))))


@dataclass(frozen=True)
class TextTable:
    """CSV or TSV; the line of a record is the one on which it ends."""

    view: SourceView = field(repr=False, compare=False)
    member: Member
    encoding: str
    delimiter: str
    first: tuple[str, ...]
    sample: tuple[list[str], ...]
    named: bool = False
    lists: frozenset[int] = frozenset()

    def rows(self, skip: int) -> Iterator[tuple[int, list[str]]]:
        """Yield line and cells; raises ``InputError`` when it is no text in UTF-8 or UTF-16."""
        with self.view.open(self.member) as stream:
            text = io.TextIOWrapper(stream, encoding=self.encoding, newline="")
            for number, (line, cells) in enumerate(csv_records(text, self.member.path, self.delimiter)):
                _check_rows(self.member, number)
                if number >= skip and any(cell.strip() for cell in cells):
                    yield line, cells


@dataclass(frozen=True)
class ParquetTable:
    """Parquet; only columns of text, numbers and lists of them are seen. The line is the row's number."""

    view: SourceView = field(repr=False, compare=False)
    member: Member
    first: tuple[str, ...]
    lists: frozenset[int]
    sample: tuple[list[str], ...] = ()
    named: bool = True

    def rows(self, skip: int) -> Iterator[tuple[int, list[str]]]:
        """Yield row number and cells, ``BATCH`` rows in memory; ``skip`` has no meaning here."""
        with _parquet(self.view.open(self.member), self.member) as file:
            yield from _parquet_rows(file, self.first)


def _parquet_rows(file: pyarrow.parquet.ParquetFile, names: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    number = 0
    for batch in file.iter_batches(batch_size=BATCH, columns=list(names)):
        values = [batch.column(name).to_pylist() for name in names]
        for cells in zip(*values, strict=True):
            number += 1
            texts = [_text(value) for value in cells]
            if any(texts):
                yield number, texts


@contextmanager
def _parquet(
    opened: AbstractContextManager[BinaryIO], member: Member
) -> Iterator[pyarrow.parquet.ParquetFile]:
    import pyarrow
    import pyarrow.parquet

    try:
        with opened as stream, pyarrow.parquet.ParquetFile(stream) as file:
            yield file
    except pyarrow.ArrowException as error:
        raise InputError(
            f"“{member.path}” is no Parquet file that can be read ({str(error)[:200]}).", "Write it again."
        ) from error


def _open_parquet(view: SourceView, member: Member) -> Table | None:
    with _parquet(reading(member), member) as file:
        _check_rows(member, file.metadata.num_rows)
        known = Counter(file.schema_arrow.names)
        fields = [one for one in file.schema_arrow if _is_plain(one.type) and known[one.name] == 1]
        names = tuple(one.name for one in fields)
        if not names or len(known) > MOST_COLUMNS:
            return None
        sample = tuple(cells for _, cells in islice(_parquet_rows(file, names), SAMPLE_ROWS))
    lists = frozenset(n for n, one in enumerate(fields) if _is_list(one.type))
    return ParquetTable(view, member, names, lists, sample)


def _is_plain(kind: pyarrow.DataType) -> bool:
    """Whether a column holds text, numbers, or lists of these; anything else is left alone."""
    import pyarrow.types as known

    if _is_list(kind):
        return _is_plain(kind.value_type) and not _is_list(kind.value_type)
    if known.is_dictionary(kind):
        return _is_plain(kind.value_type)
    tests = (known.is_string, known.is_large_string, known.is_integer, known.is_floating, known.is_boolean)
    return any(test(kind) for test in (*tests, known.is_null))


def _is_list(kind: pyarrow.DataType) -> bool:
    import pyarrow.types as known

    return bool(known.is_list(kind) or known.is_large_list(kind) or known.is_fixed_size_list(kind))


def _text(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, list):
        return json.dumps(value, ensure_ascii=False)
    return str(value)


def _check_rows(member: Member, rows: int) -> None:
    if rows > MOST_ROWS:
        raise LimitError(f"“{member.path}” holds more than {MOST_ROWS:,} rows.")
