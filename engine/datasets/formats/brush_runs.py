"""Label Studio's run lengths for brush masks, read and written.

The packing is that of thi.ng/rle-pack, most significant bit first: 32 bits with the number of values, 5
with the bits of a value less one, four times 4 with the bits of a count less one. Then records: a bit
(1: one value repeated; 0: values that follow), 2 bits that choose the size of the count, the count less
one, the value or values. The values are red, green, blue and alpha of each pixel, row by row; what has
been painted is where alpha is not 0.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.datasets.formats.mask_pixels import runs_of_rows

CHANNELS = 4
COUNT_BITS = (3, 4, 8, 16)  # what we write
MOST_RECORDS = 4_000_000


class _Bits:
    """Bytes read bit by bit."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.place = 0

    def skip(self, number: int) -> int:
        """Step over bits and return where they begin; raises ``ValueError`` beyond the end."""
        begin = self.place
        self.place += number
        if self.place > 8 * len(self.data):
            raise ValueError("its runs end in the middle")
        return begin

    def read(self, number: int) -> int:
        """Return the next bits as a whole number."""
        begin = self.skip(number)
        found = int.from_bytes(self.data[begin >> 3 : (self.place + 7) >> 3], "big")
        return found >> (-self.place % 8) & ((1 << number) - 1)

    def any_set(self, count: int, size: int) -> NDArray[np.bool_]:
        """Say of each of the next ``count`` values of ``size`` bits whether it is not 0."""
        begin = self.skip(count * size)
        octets = np.frombuffer(self.data[begin >> 3 : (self.place + 7) >> 3], np.uint8)
        bits = np.unpackbits(octets)[begin % 8 : begin % 8 + count * size]
        return np.asarray(bits.reshape(count, size).any(axis=1), np.bool_)


def unpack(data: bytes, width: int, height: int) -> NDArray[np.bool_]:
    """Return the mask (height, width) of packed runs.

    Raises ``ValueError`` when they are damaged or not of this size, before anything is allocated for them.
    """
    bits = _Bits(data)
    total = bits.read(32)
    if total != CHANNELS * width * height:
        raise ValueError(f"its runs are not those of a mask of {width} x {height} px")
    size = bits.read(5) + 1
    counts = [bits.read(4) + 1 for _ in range(4)]
    inside = np.zeros(width * height, np.bool_)
    place = 0
    for _ in range(MOST_RECORDS):
        if place >= total:
            return inside.reshape(height, width)
        repeated = bits.read(1)
        end = place + bits.read(counts[bits.read(2)]) + 1
        if end > total:
            raise ValueError("its runs are longer than the mask")
        # The alpha of pixel k is value 4k + 3; these are the pixels whose alpha lies in this record.
        first, last = place // CHANNELS, end // CHANNELS
        if repeated:
            inside[first:last] = bits.read(size) != 0
        else:
            values = bits.any_set(end - place, size)
            inside[first:last] = values[CHANNELS * first + 3 - place :: CHANNELS]
        place = end
    raise ValueError("it has too many runs")


def pack(pixels: NDArray[np.bool_]) -> bytes:
    """Return the packed runs of a mask (height, width)."""
    parts = [f"{CHANNELS * pixels.size:032b}", f"{7:05b}", *(f"{bits - 1:04b}" for bits in COUNT_BITS)]
    value = 0
    for run in runs_of_rows(pixels):
        left = CHANNELS * run
        while left:
            count = min(left, 1 << COUNT_BITS[-1])
            kind = next(place for place, bits in enumerate(COUNT_BITS) if count <= 1 << bits)
            parts.append(f"1{kind:02b}{count - 1:0{COUNT_BITS[kind]}b}{value:08b}")
            left -= count
        value = 255 - value
    text = "".join(parts)
    text += "0" * (-len(text) % 8)
    return int(text, 2).to_bytes(len(text) // 8, "big")
