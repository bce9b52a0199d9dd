"""The splits of new images: copies of a picture are never in two of them where that is open."""

from __future__ import annotations

from engine.contracts.datasets import Split
from engine.datasets.newcomers import Newcomer, choose_splits, with_copies
from engine.datasets.present import Present


def newcomer(path: str, sha: str, own: Split | None = None, group: str | None = None) -> Newcomer:
    return Newcomer(path, sha, ("cat",), group, own)


def present(path: str, sha: str, split: Split, left_out: bool = False) -> Present:
    return Present(path, path, sha, split, frozenset(), ("cat",), left_out, False, None)


def test_copies_join_the_split_of_what_is_there() -> None:
    there = [present(f"{n}.png", str(n), ("train", "val", "test")[n % 3]) for n in range(30)]
    found, of_set, _ = choose_splits([newcomer(f"x/{n}.png", str(n)) for n in range(30)], there, None)
    assert found == [image.split for image in there] and not of_set


def test_a_set_that_says_otherwise_is_overruled_and_told_so() -> None:
    new = [newcomer("x.png", "1", "train"), newcomer("y.png", "9", "train")]
    found, of_set, note = choose_splits(new, [present("1.png", "1", "test")], None)
    assert (found, of_set) == (["test", "train"], True)
    assert note.startswith("1 copy of an image of the project joined its split there")


def test_a_copy_of_an_image_out_of_use_joins_it_unless_the_set_says_otherwise() -> None:
    there = [present("1.png", "1", "test", left_out=True), present("2.png", "2", "train")]
    new = [newcomer("x.png", "1"), newcomer("y.png", "1", "val")]
    assert choose_splits(new, there, None)[0] == ["test", "val"]


def test_copies_within_a_set_go_together() -> None:
    new = [newcomer(f"{n}.png", str(n // 2)) for n in range(40)]
    for there in ([], [present("a.png", "a", "train")]):
        found, _, _ = choose_splits(new, there, None)
        assert found[::2] == found[1::2] and set(found) == {"train", "val", "test"}


def test_the_splits_of_a_set_stay_what_they_are() -> None:
    new = [newcomer("a.png", "1", "train"), newcomer("b.png", "1", "test"), newcomer("c.png", "2", "val")]
    assert choose_splits(new, [], None)[0] == ["train", "test", "val"]


def test_a_copy_joins_groups() -> None:
    keys = with_copies(["g", "h", None, "h", "i", None], ["1", "1", "2", "3", "4", "2"])
    assert keys is not None and keys[0] == keys[1] == keys[3]
    assert keys[2] == keys[5] is not None and keys[4] == "i"
    assert len({keys[0], keys[2], keys[4]}) == 3
    assert with_copies(None, ["1", "2"]) is None
    assert with_copies(None, ["1", "1", "2"])[2] is None  # type: ignore[index]
