"""Names of files as data: parted as the standard library parts them."""

from __future__ import annotations

import posixpath
import sys
import unicodedata
from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.datasets.paths import CONTROL, SURROGATE, clean_path, shown, stem_of, suffix_of, without_suffix

NAMES = st.text(alphabet="ab.. /\u0130\u65e5-", min_size=1, max_size=12)
EVERY = list(map(chr, range(sys.maxunicode + 1)))


@given(NAMES)
def test_names_are_parted_as_the_standard_library_does(name: str) -> None:
    assert suffix_of(name) == posixpath.splitext(name)[1].lower()
    try:
        path = clean_path(name)
    except ValueError:
        return
    assert stem_of(path) == PurePosixPath(path).stem
    assert without_suffix(path) == str(PurePosixPath(path).with_suffix(""))


@pytest.mark.parametrize(
    "name", ["a.jpg", ".hidden", "..two.png", "a.", "a/b.c/d", "a.b/c.", "...", "a..png"]
)
def test_dots_at_odd_places(name: str) -> None:
    assert suffix_of(name) == posixpath.splitext(name)[1].lower()
    assert stem_of(name) == PurePosixPath(name).stem


def test_controls_and_surrogates_are_those_of_unicode() -> None:
    assert {one for one in EVERY if CONTROL.match(one)} == {
        one for one in EVERY if unicodedata.category(one) == "Cc"
    }
    assert {one for one in EVERY if SURROGATE.match(one)} == {
        one for one in EVERY if unicodedata.category(one) == "Cs"
    }


def test_what_cannot_be_printed_is_escaped_and_nothing_else() -> None:
    unseen = {one for one in EVERY if shown(one) != one}
    assert unseen == {one for one in EVERY if unicodedata.category(one) in {"Cc", "Cs", "Zl", "Zp"}}
