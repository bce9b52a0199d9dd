"""New splits for what is there, on a person's demand: one undoable batch in the log each.

Nothing else changes the split of an image that has one. All functions that write run inside the caller's
write transaction.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import ValidationError
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from engine.contracts.datasets import (
    SPLITS,
    ClassSpread,
    EditReceipt,
    FoldImage,
    FoldPlan,
    GroupPreview,
    Split,
    SplitPreview,
    SplitRule,
)
from engine.datasets import editlog, groups, splits
from engine.datasets.editlog import Change, Entry
from engine.datasets.manifest import as_split
from engine.datasets.stratify import Bag
from engine.errors import InputError, NotFoundError
from engine.storage.tables import AnnotationRow, ClassRow, EditRow, ImageRow, Project

SEED_LIMIT = 2**63
MOVE = "move"
"""The kind of an edit by hand; "split" is the one of a rule."""


@dataclass(frozen=True)
class HeadImage:
    """What a split is drawn from; ``bag`` holds the class name of each label."""

    id: str
    path: str
    split: Split | None
    left_out: bool
    group: str | None
    bag: Bag


@dataclass(frozen=True)
class _Drawn:
    """New splits by image id; groups and notes of those that are in use."""

    splits: dict[str, Split]
    groups: GroupPreview | None
    note: str


def resplit(
    session: Session, project_id: str, rule: SplitRule, key: str | None = None, person: str | None = None
) -> EditReceipt:
    """Draw the splits of the whole head anew.

    The rule stays with the project, so that new images can join the split of their group. Raises
    ``InputError`` for a rule that says nothing possible.
    """
    if (done := editlog.receipt(session, project_id, key)) is not None:
        return done
    images = _head(session, project_id)
    drawn = _draw(images, rule)
    moves = {
        image.id: drawn.splits[image.id]
        for image in images
        if image.id in drawn.splits and drawn.splits[image.id] != image.split
    }
    stood = editlog.set_images(session, {image_id: {"split": split} for image_id, split in moves.items()})
    changes = [Change(image_id, before=before) for image_id, before in stood.items()]
    wanted = rule.model_dump(mode="json")
    if session.get_one(Project, project_id).split_rule != wanted:
        before = editlog.set_project(session, project_id, {"split_rule": wanted})
        changes.append(Change(None, before=before))
    sentence = f"Splits drawn again{_told(rule)}: {editlog.count_images(len(moves))} moved"
    return editlog.write(session, project_id, Entry("split", sentence, key, person), changes)


def move_to_split(
    session: Session,
    project_id: str,
    image_ids: Sequence[str],
    split: Split,
    key: str | None = None,
    person: str | None = None,
) -> EditReceipt:
    """Put these images into one split; raises ``NotFoundError`` for one that is not in the project."""
    if (done := editlog.receipt(session, project_id, key)) is not None:
        return done
    if split not in SPLITS:
        raise InputError(f"“{split}” is no split.", f"Choose one of {', '.join(SPLITS)}.")
    wanted = list(editlog.known_images(session, project_id, image_ids))
    stood = editlog.set_images(session, {image_id: {"split": split} for image_id in wanted})
    changes = [Change(image_id, before=old) for image_id, old in stood.items() if old["split"] != split]
    there, name = len(stood) - len(changes), "validation" if split == "val" else split
    if not changes:
        told = f"{editlog.count_images(there)} {'was' if there == 1 else 'were'} in {name} already."
        return EditReceipt(batch="", changed=0, message=told)
    others = f"; {there:,} {'was' if there == 1 else 'were'} there already" if there else ""
    sentence = f"{editlog.count_images(len(changes))} moved to {name}{others}"
    return editlog.write(session, project_id, Entry(MOVE, sentence, key, person), changes)


def moved_by_hand(session: Session, project_id: str) -> int:
    """Count the images that a person moved to another split since the splits were last drawn or restored.

    What was undone, or moved back, does not count.
    """
    mine = EditRow.project_id == project_id
    undone = select(EditRow.undoes).where(mine, EditRow.undoes.is_not(None))
    stands = mine & EditRow.undoes.is_(None) & EditRow.batch.not_in(undone)
    drawn = select(func.coalesce(func.max(EditRow.seq), 0)).where(
        stands, EditRow.kind.in_(("split", "restore"))
    )
    moves = (
        select(EditRow.image_id, EditRow.before, ImageRow.split)
        .join(ImageRow, ImageRow.id == EditRow.image_id)
        .where(stands, EditRow.kind == MOVE, EditRow.seq > drawn.scalar_subquery())
        .order_by(EditRow.seq.desc())
    )
    # Newest first, so that what stands before the first move is what stays.
    first = {image: before["split"] != now for image, before, now in session.execute(moves)}
    return sum(first.values())


def groupings(session: Session, project_id: str, rules: Sequence[str]) -> tuple[GroupPreview, ...]:
    """Say what each group rule finds in the images in use; ``groups`` is 0 where it finds none.

    Raises ``InputError`` for a rule that is none.
    """
    query = select(ImageRow.path, ImageRow.group_key).where(
        ImageRow.project_id == project_id, ImageRow.left_out.is_(False)
    )
    rows = session.execute(query.order_by(ImageRow.path)).all()
    paths, own = [path for path, _ in rows], [group for _, group in rows]
    return tuple(groups.preview(groups.keys_of(paths, rule) if rule else own) for rule in rules)


def preview(session: Session, project_id: str, rule: SplitRule) -> SplitPreview:
    """Say what ``resplit`` would do; raises as it does."""
    images = _head(session, project_id)
    drawn = _draw(images, rule)
    used = [image for image in images if not image.left_out]
    counts = Counter(drawn.splits[image.id] for image in used)
    return SplitPreview(
        splits={split: counts[split] for split in SPLITS},
        moved=sum(drawn.splits.get(image.id, image.split) != image.split for image in images),
        classes=_spread(session, project_id, used, drawn.splits),
        groups=drawn.groups,
        note=drawn.note,
    )


def folds(
    session: Session, project_id: str, k: int, seed: int = 0, group_rule: str | None = None
) -> FoldPlan:
    """Cut the images in use into ``k`` folds; ``group_rule`` as in ``SplitRule``, None: image by image.

    These are the folds of a ``SplitRule``, with the images of test, which take no part there. Nothing is
    written. Raises ``InputError`` for a number of folds that is not possible.
    """
    used = [image for image in _head(session, project_id) if not image.left_out]
    keys = None if group_rule is None else _keys(used, group_rule)
    found = _cut(used, k, seed, keys)
    names = {image.id: str(fold) for image, fold in zip(used, found, strict=True)}
    note = "" if keys is None else _group_note(keys, [image.bag for image in used], k, 1 / k)
    return FoldPlan(
        k=k,
        images=tuple(
            FoldImage(id=image.id, path=image.path, fold=fold)
            for image, fold in zip(used, found, strict=True)
        ),
        classes=_spread(session, project_id, used, names),
        note=note,
    )


def current_rule(session: Session, project_id: str) -> SplitRule | None:
    """Return the rule by which a person last had the splits drawn, or None."""
    stored = session.get_one(Project, project_id).split_rule
    try:
        return None if stored is None else SplitRule.model_validate(stored)
    except ValidationError as error:
        raise InputError("The project's rule of splits cannot be read.", "Draw the splits again.") from error


def _head(session: Session, project_id: str) -> list[HeadImage]:
    """Read all images by path, left out or not, with the classes of their labels."""
    if session.get(Project, project_id) is None:
        raise NotFoundError("This project does not exist.")
    # By name, not by id: the same set in another project is split the same way.
    classes = select(ClassRow.id, ClassRow.name).where(ClassRow.project_id == project_id)
    name_of = dict(session.execute(classes).all())
    names: dict[str, list[str]] = defaultdict(list)
    labels = (
        select(AnnotationRow.image_id, AnnotationRow.class_id)
        .where(AnnotationRow.project_id == project_id, AnnotationRow.on_head)
        .order_by(AnnotationRow.image_id, AnnotationRow.id)
    )
    for image_id, class_id in session.execute(labels):
        names[image_id] += [name_of[class_id]] if class_id else []
    columns = (ImageRow.id, ImageRow.path, ImageRow.split, ImageRow.left_out, ImageRow.group_key)
    query = select(*columns, ImageRow.negative).where(ImageRow.project_id == project_id)
    return [
        HeadImage(
            id=image_id,
            path=path,
            split=as_split(split),
            left_out=left_out,
            group=group,
            bag=names[image_id] if image_id in names or negative else None,
        )
        for image_id, path, split, left_out, group, negative in session.execute(query.order_by(ImageRow.path))
    ]


def _draw(images: Sequence[HeadImage], rule: SplitRule) -> _Drawn:
    """Draw splits for the images in use; by group, those left out follow their group."""
    fractions = _fractions(rule)
    used = [image for image in images if not image.left_out]
    if not used:
        raise InputError("There are no images to split.", "Import some first.")
    bags = [image.bag for image in used]
    keys = None if rule.by == "image" else _keys(used, rule.group_rule)
    if rule.folds is None:
        drawn = splits.draw(bags, rule.seed, fractions, groups=keys)
    else:
        drawn = _hold_out(used, rule.folds, rule, keys)
    found = dict(zip([image.id for image in used], drawn.splits, strict=True))
    if keys is None:
        return _Drawn(found, None, drawn.note)
    of_group = dict(zip(keys, drawn.splits, strict=True))
    aside = [image for image in images if image.left_out]
    for image, key in zip(aside, _keys(aside, rule.group_rule, expected=False), strict=True):
        if key is not None and key in of_group:
            found[image.id] = of_group[key]
    parts = rule.folds or sum(share > 0 for share in fractions)
    note = _group_note(keys, bags, parts, 1 / rule.folds if rule.folds else max(fractions))
    return _Drawn(found, groups.preview(keys), " ".join(filter(None, (drawn.note, note))))


def _cut(images: Sequence[HeadImage], k: int, seed: int, keys: Sequence[str | None] | None) -> list[int]:
    """Return the fold of each image, from 1; the images outside test are even by themselves."""
    aside = [image.split == "test" for image in images]
    return [fold + 1 for fold in splits.folds([image.bag for image in images], k, seed, keys, aside)]


def _hold_out(
    images: Sequence[HeadImage], k: int, rule: SplitRule, keys: Sequence[str | None] | None
) -> splits.Drawn:
    """Let one fold validate and the others train; what is in test stays there."""
    found = _cut(images, k, rule.seed, keys)
    if not 1 <= rule.held_out <= k:
        raise InputError(f"There is no fold {rule.held_out} of {k}.", f"Hold out one of 1 to {k}.")
    drawn: list[Split] = [
        "test" if image.split == "test" else "val" if fold == rule.held_out else "train"
        for image, fold in zip(images, found, strict=True)
    ]
    of_group = list(zip(keys or (), drawn, strict=False))
    both = {key for key, split in of_group if split == "test"} & {
        key for key, split in of_group if split != "test"
    }
    both.discard(None)
    told = "1 group has" if len(both) == 1 else f"{len(both):,} groups have"
    return splits.Drawn(drawn, f"{told} images in test and outside it." if both else "")


def _fractions(rule: SplitRule) -> tuple[float, float, float]:
    total = sum(rule.fractions)
    if not (min(rule.fractions) >= 0 and abs(total - 1) < 1e-6):
        raise InputError("The shares of train, val and test sum to 100 %.", "For example 70, 20, 10.")
    if rule.fractions[0] == 0:
        raise InputError("There must be images to train on.", "Give train a share.")
    if not 0 <= rule.seed < SEED_LIMIT:
        raise InputError("The seed is a whole number from 0.")
    train, val, test = (share / total for share in rule.fractions)
    return train, val, test


def _keys(images: Sequence[HeadImage], group_rule: str, *, expected: bool = True) -> list[str | None]:
    if group_rule:
        keys = groups.keys_of([image.path for image in images], group_rule)
    else:
        keys = [image.group for image in images]
    if expected and not any(key is not None for key in keys):
        raise InputError(
            f"“{group_rule}” finds no group in any name." if group_rule else "The set names no groups.",
            "Choose something else that stays together, or split image by image.",
        )
    return keys


def _group_note(keys: Sequence[str | None], bags: Sequence[Bag], parts: int, share: float) -> str:
    """Say where groups stand in the way of equal shares, and which images have none."""
    counts = Counter(key for key in keys if key is not None)
    of_class: dict[str, set[str | int]] = defaultdict(set)
    for position, (key, bag) in enumerate(zip(keys, bags, strict=True)):
        for name in set(bag or ()):
            of_class[name].add(position if key is None else key)
    few = sum(len(found) < parts for found in of_class.values())
    notes = []
    if max(counts.values()) > share * len(keys):
        notes.append(f"The largest group holds {max(counts.values()) / len(keys):.0%} of the images.")
    if few:
        told = "1 class is" if few == 1 else f"{few:,} classes are"
        notes.append(f"{told} in fewer than {parts} groups, so not every part has it.")
    if without := len(keys) - counts.total():
        notes.append(f"{editlog.count_images(without)} without a group: each goes by itself.")
    return " ".join(notes)


def _spread(
    session: Session, project_id: str, images: Sequence[HeadImage], parts: Mapping[str, str]
) -> tuple[ClassSpread, ...]:
    """Count the images of each class in each part."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for image in images:
        for name in set(image.bag or ()):
            counts[name][parts[image.id]] += 1
    rows = session.scalars(
        select(ClassRow)
        .where(ClassRow.project_id == project_id, ClassRow.deleted_at.is_(None))
        .order_by(ClassRow.position)
    )
    found = [*SPLITS] if set(parts.values()) <= set(SPLITS) else sorted(set(parts.values()), key=int)
    return tuple(
        ClassSpread(id=row.id, name=row.name, images={part: counts[row.name][part] for part in found})
        for row in rows
    )


def _told(rule: SplitRule) -> str:
    shares = " / ".join(f"{100 * share:g}" for share in rule.fractions)
    if rule.folds is not None:
        shares = f"fold {rule.held_out} of {rule.folds} validates"
    return f" ({shares}, by {rule.by}, seed {rule.seed})"
