"""Placing units (images, or groups of them) into parts, so that each part has its share of each class.

The method is iterative stratification (Sechidis, Tsoumakas and Vlahavas, "On the stratification of
multi-label data", ECML PKDD 2011): the class that the fewest unplaced units have is dealt out first, each
unit to the part that lacks most of it. Three things are added to it. Objects are counted, not only images,
and lacked in proportion to a part's share; but a part is open for a class only as long as it lacks images
of it, so that one crowded image does not fill a part. The last units of a class go to parts that have none
of it. And moves and swaps of single units follow as long as they bring the parts nearer to their shares.
"""

from __future__ import annotations

import hashlib
import heapq
import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

Bag = Sequence[str] | None
"""The class names of an image, one for each label; None: not labelled; empty: nothing is on it."""
NOTHING, UNLABELLED = "\x00nothing", "\x00unlabelled"
"""Stand for a class in bags that have none; no class has such a name."""
PASSES = 20
SWAP_UNITS = 200
"""Swaps look at all pairs of units; with more units than this, moves alone come near enough."""
MOST_IMPROVED = 20_000
"""With more units times parts they stay as they were dealt, which is near enough to their shares."""
STARTS, FEW_UNITS = 8, 60


@dataclass
class Unit:
    """Images that are placed together: their positions, and images and objects of each class."""

    members: list[int] = field(default_factory=list)
    images: Counter[str] = field(default_factory=Counter)
    objects: Counter[str] = field(default_factory=Counter)

    def add(self, position: int, bag: Bag) -> None:
        """Take one more image in."""
        counts = Counter([UNLABELLED] if bag is None else bag or [NOTHING])
        self.members.append(position)
        self.images.update(counts.keys())
        self.objects.update(counts)


def units_of(bags: Sequence[Bag], keys: Sequence[str | None] | None = None) -> list[Unit]:
    """Make one unit per group, and one per image that has no group."""
    units: list[Unit] = []
    of_key: dict[str, Unit] = {}
    for position, bag in enumerate(bags):
        key = None if keys is None else keys[position]
        unit = Unit() if key is None else of_key.get(key) or Unit()
        if not unit.members:
            units.append(unit)
            if key is not None:
                of_key[key] = unit
        unit.add(position, bag)
    return units


def place(
    units: Sequence[Unit], shares: Sequence[float], seed: int, fixed: Sequence[int | None] | None = None
) -> list[int]:
    """Return the part of each unit.

    Args:
        units: what is placed; the order matters to the result, as the seed does.
        shares: the share of each part, summing to 1; a part with a share of 0 gets nothing.
        seed: the same units, shares, seed and fixed parts give the same result, in every process.
        fixed: parts that stay as they are; None where one is to be found.
    """
    known: list[int | None] = [None] * len(units) if fixed is None else list(fixed)
    free = [number for number, part in enumerate(known) if part is None]
    grouped = any(len(units[number].members) > 1 for number in free)
    mixed = grouped or any(len(units[number].images) > 1 for number in free)
    best: _Table | None = None
    # Few groups leave few ways, and one order may end in a poor one: several are tried.
    for attempt in range(STARTS if grouped and len(free) <= FEW_UNITS else 1):
        table = _Table(units, shares, list(known))
        for name in table.by_rarity():
            _deal(table, name, f"{seed}" if attempt == 0 else f"{seed} again {attempt}")
        if mixed and len(free) * len(shares) <= MOST_IMPROVED:
            _improve(table, free)
        if best is None or table.distance() < best.distance() - 1e-9:
            best = table
    return [] if best is None else [part for part in best.parts if part is not None]


class _Table:
    """What lies in each part; quantities are named ("i", class), ("o", class) and ("n", "")."""

    def __init__(self, units: Sequence[Unit], shares: Sequence[float], parts: list[int | None]) -> None:
        self.units, self.shares, self.parts = units, shares, parts
        self.used = [part for part, share in enumerate(shares) if share > 0]
        self.amounts = [dict(_amounts(unit)) for unit in units]
        self.totals: Counter[tuple[str, str]] = Counter()
        self.have: list[Counter[tuple[str, str]]] = [Counter() for _ in shares]
        self.with_class: list[Counter[str]] = [Counter() for _ in shares]
        self.waiting: dict[str, list[int]] = defaultdict(list)
        for number, unit in enumerate(units):
            self.totals.update(self.amounts[number])
            if (part := parts[number]) is not None:
                self._count(number, part, 1)
                continue
            for name in unit.images:
                self.waiting[name].append(number)
        self.left = {name: len(numbers) for name, numbers in self.waiting.items()}
        self.queue = [(count, name) for name, count in self.left.items()]
        heapq.heapify(self.queue)

    def by_rarity(self) -> Iterable[str]:
        """Yield each class in turn, the one with the fewest unplaced units first."""
        while self.queue:
            count, name = heapq.heappop(self.queue)
            if count == self.left[name] > 0:
                yield name

    def lacks(self, part: int, quantity: tuple[str, str]) -> float:
        """Return how much of a quantity a part lacks; negative: it has too much."""
        return round(self.shares[part] * self.totals[quantity] - self.have[part][quantity], 9)

    def distance(self) -> float:
        """Return how far the parts are from their shares, sum((have - share)^2 / total)."""
        return sum(
            self.lacks(part, quantity) ** 2 / total
            for quantity, total in self.totals.items()
            for part in self.used
        )

    def put(self, number: int, part: int) -> None:
        """Place a unit."""
        self.parts[number] = part
        self._count(number, part, 1)
        for name in self.units[number].images:
            self.left[name] -= 1
            heapq.heappush(self.queue, (self.left[name], name))

    def move(self, number: int, part: int) -> None:
        """Move a placed unit to another part."""
        if (old := self.parts[number]) is not None:
            self._count(number, old, -1)
        self.parts[number] = part
        self._count(number, part, 1)

    def _count(self, number: int, part: int, sign: int) -> None:
        have, classes = self.have[part], self.with_class[part]
        for quantity, amount in self.amounts[number].items():
            have[quantity] += sign * amount
        for name in self.units[number].images:
            classes[name] += sign


