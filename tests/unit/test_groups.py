"""Groups from paths: the rules, what is refused, and that no pattern can hang."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.datasets import groups
from engine.errors import InputError


@pytest.mark.parametrize(
    ("rule", "path", "key"),
    [
        ("folder", "a/b/c.png", "a/b"),
        ("folder", "c.png", None),
        ("folder:1", "a/b/c.png", "a"),
        ("folder:2", "a/b/c.png", "b"),
        ("folder:3", "a/b/c.png", None),
        ("before:_", "a_b/p01_left_2.png", "p01"),
        ("before:_", "a_b/p01-left.png", None),
        ("before:_", "_left.png", None),
        ("before:-", "a-b/é 1-left_2.png", "é 1"),
        ("before:digit", "a1/BloodImage_00343.jpg", "BloodImage_"),
        ("before:digit", "7.png", None),
        ("^([^_]+)_", "p01_left.png", "p01"),
        ("^([^_]+)_", "left.png", None),
        (r"patient(\d+)", "scans/patient12-3.png", "12"),
        (r"(p\d{2,4}|q)-", "x/p123-a.png", "p123"),
        (r"([a-z]*)\d", "7.png", None),  # an empty key is no group
        (r"(?:film|video)[-_](\w+?)_", "video_é7_001.jpg", "é7"),
        (r"([^/]+)/[^/]+$", "a/ünï 1/c.png", "ünï 1"),
    ],
)
def test_rules(rule: str, path: str, key: str | None) -> None:
    assert groups.group_of(path, rule) == key
    assert groups.keys_of([path, path], rule) == [key, key]


@pytest.mark.parametrize(
    "rule",
    [
        *("before:x", "before:", "", "folder:", "folder:0", "folder:x", "folder:-1", "folder:²", "a" * 201),
        *("(a+)+$", "(a*)*b", "(?:a|aa)+(b)", "((a+)?)+", "(a){2,}", "(a+)?b"),
        *(
            r"(a)\1",
            "(?=a)(b)",
            "(?P<x>a)",
            "(?i)(a)",
            "(?#x)(a)",
            r"(\p)",
            "[[a](b)",
            "(a",
            "a)",
            "(*)",
            "+(a)",
        ),
        *("(.*).*.*x", "^(.*).*.*.*x", "(.+)_(.+)", "no brackets", "^a|(.*).*.*b"),
    ],
)
def test_what_is_refused_says_so(rule: str) -> None:
    with pytest.raises(InputError) as caught:
        groups.group_of("a.png", rule)
    assert caught.value.message and caught.value.hint


@pytest.mark.parametrize("rule", ["^(.*).*.*x", "(.*)[ab]*x", "^(a*)a*a*x", "^(a?)a?a?a?a?a?a?a?a{10,200}x"])
def test_the_worst_patterns_that_are_taken_end_soon(rule: str) -> None:
    start = time.monotonic()
    assert groups.group_of("a" * groups.PATH_LENGTH, rule) is None
    assert time.monotonic() - start < 2


def test_a_slow_pattern_over_many_names_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(groups, "SECONDS", -1.0)
    with pytest.raises(InputError, match="too long"):
        groups.keys_of(["a.png"], "^([^_]+)_")


def test_no_group_is_sought_in_an_endless_path() -> None:
    assert groups.group_of("p_" + "a" * 300, "^([^_]+)_") is None


@settings(deadline=None, max_examples=300)
@given(st.text("ab(.*+?|)[]{}0,1\\d^$-", max_size=20))
def test_what_is_taken_is_a_pattern_with_one_group_and_no_repeated_group(rule: str) -> None:
    try:
        groups.group_of("ab01", rule)
    except InputError:
        return
    assert re.compile(rule).groups == 1
    outside = re.sub(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]", "", rule)
    assert not re.search(r"\)[*+?{]", outside)


def test_preview_counts() -> None:
    found = groups.preview(["a", "b", "a", None, "c", "b", "a"])
    assert (found.groups, found.largest, found.largest_key, found.without) == (3, 3, "a", 1)
    assert found.examples == (("a", 3), ("b", 2), ("c", 1))
    assert groups.preview([None]).largest == 0
