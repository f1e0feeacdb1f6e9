"""Merkle hashing against the known answers of the Certificate Transparency test data, and against a definition written anew."""

from __future__ import annotations

import hashlib

import pytest

from formats import merkle

# Input leaves and roots for the first n of them, as published with the reference implementation of RFC 6962.
LEAVES = [
    bytes.fromhex(text)
    for text in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def definition(leaves: list[bytes]) -> bytes:
    """MTH of RFC 6962 §2.1, word for word."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\x00" + leaves[0]).digest()
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return hashlib.sha256(b"\x01" + definition(leaves[:k]) + definition(leaves[k:])).digest()


class Tree:
    """Keeps the subtrees that a compact range completes, as the database does."""

    def __init__(self, leaves: list[bytes]) -> None:
        self.edge = merkle.CompactRange()
        self.nodes: dict[tuple[int, int], bytes] = {}
        for number, leaf in enumerate(leaves):
            self.nodes[0, number] = merkle.leaf_hash(leaf)
            for level, index, value in self.edge.append(merkle.leaf_hash(leaf)):
                self.nodes[level, index] = value

    def node(self, level: int, index: int) -> bytes:
        return self.nodes[level, index]


def test_roots_are_those_of_the_certificate_transparency_test_data() -> None:
    for count, expected in enumerate(ROOTS, start=1):
        assert merkle.root([merkle.leaf_hash(leaf) for leaf in LEAVES[:count]]).hex() == expected
    assert merkle.root([]).hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_an_appended_tree_has_the_root_of_the_definition_at_every_size() -> None:
    leaves = [bytes([n]) * (n % 5) for n in range(70)]
    tree = Tree(leaves)
    for size in range(71):
        assert merkle.CompactRange.read(size, tree.node).root() == definition(leaves[:size])


def test_every_inclusion_proof_verifies_and_no_other_leaf_root_or_place_does() -> None:
    leaves = [str(n).encode() for n in range(33)]
    tree = Tree(leaves)
    for size in range(1, 34):
        root = definition(leaves[:size])
        for index in range(size):
            proof = merkle.inclusion_proof(index, size, tree.node)
            leaf = merkle.leaf_hash(leaves[index])
            assert merkle.verify_inclusion(leaf, index, size, proof, root)
            assert not merkle.verify_inclusion(merkle.leaf_hash(b"x"), index, size, proof, root)
            assert not merkle.verify_inclusion(leaf, index, size, proof, bytes(32))
            assert not merkle.verify_inclusion(leaf, index, size, [*proof, bytes(32)], root)
            assert not merkle.verify_inclusion(leaf, (index + 1) % size, size, proof, root) or size == 1
            if proof:
                assert not merkle.verify_inclusion(leaf, index, size, proof[:-1], root)


def test_every_consistency_proof_verifies_and_a_rewritten_past_does_not() -> None:
    leaves = [str(n).encode() for n in range(33)]
    tree = Tree(leaves)
    for new in range(34):
        for old in range(new + 1):
            proof = merkle.consistency_proof(old, new, tree.node)
            first, second = definition(leaves[:old]), definition(leaves[:new])
            assert merkle.verify_consistency(old, new, first, second, proof)
            if 0 < old < new:
                assert not merkle.verify_consistency(old, new, bytes(32), second, proof)
                assert not merkle.verify_consistency(old, new, first, bytes(32), proof)
                assert not merkle.verify_consistency(old, new, first, second, [*proof, bytes(32)])
                assert not merkle.verify_consistency(old, new, first, second, proof[:-1])
                rewritten = definition([b"other", *leaves[1:old]])
                assert not merkle.verify_consistency(old, new, rewritten, second, proof)


def test_the_published_proof_paths_come_out() -> None:
    tree = Tree(LEAVES)
    assert [item.hex() for item in merkle.inclusion_proof(0, 8, tree.node)] == [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ]
    assert [item.hex() for item in merkle.consistency_proof(6, 8, tree.node)] == [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ]


def test_a_compact_range_refuses_hashes_that_do_not_fit_its_size() -> None:
    with pytest.raises(ValueError):
        merkle.CompactRange(5, [bytes(32)])
    with pytest.raises(ValueError):
        merkle.inclusion_proof(3, 3, lambda level, index: bytes(32))
