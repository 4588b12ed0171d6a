"""Sets of things that are joined step by step (union-find)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


class Groups:
    """Numbers 0 ... count - 1, each in a set of its own until joined."""

    def __init__(self, count: int) -> None:
        self._parent = list(range(count))

    def root(self, item: int) -> int:
        """The smallest member of the set of ``item``."""
        while self._parent[item] != item:
            self._parent[item] = self._parent[self._parent[item]]
            item = self._parent[item]
        return item

    def join(self, one: int, other: int) -> None:
        """Make one set of the two that these are in."""
        first, second = sorted((self.root(one), self.root(other)))
        self._parent[second] = first

    def labels(self) -> npt.NDArray[np.int64]:
        """A number for each item, the same within a set: 0, 1, ... in the order of smallest members."""
        roots = [self.root(item) for item in range(len(self._parent))]
        labels: npt.NDArray[np.int64] = np.unique(roots, return_inverse=True)[1].astype(np.int64)
        return labels
