"""The pages of a TIFF, each as a picture of its own: its directory and its pixels, copied byte by byte.

Nothing is decoded here, so every packing and depth stays as it is.
"""

from __future__ import annotations

import struct

from engine.datasets.tiff import TIFF_HEADS, TIFF_WORDS, TiffError, TiffPage, tiff_page

MAX_PAGES = 10_000
MAX_PIECES = 1_000_000
"""Strips and tiles of all pages together."""
STRIPS, TILES = (273, 279), (324, 325)  # the tags of where they are and how long
POINTERS = frozenset({288, 289, 330, 400, 34665, 34853, 40965})
"""Tags that point to other places of the file; what is there does not come along."""
OLD_JPEG = 513


def list_pages(content: bytes) -> tuple[int, ...]:
    """Return where the directory of each full picture of a TIFF is; () for another file.

    Smaller copies and masks of a picture do not count. Raises ``TiffError`` when the file is
    damaged or made to deceive: a ring of pages, pages that share their pixels, far too many.
    """
    if content[:4] not in TIFF_HEADS:
        return ()
    places: list[int] = []
    seen: set[int] = set()
    pieces = length = 0
    place = first_place(content)
    while place:
        page = tiff_page(content, place)
        if place in seen or len(seen) >= MAX_PAGES:
            raise TiffError(f"its pages form a ring or are more than {MAX_PAGES:,}")
        seen.add(place)
        if _is_full(page):
            places.append(place)
            pieces += sum(page.tags[tag][1] for _, tag in (STRIPS, TILES) if tag in page.tags)
            if pieces > MAX_PIECES:
                raise TiffError(f"its pages are cut into more than {MAX_PIECES:,} pieces")
            length += sum(sum(_numbers(page, tag)) for _, tag in (STRIPS, TILES))
        place = page.following
    if len(places) > 1 and length > len(content):
        raise TiffError("its pages share their pixels")
    return tuple(places)


def first_place(content: bytes) -> int:
    """Return where the first directory of a TIFF is."""
    order, big = TIFF_HEADS[content[:4]]
    try:
        place: int = struct.unpack_from(f"{order}{'Q' if big else 'I'}", content, 8 if big else 4)[0]
    except struct.error as error:
        raise TiffError(f"the header is damaged ({error})") from error
    return place


def page_content(content: bytes, place: int) -> bytes:
    """Return the page whose directory is at ``place`` as a TIFF of its own.

    Raises ``TiffError`` when it is damaged or of a kind that cannot be taken apart.
    """
    order, big = TIFF_HEADS[content[:4]]
    page = tiff_page(content, place)
    tag, size_tag = TILES if TILES[0] in page.tags else STRIPS
    places, sizes = _numbers(page, tag), _numbers(page, size_tag)
    ends = [start + size for start, size in zip(places, sizes, strict=False)]
    if OLD_JPEG in page.tags or len(places) != len(sizes) or not places:
        raise TiffError("a page of a kind that cannot be taken out of its file")
    if sum(len(value) for _, _, value in page.tags.values()) > len(content):
        raise TiffError("the header is damaged (its tags lie over each other)")
    if max(ends) > len(content) or sum(sizes) > len(content):
        raise TiffError("damaged or cut short (the pixels of a page are missing)")
    word, number = ("Q", 16) if big else ("I", 4)
    room = struct.calcsize(word)
    out = bytearray(content[:4] + (struct.pack(f"{order}HH", 8, 0) if big else b"") + bytes(room))
    moved = []
    for start, end in zip(places, ends, strict=True):
        moved.append(len(out))
        out += content[start:end]
        out += bytes(-len(out) % room)
    tags = {key: value for key, value in page.tags.items() if key not in POINTERS}
    raw = struct.pack(f"{order}{len(moved)}{word}", *moved)
    tags[tag] = (number, len(moved), memoryview(raw))
    entries = b""
    for key, (kind, count, value) in sorted(tags.items()):
        inline = bytes(value).ljust(room, b"\0")
        if len(value) > room:
            inline = struct.pack(f"{order}{word}", len(out))
            out += value
            out += bytes(-len(out) % room)
        entries += struct.pack(f"{order}HH{word}", key, kind, count) + inline
    struct.pack_into(f"{order}{word}", out, 8 if big else 4, len(out))
    out += struct.pack(f"{order}{'Q' if big else 'H'}", len(tags)) + entries + bytes(room)
    return bytes(out)


def _is_full(page: TiffPage) -> bool:
    """Whether a directory holds a picture itself: no smaller copy, no mask of another one."""
    smaller_or_mask = bool(sum(_numbers(page, 254)[:1]) & 0b101)
    return not smaller_or_mask and _numbers(page, 255)[:1] != (2,) and 256 in page.tags


def _numbers(page: TiffPage, tag: int) -> tuple[int, ...]:
    if tag in page.tags and page.tags[tag][0] not in TIFF_WORDS:
        raise TiffError(f"the header is damaged (tag {tag} is no number)")
    return page.values(tag)
