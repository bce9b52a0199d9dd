"""Pascal VOC: one XML file per image, with boxes; lists of splits; masks of classes and of objects.

VOC counts pixels from 1, yet many sets written in its format count from 0, and nothing in a file says
which. So coordinates are handed over as they stand, as floats: round trips stay exact, and the most
that is lost is one pixel. Boxes of parts (head, hand, foot) belong to their object and are not read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

import numpy as np

from engine.contracts.datasets import LabelKind
from engine.datasets.archive import Member
from engine.datasets.formats.base import (
    DatasetFormat,
    Reading,
    ReadOptions,
    Recognition,
    Row,
    SourceView,
    clean_class,
    number_of,
    skipped,
)
from engine.datasets.formats.conventions import class_of
from engine.datasets.formats.voc_layout import (
    CLASS_MASKS,
    OBJECT_MASKS,
    Layout,
    lay_out,
    masks_in,
    tells_splits,
)
from engine.datasets.formats.voc_write import ELEMENTS, write
from engine.datasets.formats.xml_files import (
    DamagedXmlError,
    Node,
    finite,
    read_xml,
    root_tag,
    size_of,
)
from engine.datasets.labels import Box, ClassHead, ImageLabels, Label, MaskFile, MaskValues
from engine.datasets.preprocessing import DECODER_ERRORS, UnreadableImageError, open_image

LOOKED_AT = 200  # XML files that are read to recognise a set
MASKS_LOOKED_AT = 8  # class masks whose values are held against the objects of their XML
VOID = 255
VOID_COLOR = (224, 224, 192)
MASK_KINDS: tuple[LabelKind, ...] = ("masks", "regions")
VOC_NAMES = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train"),
    "tvmonitor",
)
"""The classes of the challenge; the value of each in a mask is its place, from 1."""


def recognise(view: SourceView) -> Recognition | None:
    """Recognise XML files with an ``annotation``, or a folder SegmentationClass with masks."""
    xmls = view.named(".xml")
    looked_at = xmls[:: max(1, -(-len(xmls) // LOOKED_AT))]  # spread over all
    found = [member for member in looked_at if root_tag(view, member) == "annotation"]
    class_masks, object_masks = masks_in(view, CLASS_MASKS), masks_in(view, OBJECT_MASKS)
    if not found and not class_masks:
        return None
    roots = [root for root in (_root(view, member) for member in found) if root and root.child("object")]
    counted = dict.fromkeys(name for root in roots for name in _names_in(root))
    heads = _labelmap(view)[0]
    kinds: list[LabelKind] = ["masks"] if object_masks else []
    kinds += ["regions"] if class_masks else []
    # Where each picture with objects has its masks, these are what the set is for.
    drawn = bool(kinds) and all(root.word("segmented") == "1" for root in roots)
    if counted:
        kinds = [*kinds, "boxes"] if drawn else ["boxes", *kinds]
    objects = sum(len(_names_in(root)) for root in roots)
    reason = "a folder SegmentationClass"
    if found:
        told = _about(objects, len(xmls), len(looked_at))
        reason = f"{number_of(len(xmls), 'XML file')} in the style of Pascal VOC{told}"
    reason += " and a split" if tells_splits(view) else ""
    images = len(view.images) - len({*class_masks, *object_masks})
    classes = tuple(head.name for head in heads) or tuple(counted)
    return Recognition(reason, tuple(kinds or ["boxes"]), classes, images)


def read(view: SourceView, options: ReadOptions) -> Reading:
    """Read boxes, or the masks where masks or regions are wanted and the set has them.

    Raises ``InputError`` when an XML file, a mask or a list can mean several images, and for XML with a
    document type.
    """
    xmls = [member for member in view.named(".xml") if root_tag(view, member) in ("annotation", "")]
    by_mask = options.kind in MASK_KINDS and bool(masks_in(view, CLASS_MASKS))
    layout = lay_out(view, xmls, "segmentation" if by_mask else "main")
    heads, values = _labelmap(view)
    if by_mask and not heads and _own_classes(view, layout):
        heads = tuple(ClassHead(name) for name in VOC_NAMES)
        values = MaskValues(dict(enumerate(VOC_NAMES, 1)), void=frozenset({VOID}))
    rows = _mask_rows(layout, options.kind) if by_mask else _box_rows(view, layout)
    notes = layout.notes
    if by_mask and layout.xml:
        notes += ("The masks are read, not the boxes of the XML files.",)
    return Reading(rows, heads, values if by_mask else MaskValues(), notes, layout.images)


def _about(objects: int, files: int, looked_at: int) -> str:
    """Say how many objects there are, as far as it is known without reading all files."""
    if not objects:
        return ""
    if looked_at == files:
        return f" with {number_of(objects, 'object')}"
    return f" with about {float(f'{objects * files / looked_at:.2g}'):,.0f} objects"


def _root(view: SourceView, member: Member) -> Node | None:
    try:
        return read_xml(view, member)
    except DamagedXmlError:
        return None


def _names(view: SourceView, member: Member) -> list[str]:
    root = _root(view, member)
    return _names_in(root) if root else []


def _names_in(root: Node) -> list[str]:
    return [name for node in root.all("object") if (name := clean_class(node.word("name")))]


# -- boxes --------------------------------------------------------------------------------------------


def _box_rows(view: SourceView, layout: Layout) -> Iterator[Row]:
    for image in layout.images:
        member = layout.xml.get(image)
        if member is None:
            yield ImageLabels(image, split=layout.splits.get(image), repairs=_torn(layout, image))
        else:
            yield from _described(view, layout, image, member)
    for member in layout.strays:
        try:
            root = read_xml(view, member)
        except DamagedXmlError as error:
            yield skipped(member.path, None, error.message)
            continue
        reason = f"missing image: none belongs to “{PurePosixPath(member.path).name}”"
        for node in root.all("object") or [root]:
            yield skipped(member.path, node.line, reason)


def _described(view: SourceView, layout: Layout, image: str, member: Member) -> Iterator[Row]:
    """Yield an image with the labels of its XML file; a damaged file leaves it without labels."""
    split, torn = layout.splits.get(image), _torn(layout, image)
    try:
        root = read_xml(view, member)
    except DamagedXmlError as error:
        yield skipped(member.path, None, error.message)
        yield ImageLabels(image, split=split, repairs=torn)
        return
    labels = []
    for node in root.all("object"):
        try:
            labels.append(_label(node))
        except ValueError as error:
            yield skipped(member.path, node.line, str(error))
    size = root.child("size")
    yield ImageLabels(
        image,
        tuple(labels),
        split,
        file=member.path,
        negative=root.child("object") is None,
        size=size_of(size.word("width"), size.word("height")) if size else None,
        repairs=torn,
    )


def _torn(layout: Layout, image: str) -> tuple[str, ...]:
    return (layout.torn[image],) if image in layout.torn else ()


def _label(node: Node) -> Label:
    """Read an object; raises ``ValueError`` with the reason when it cannot be used."""
    parts = node.first()
    name = clean_class(_word(parts, "name"))
    if not name:
        raise ValueError("an object without a class name")
    box = parts.get("bndbox")
    if box is None:
        raise ValueError(f"“{name}” has no box")
    sides = box.first()
    corners = [finite(_word(sides, side)) for side in ("xmin", "ymin", "xmax", "ymax")]
    attributes = _attributes(parts)
    ignored = _word(parts, "difficult") not in ELEMENTS["difficult"]
    if "ignored" in parts:  # our own mark: "difficult" only says that the label is ignored
        attributes = tuple(pair for pair in attributes if pair[0] != "difficult")
    return Label(
        class_of(name, ignored), _box(corners), ignored=ignored, attributes=attributes, line=node.line
    )


def _box(corners: Sequence[float]) -> Box:
    x1, y1, x2, y2 = corners
    return x1, y1, x2, y2


def _word(parts: dict[str, Node], tag: str) -> str:
    return parts[tag].text.strip() if tag in parts else ""


def _attributes(parts: dict[str, Node]) -> tuple[tuple[str, str], ...]:
    plain = [(tag, word) for tag, empty in ELEMENTS.items() if (word := _word(parts, tag)) not in empty]
    listed = parts.get("attributes")
    further = []
    for entry in listed.all("attribute") if listed else []:
        name, value = entry.child("name"), entry.child("value")
        if name is not None:
            further.append((name.text, value.text if value else ""))
    return (*plain, *further)


# -- masks --------------------------------------------------------------------------------------------


def _mask_rows(layout: Layout, kind: LabelKind) -> Iterator[Row]:
    for image in layout.images:
        masks = []
        if image in layout.class_masks:
            masks.append(MaskFile(layout.class_masks[image], "classes"))
        if image in layout.object_masks and kind == "masks":
            masks.append(MaskFile(layout.object_masks[image], "objects"))
        split = layout.splits.get(image)
        yield ImageLabels(image, split=split, masks=tuple(masks), repairs=_torn(layout, image))


def _labelmap(view: SourceView) -> tuple[tuple[ClassHead, ...], MaskValues]:
    """Read CVAT's ``labelmap.txt`` (``name:r,g,b:parts:actions``): classes, colours and values in order."""
    found = [member for member in view.named("labelmap.txt") if PurePosixPath(member.path).stem == "labelmap"]
    if not found:
        return (), MaskValues()
    names: dict[int, str] = {}
    colors: dict[tuple[int, int, int], int] = {}
    void: set[int] = set()
    background = None
    for line in view.text(found[0]).split("\n"):
        name, color = _map_line(line.rstrip("\r"))
        if color is None:
            continue
        value = len(colors)
        if color in colors:
            return (), MaskValues()  # two classes of one colour cannot be told apart
        colors[color] = value
        if background is None and (name == "background" or color == (0, 0, 0)):
            background = value
        elif color == VOID_COLOR and name in ("void", "ignore", "ignored"):
            void.add(value)
        else:
            names[value] = name
    if not names:
        return (), MaskValues()
    heads = tuple(ClassHead(name) for name in dict.fromkeys(names.values()))
    return heads, MaskValues(names, colors, frozenset({VOID, *void}), background)


