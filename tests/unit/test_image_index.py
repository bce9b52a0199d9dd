"""Finding images by the names that label files use: the same as comparing all paths, and quick."""

from __future__ import annotations

import time

import pytest

from engine.datasets.formats.base import AmbiguousNameError, ImageIndex


def naive(paths: list[str], name: str) -> list[str]:
    """What a name means, by comparing it with every path part by part."""
    parts = name.split("/")
    ends: dict[str, int] = {}
    for path in paths:
        other = path.split("/")
        length = min(len(parts), len(other))
        if parts[-length:] == other[-length:]:
            ends[path] = length
    return sorted(path for path in ends if ends[path] == max(ends.values())) if name not in ends else [name]


def test_index_means_what_a_comparison_with_every_path_means() -> None:
    folders = ["a/", "b/", "a/a/", "b/a/", "a0/", "a-/", "a/b/a/", "ab/"]
    paths = ["1.jpg", *(folder + name for folder in folders for name in ("a", "b", "1.jpg"))]
    index = ImageIndex(paths)
    seen = set()
    for name in (
        "a",
        "b",
        "c",
        *paths,
        *(f"{one}/{other}" for one in ("a", "b", "x", "a/b", "x/a0") for other in paths),
    ):
        expected = naive(paths, name)
        seen.add(min(len(expected), 2))
        if len(expected) == 1:
            assert index(name) == expected[0]
            continue
        with pytest.raises(LookupError) as caught:
            index(name)
        assert isinstance(caught.value, AmbiguousNameError) == bool(expected)
        if isinstance(caught.value, AmbiguousNameError):
            assert set(caught.value.paths) <= set(expected) and caught.value.count == len(expected)
    assert seen == {0, 1, 2}


def test_index_of_many_equal_names_is_quick() -> None:
    index = ImageIndex(f"root/{number:05}/image.png" for number in range(30_000))
    start = time.perf_counter()
    for number in range(30_000):
        assert index(f"{number:05}/image.png") == f"root/{number:05}/image.png"
    for _ in range(1_000):
        with pytest.raises(AmbiguousNameError):
            index("image.png")
    with pytest.raises(LookupError):
        index("x/" * 100_000 + "image.png")
    # Comparing each name with all took minutes.
    assert time.perf_counter() - start < 10
