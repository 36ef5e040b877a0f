"""The rows of many blocks, added up: where a block begins and which block a row belongs to, in logarithmic time."""

from __future__ import annotations


class Heights:
    """A list of heights with running totals (a Fenwick tree that can grow)."""

    def __init__(self) -> None:
        self._values: list[int] = []
        self._sums: list[int] = [0]
        self.total = 0
        """All heights together."""

    def __len__(self) -> int:
        return len(self._values)

    def __getitem__(self, index: int) -> int:
        return self._values[index]

    def append(self, height: int) -> None:
        """Add a height at the end."""
        self._values.append(height)
        at = len(self._values)
        total = height
        child = 1
        while child < at & -at:
            total += self._sums[at - child]
            child <<= 1
        self._sums.append(total)
        self.total += height

    def set(self, index: int, height: int) -> None:
        """Change a height."""
        change = height - self._values[index]
        if change:
            self._values[index] = height
            self.total += change
            at = index + 1
            while at < len(self._sums):
                self._sums[at] += change
                at += at & -at

    def start(self, index: int) -> int:
        """Return the sum of the heights before an index."""
        total = 0
        while index:
            total += self._sums[index]
            index &= index - 1
        return total

    def locate(self, row: int) -> tuple[int, int]:
        """Return the index of the height that a row falls into, and how far; the end for a row behind it."""
        at = 0
        step = 1 << len(self._values).bit_length()
        while step:
            if at + step < len(self._sums) and self._sums[at + step] <= row:
                at += step
                row -= self._sums[at]
            step >>= 1
        return at, row