def _map_line(line: str) -> tuple[str, tuple[int, int, int] | None]:
    """Return name and colour of a line, or no colour when it is a comment or says nothing of the kind."""
    parts = line.rsplit(":", 3)
    values = parts[1].split(",") if len(parts) == 4 else []
    if len(values) != 3 or not all(value.strip().isdecimal() and int(value) < 256 for value in values):
        return "", None
    red, green, blue = (int(value) for value in values)
    return clean_class(parts[0]), (red, green, blue)


def _own_classes(view: SourceView, layout: Layout) -> bool:
    """Whether the values of the masks are those of VOC's 20 classes, as the XML files beside them say.

    A set of its own may use some of these names with other values, so both are held against each other.
    """
    checked = 0
    for image, mask in layout.class_masks.items():
        member = layout.xml.get(image)
        names = set(_names(view, member)) if member else set()
        if not names or checked == MASKS_LOOKED_AT:
            continue
        if not names <= set(VOC_NAMES):
            return False
        values = _values(view, mask)
        if values is not None and values != {VOC_NAMES.index(name) + 1 for name in names}:
            return False
        checked += values is not None
    return checked > 0


def _values(view: SourceView, path: str) -> set[int] | None:
    """Return the values of a mask but 0 and 255, or None when it is no picture of values."""
    try:
        with view.open(view.by_path[path]) as stream, open_image(stream) as picture:
            if picture.mode not in ("P", "L"):
                return None
            return {int(value) for value in np.unique(np.asarray(picture))} - {0, VOID}
    except (UnreadableImageError, *DECODER_ERRORS):
        return None


FORMAT = DatasetFormat(
    name="voc",
    title="Pascal VOC",
    carries=frozenset({"boxes", "masks", "regions"}),
    recognise=recognise,
    read=read,
    write=write,
    keeps=frozenset({"splits", "negatives", "runs", "ignored", "attributes"}),
    loses={"masks": frozenset({"attributes"})},
    caveats={"masks": "Where objects overlap, only the later one keeps the pixels."},
)
