"""Merkle hashing and proofs of an append-only log (RFC 6962 §2.1, RFC 9162 §2.1), with SHA-256.

A tree is known here by its hashes only. :class:`CompactRange` holds the O(log n) hashes that are needed to go on appending and
to know the root; proofs are lists of hashes, verified by the algorithms of RFC 9162 §2.1.3.2 and §2.1.4.2.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence

HASH_SIZE = 32
EMPTY_ROOT = hashlib.sha256(b"").digest()

NodeReader = Callable[[int, int], bytes]
"""``(level, index)`` → hash of the complete subtree over leaves ``index·2^level`` up to ``(index+1)·2^level`` (exclusive)."""


def leaf_hash(data: bytes) -> bytes:
    """SHA-256(0x00 ‖ data) (RFC 6962 §2.1)."""
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """SHA-256(0x01 ‖ left ‖ right) (RFC 6962 §2.1)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


class CompactRange:
    """The left edge of a tree of ``size`` leaves: one hash for each bit set in ``size``, largest subtree first."""

    def __init__(self, size: int = 0, hashes: Sequence[bytes] = ()) -> None:
        if len(hashes) != size.bit_count():
            raise ValueError(f"a tree of {size} leaves has {size.bit_count()} peaks, not {len(hashes)}")
        self.size = size
        self._peaks = list(hashes)

    @classmethod
    def read(cls, size: int, node: NodeReader) -> CompactRange:
        """The range of the first ``size`` leaves of a stored tree."""
        return cls(size, [node(level, index) for level, index in _peaks(size)])

    def append(self, leaf: bytes) -> list[tuple[int, int, bytes]]:
        """Append one leaf hash; the larger subtrees that it completed, as ``(level, index, hash)``."""
        completed: list[tuple[int, int, bytes]] = []
        current, level = leaf, 0
        while (self.size >> level) & 1:
            current = node_hash(self._peaks.pop(), current)
            level += 1
            completed.append((level, self.size >> level, current))
        self._peaks.append(current)
        self.size += 1
        return completed

    def root(self) -> bytes:
        """The Merkle tree hash of all leaves so far (RFC 6962 §2.1)."""
        if not self._peaks:
            return EMPTY_ROOT
        result = self._peaks[-1]
        for peak in reversed(self._peaks[:-1]):
            result = node_hash(peak, result)
        return result


def root(leaves: Sequence[bytes]) -> bytes:
    """Root over leaf hashes."""
    edge = CompactRange()
    for leaf in leaves:
        edge.append(leaf)
    return edge.root()


def inclusion_proof(index: int, size: int, node: NodeReader) -> list[bytes]:
    """PATH(index, D[size]) of RFC 6962 §2.1.1, leaf side first; reads O(log² n) stored subtree hashes."""
    if not 0 <= index < size:
        raise ValueError(f"no leaf {index} in a tree of {size}")
    return list(_path(index, 0, size, node))


def consistency_proof(old: int, new: int, node: NodeReader) -> list[bytes]:
    """PROOF(old, D[new]) of RFC 6962 §2.1.2; empty for ``old`` 0 or ``old == new``."""
    if not 0 <= old <= new:
        raise ValueError(f"no consistency proof from {old} to {new} leaves")
    if old in (0, new):
        return []
    return list(_subproof(old, 0, new, True, node))


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], expected_root: bytes) -> bool:
    """Whether ``proof`` shows that ``leaf`` is number ``index`` of the tree (RFC 9162 §2.1.3.2)."""
    if not 0 <= index < size or any(len(item) != HASH_SIZE for item in proof):
        return False
    fn, sn, result = index, size - 1, leaf
    for item in proof:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            result = node_hash(item, result)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            result = node_hash(result, item)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and result == expected_root


def verify_consistency(old: int, new: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]) -> bool:
    """Whether ``proof`` shows that the tree of ``new`` leaves extends the one of ``old`` leaves (RFC 9162 §2.1.4.2)."""
    if not 0 <= old <= new or any(len(item) != HASH_SIZE for item in proof):
        return False
    if old == new:
        return not proof and old_root == new_root
    if old == 0:
        return not proof and old_root == EMPTY_ROOT
    path = list(proof)
    if old & (old - 1) == 0:
        path.insert(0, old_root)
    if not path:
        return False
    fn, sn = old - 1, new - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    first = second = path[0]
    for item in path[1:]:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            first, second = node_hash(item, first), node_hash(item, second)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            second = node_hash(second, item)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and first == old_root and second == new_root


def _peaks(size: int) -> Iterator[tuple[int, int]]:
    """The complete subtrees that cover ``size`` leaves, largest first, as ``(level, index)``."""
    start = 0
    for level in range(size.bit_length() - 1, -1, -1):
        if (size >> level) & 1:
            yield level, start >> level
            start += 1 << level


def _split(count: int) -> int:
    """The largest power of two smaller than ``count`` (RFC 6962 §2.1's k)."""
    return 1 << ((count - 1).bit_length() - 1)


def _subtree(start: int, count: int, node: NodeReader) -> bytes:
    """Root over ``count`` leaves from ``start``; ``start`` is a multiple of the next power of two of ``count``."""
    if count & (count - 1) == 0:
        level = count.bit_length() - 1
        return node(level, start >> level)
    k = _split(count)
    return node_hash(_subtree(start, k, node), _subtree(start + k, count - k, node))


def _path(index: int, start: int, count: int, node: NodeReader) -> Iterator[bytes]:
    if count == 1:
        return
    k = _split(count)
    if index < k:
        yield from _path(index, start, k, node)
        yield _subtree(start + k, count - k, node)
    else:
        yield from _path(index - k, start + k, count - k, node)
        yield _subtree(start, k, node)


def _subproof(old: int, start: int, count: int, known: bool, node: NodeReader) -> Iterator[bytes]:
    if old == count:
        if not known:
            yield _subtree(start, count, node)
        return
    k = _split(count)
    if old <= k:
        yield from _subproof(old, start, k, known, node)
        yield _subtree(start + k, count - k, node)
    else:
        yield from _subproof(old - k, start + k, count - k, False, node)
        yield _subtree(start, k, node)