def _amounts(unit: Unit) -> Iterable[tuple[tuple[str, str], int]]:
    yield ("n", ""), len(unit.members)
    for name, count in unit.images.items():
        yield ("i", name), count
    for name, count in unit.objects.items():
        yield ("o", name), count


def _deal(table: _Table, name: str, seed: str) -> None:
    """Place all units of a class that have no part yet, the largest first."""
    generator = stream(seed, name)
    numbers = [number for number in table.waiting[name] if table.parts[number] is None]
    generator.shuffle(numbers)
    units = table.units
    numbers.sort(key=lambda number: (-units[number].images[name], -units[number].objects[name]))
    for done, number in enumerate(numbers):
        empty = [part for part in table.used if not table.with_class[part][name]]
        if len(empty) >= len(numbers) - done:
            candidates = empty
        else:
            lacking = [part for part in table.used if table.lacks(part, ("i", name)) > 0]
            candidates = lacking or list(table.used)
        generator.shuffle(candidates)
        table.put(number, max(candidates, key=lambda part: _want(table, part, name)))


def _want(table: _Table, part: int, name: str) -> tuple[float, ...]:
    objects = table.lacks(part, ("o", name))
    if table.totals["o", name] != table.totals["i", name]:
        # By share: else the largest part would take all crowded images, which come first.
        objects = round(objects / table.shares[part], 6)
    return (objects, table.lacks(part, ("i", name)), table.lacks(part, ("n", "")))


def _improve(table: _Table, free: Sequence[int]) -> None:
    """Move and swap units while that lowers the distance of the parts from their shares."""
    for _ in range(PASSES):
        moved = _move_all(table, free)
        swapped = len(free) <= SWAP_UNITS and _swap_all(table, free)
        if not moved and not swapped:
            return


def _move_all(table: _Table, free: Sequence[int]) -> bool:
    any_moved = False
    for number in free:
        here = table.parts[number]
        if here is None or _last(table, number, None):
            continue
        gains = [
            (_gain(table, table.amounts[number], here, part), part) for part in table.used if part != here
        ]
        best, part = min(gains, default=(0.0, here))
        if best < -1e-9:
            table.move(number, part)
            any_moved = True
    return any_moved


def _swap_all(table: _Table, free: Sequence[int]) -> bool:
    any_swapped = False
    for index, first in enumerate(free):
        for second in free[index + 1 :]:
            here, there = table.parts[first], table.parts[second]
            if here is None or there is None or here == there:
                continue
            difference = Counter(table.amounts[first])
            difference.subtract(table.amounts[second])
            if _gain(table, difference, here, there) >= -1e-9:
                continue
            if not _last(table, first, second) and not _last(table, second, first):
                table.move(first, there)
                table.move(second, here)
                any_swapped = True
    return any_swapped


def _last(table: _Table, number: int, instead: int | None) -> bool:
    """Whether a part would be left without a class when this unit went (and ``instead`` came)."""
    part = table.parts[number]
    coming = table.units[instead].images if instead is not None else Counter[str]()
    return part is not None and any(
        table.with_class[part][name] == 1 and name not in coming for name in table.units[number].images
    )


def _gain(table: _Table, amounts: dict[tuple[str, str], int], here: int, there: int) -> float:
    """Return by how much moving these amounts changes ``distance``; negative: nearer."""
    change = 0.0
    for quantity, amount in amounts.items():
        if amount:
            lacking = table.lacks(here, quantity) - table.lacks(there, quantity)
            change += 2 * amount * (lacking + amount) / table.totals[quantity]
    return change


def stream(seed: int | str, name: str) -> random.Random:
    """Return a generator for one class; Python's ``hash`` differs between processes, hence a digest."""
    digest = hashlib.sha256(f"{seed} {name}".encode()).digest()
    return random.Random(int.from_bytes(digest[:8], "big"))
