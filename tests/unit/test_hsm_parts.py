"""Parts of custody that need no token: rules, profiles, frames, how stand-ins are told."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from crypto.errors import Unavailable, XinyinError
from hsm import profile as profiles
from hsm import rules, wire
from hsm.config import load_config
from hsm.errors import BadProfile, DriverMissing, FaultySignature, FrameRefused, KeyStateForbids, PurposeForbids
from hsm.schemas import TRANSITIONS, KeyPurpose, KeyState
from hsm.tokenhost import stand_in_words
from store.intents import Attempt, UseRefused

PROBE = rules.PROBE_PREFIX + b"x"


@pytest.mark.parametrize("name", ["devtoken", "ibm", "luna", "sansec", "softhsm", "tass"])
def test_every_profile_that_comes_along_can_be_read(name: str) -> None:
    assert name in profiles.names()
    assert profiles.load_profile(name).name == name


def test_only_our_own_profiles_call_themselves_stand_ins() -> None:
    stand_ins = {name for name in profiles.names() if profiles.load_profile(name).stand_in}
    assert stand_ins == {"devtoken", "softhsm"}


@pytest.mark.parametrize(
    "text", ["[sm2]\nkey_type = 1", "[sm2]\nkey_type=1\ngenerate=2\nsign=3\ninput='f'\nencoding='raw'", "rsa = 3", "= nonsense"]
)
def test_a_profile_that_makes_no_sense_is_refused_by_name(tmp_path: Path, text: str) -> None:
    (tmp_path / "vendor.toml").write_text(text)
    with pytest.raises(BadProfile):
        profiles.load_profile(str(tmp_path / "vendor.toml"))
    with pytest.raises(BadProfile, match="devtoken"):
        profiles.load_profile("no-such-vendor")


def test_a_vendors_profile_asks_for_the_vendors_library(tmp_path: Path) -> None:
    (tmp_path / "node.toml").write_text('[hsm]\nprofile = "luna"\n')
    with pytest.raises(DriverMissing, match=r"node\.toml"):
        _ = load_config(tmp_path).library


@pytest.mark.parametrize(
    "names",
    [
        ("SoftHSM project", "SoftHSM v2"),
        ("Xinyin DEVELOPMENT ONLY", "x"),
        ("IBM", "SW   TPM"),
        ("a", "swtpm"),
        ("ACME", "Simulator"),
    ],
)
def test_stand_ins_are_known_by_their_own_words(names: tuple[str, str]) -> None:
    assert stand_in_words(*names)


def test_a_real_hsm_is_not_taken_for_a_stand_in() -> None:
    assert stand_in_words("SafeNet, Inc.", "Luna K7", "Sansec", "SJK1727-G", "IBM", "EP11") is None


def test_keys_that_seal_or_issue_have_no_routine_use_but_probe_and_csr() -> None:
    for purpose in rules.ATTEMPT_PURPOSES:
        assert rules.ROUTINE[purpose] == {"probe", "csr"}
        assert purpose in rules.MESSAGES_PER_ATTEMPT
    assert set(rules.ROUTINE) == set(KeyPurpose)


def test_no_purpose_shares_its_own_word_with_another() -> None:
    words = ("tsa", "seal-maker", "status-list", "trust-list", "checkpoint", "receipt")
    for word in words:
        assert sum(word in allowed for allowed in rules.ROUTINE.values()) == 1


@pytest.mark.parametrize("state", [KeyState.staged, KeyState.retired, KeyState.destroyed])
def test_no_attempt_with_a_key_that_is_not_in_service(state: KeyState) -> None:
    with pytest.raises(KeyStateForbids):
        rules.check_attempt(KeyPurpose.seal_holder, state)


@pytest.mark.parametrize("purpose", sorted(set(KeyPurpose) - rules.ATTEMPT_PURPOSES))
def test_infrastructure_keys_sign_in_no_attempt(purpose: KeyPurpose) -> None:
    with pytest.raises(PurposeForbids):
        rules.check_attempt(purpose, KeyState.active)


def test_a_destroyed_key_has_no_use_at_all() -> None:
    for purpose, words in rules.ROUTINE.items():
        for word in words:
            with pytest.raises(KeyStateForbids):
                rules.check_routine(purpose, KeyState.destroyed, word, PROBE, b"")


def test_a_probe_is_nothing_that_a_format_signs() -> None:
    rules.check_routine(KeyPurpose.seal_holder, KeyState.active, "probe", PROBE, b"")
    for message in (b"0\x82\x01\x00", b"1\x10", b'{"alg"', b"eyJ", b"", b"xinyin probe: "):
        with pytest.raises(PurposeForbids):
            rules.check_routine(KeyPurpose.seal_holder, KeyState.active, "probe", message, b"")


def test_nothing_leads_back_from_retirement() -> None:
    assert TRANSITIONS[KeyState.retired] == {KeyState.destroyed}
    assert TRANSITIONS[KeyState.destroyed] == frozenset()
    assert all(KeyState.staged not in following for following in TRANSITIONS.values())


@pytest.mark.parametrize("use", ["crl", Attempt("intent_1", 3, "lease")])
def test_a_use_crosses_the_socket_unchanged(use: str | Attempt) -> None:
    assert wire.unpack_use(wire.pack_use(use)) == use


@pytest.mark.parametrize("bad", [None, 7, "", "x" * 33, {}, {"intent": "i", "attempt": "1", "lease": "t"}, ["crl"]])
def test_a_use_that_is_neither_word_nor_attempt_is_refused(bad: object) -> None:
    with pytest.raises(FrameRefused):
        wire.unpack_use(bad)


def test_errors_keep_their_class_and_their_words_across_the_socket() -> None:
    for error in (
        FaultySignature("e", "中", algorithm="sm2"),
        UseRefused("e", "中", why="w"),
        KeyStateForbids("e", "中"),
        Unavailable("e", "中"),
    ):
        arrived = wire.unpack_error(wire.pack_error(error)["error"])
        assert type(arrived) is type(error)
        assert arrived.to_dict() == error.to_dict()
    strange = wire.unpack_error({"code": "never-heard-of", "message": "m", "message_zh": "中", "detail": {}})
    assert isinstance(strange, XinyinError)
    assert strange.message == "m"


def test_a_frame_crosses_whole_and_a_cut_one_is_noticed() -> None:
    left, right = socket.socketpair()
    with left, right:
        wire.send(left, {"op": "sign", "message": bytes(100_000)})
        received = wire.receive(right)
        assert received == {"op": "sign", "message": bytes(100_000)}
        left.sendall(b"\0\0\0\x10abc")
        left.close()
        with pytest.raises(ConnectionError):
            wire.receive(right)


def test_a_frame_over_the_limit_is_not_read() -> None:
    left, right = socket.socketpair()
    with left, right:
        left.sendall(b"\xff\xff\xff\xff")
        with pytest.raises(FrameRefused):
            wire.receive(right)
        with pytest.raises(FrameRefused):
            wire.send(left, {"message": bytes(wire.MAX_FRAME)})
