"""A signer that is killed, a token that lies, a profile that is wrong: what leaves, and what is said."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import sqlalchemy as sa

from crypto.keys import PublicKey
from hsm import devtoken
from hsm.config import load_config
from hsm.doctor import checks
from hsm.driver import diagnose_sm2
from hsm.errors import FaultySignature, FrameRefused, KeyMissing, ProfileMismatch, SignerUnreachable
from hsm.models import KeyGenerationRow
from hsm.profile import load_profile
from hsm.rules import PROBE_PREFIX
from hsm.service import KeyService
from hsm.signer import SignerClient, open_custodian
from store.intents import Attempt
from tests.hsm_home import Home, start_signer
from tests.integration.test_hsm_keys import attempt_for, uses

_SPAWN = multiprocessing.get_context("spawn")


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    made = Home(tmp_path / "home")
    yield made
    made.close()


# -- the signer is killed ---


def _load(home: Path, generation: str, spki: bytes, attempts: list[Attempt], results: object) -> None:
    """A client process: signs one message an attempt, verifies, reports."""
    client = SignerClient(load_config(home), patience=60)
    key = PublicKey.from_spki(spki)
    for attempt in attempts:
        message = attempt.intent_id.encode()
        signature = client.sign(generation, message, "sm2-sm3", attempt)
        results.put((attempt.intent_id, key.verify(message, signature)))  # type: ignore[attr-defined]


def test_a_signer_killed_again_and_again_under_load_loses_nothing(home: Home) -> None:
    """Four client processes, 25 attempts each; the signer dies by SIGKILL three times. Each attempt gets a good signature."""
    key = home.keys.generation(home.active("seal_holder", "sm2"))
    home.keys.close()
    shares = [[attempt_for(home, key.id) for _ in range(25)] for _ in range(4)]
    signer = start_signer(home.path)
    results = _SPAWN.Queue()
    clients = [_SPAWN.Process(target=_load, args=(home.path, key.id, key.public_key.spki, share, results)) for share in shares]
    for client in clients:
        client.start()
    got: dict[str, bool] = {}
    kills = 0
    try:
        while len(got) < 100:
            intent, good = results.get(timeout=120)
            assert intent not in got
            got[intent] = good
            if kills < 3 and len(got) >= 20 * (kills + 1):
                signer.send_signal(signal.SIGKILL)
                signer.wait()
                signer = start_signer(home.path, wait=False)
                kills += 1
        for client in clients:
            client.join(timeout=90)
            assert client.exitcode == 0
    finally:
        signer.terminate()
        signer.wait(timeout=20)
        for client in clients:
            client.kill()
    assert kills == 3
    assert all(got.values())
    for attempt in (a for share in shares for a in share):
        recorded = uses(home, attempt)
        assert recorded, "a signature without its row"
        assert {use.attempt for use in recorded} == {1}
        assert len({use.message_digest for use in recorded}) == 1


@pytest.mark.parametrize("point", ["signer.use-uncommitted", "signer.use-recorded", "signer.signed"])
def test_a_signer_killed_at_a_point_signs_after_its_restart(home: Home, point: str) -> None:
    key = home.keys.generation(home.active("seal_holder", "p256"))
    home.keys.close()
    attempt = attempt_for(home, key.id)
    first = start_signer(home.path, code=f"from store.crashpoints import arm; arm({point!r})")
    client = _SPAWN.Process(target=_one, args=(home.path, key.id, key.public_key.spki, attempt))
    client.start()
    assert first.wait(timeout=90) == -signal.SIGKILL
    second = start_signer(home.path, wait=False)
    try:
        client.join(timeout=90)
        assert client.exitcode == 0
    finally:
        second.terminate()
        second.wait(timeout=20)
        client.kill()
    assert len(uses(home, attempt)) == (1 if point == "signer.use-uncommitted" else 2)


def _one(home: Path, generation: str, spki: bytes, attempt: Attempt) -> None:
    signature = SignerClient(load_config(home), patience=60).sign(generation, b"m", "ecdsa-p256-sha256", attempt)
    assert PublicKey.from_spki(spki).verify(b"m", signature)


def test_whoever_may_open_tokens_takes_over_from_a_signer_that_died(home: Home) -> None:
    key = home.active("tsa", "p256")
    home.keys.close()
    signer = start_signer(home.path)
    home.keys.probe(key)
    assert home.keys.custodian.status()["pid"] == signer.pid
    signer.kill()
    signer.wait()
    home.keys.probe(key)
    assert home.keys.custodian.status()["pid"] == os.getpid()


def test_a_process_that_must_hold_no_secrets_waits_and_says_so(home: Home) -> None:
    key = home.active("tsa", "p256")
    home.keys.close()
    client = SignerClient(load_config(home.path), patience=0.3)
    with pytest.raises(SignerUnreachable):
        client.sign(key, PROBE_PREFIX, "ecdsa-p256-sha256", "probe")
    custody = open_custodian(home.path, host=False)
    signer = start_signer(home.path, wait=False)
    try:
        assert custody.status()["pid"] == signer.pid
    finally:
        signer.terminate()
        assert signer.wait(timeout=20) == 0
    assert not load_config(home.path).socket.exists()


def test_a_key_half_made_by_a_crash_is_finished_not_made_twice(home: Home) -> None:
    """The key is in the token, its row says nothing of it yet: staging again finds it."""
    role = home.keys.create_role("tsa", "sm2", "half")
    staged = home.keys.stage(role.id)
    statement = sa.update(KeyGenerationRow).where(KeyGenerationRow.id == staged.id).values(public_key=None)
    home.db.run(lambda session: session.execute(statement))
    with pytest.raises(KeyMissing):
        home.keys.generation(staged.id)
    assert home.keys.stage(role.id) == staged


def test_garbage_on_the_socket_is_refused_and_the_signer_goes_on(home: Home) -> None:
    import socket
    import struct

    key = home.active("tsa", "p256")
    path = str(load_config(home.path).socket)
    for raw in (
        b"GET / HTTP/1.1\r\n\r\n",
        struct.pack(">I", 2**31) + b"x",
        struct.pack(">I", 5) + b"\xff\xff\xff\xff\xff",
        struct.pack(">I", 3) + b"\x83\x01\x02",
        struct.pack(">I", 4) + b"\xa1\x61",
        struct.pack(">I", 6) + b"\xa1\x62op\x63foo"[:6],
        struct.pack(">I", 20000) + b"\x81" * 20000,
    ):
        with socket.socket(socket.AF_UNIX) as connection, suppress(ConnectionError):  # it may hang up on what it will not read
            connection.settimeout(10)
            connection.connect(path)
            connection.sendall(raw)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(4096):
                pass
    with pytest.raises(FrameRefused):
        SignerClient(load_config(home.path))._call({"op": "export", "generation": key})
    home.keys.probe(key)


# -- the token lies or loses its mind ---


@pytest.fixture(scope="module")
def faulty_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return devtoken.build(tmp_path_factory.mktemp("faulty"), faulty=True)


@pytest.mark.parametrize("scheme", ["rsa-pkcs1v15-sha256", "rsa-pss-sha256", "ecdsa-p256-sha256", "sm2-sm3"], ids=lambda s: s)
def test_a_wrong_signature_of_the_token_never_leaves(
    tmp_path: Path, faulty_library: Path, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    from crypto.suites import SCHEMES

    switch = tmp_path / "lie"
    monkeypatch.setenv("XINYIN_FAULT", str(switch))
    home = Home(tmp_path / "home", node=f'[hsm]\nlibrary = "{faulty_library}"')
    try:
        key = home.active("tsa", str(SCHEMES[scheme].suite))
        signer = home.keys.signer(key, "tsa")
        assert home.keys.generation(key).public_key.verify(b"m", signer.sign(b"m", SCHEMES[scheme]), SCHEMES[scheme])
        switch.touch()
        for _ in range(3):
            with pytest.raises(FaultySignature) as caught:
                signer.sign(b"m", SCHEMES[scheme])
            assert "discarded" in caught.value.message
        assert any(not check.ok for check in checks(home.path))
        switch.unlink()
        signer.sign(b"m", SCHEMES[scheme])
    finally:
        home.close()


def test_the_ordinary_library_has_no_switch_to_lie() -> None:
    data = devtoken.library_path().read_bytes()
    assert b"XINYIN_FAULT" not in data
    assert b"FAULTY" not in data


def test_a_token_that_logged_out_behind_our_back_is_logged_in_again(home: Home) -> None:
    key = home.active("tsa", "sm2")
    home.keys.probe(key)
    slot = home.keys.custodian._backend.host.slot("xinyin-main")  # type: ignore[attr-defined]
    with slot.lane() as lane:
        from pkcs11._pkcs11 import lib  # noqa: F401 - the library is loaded
    other = slot.token().open()
    slot._anchor.close()  # C_Logout: every session of this process is logged out, every handle of a private key is void
    other.close()
    assert lane is not None
    home.keys.probe(key)
    home.keys.probe(key)


def test_sessions_closed_under_us_are_opened_again_and_keys_found_again(home: Home) -> None:
    """What an HSM's restart looks like: the library starts anew, no old session or handle is worth anything."""
    keys = [home.active("tsa", suite) for suite in ("rsa", "p256", "sm2")]
    for key in keys:
        home.keys.probe(key)
    home.keys.custodian._backend.host._library.reinitialize()  # type: ignore[attr-defined]
    for key in keys * 2:
        home.keys.probe(key)


def test_a_key_that_the_token_lost_is_named(home: Home) -> None:
    key = home.active("tsa", "p256")
    generation = home.keys.generation(key)
    host = home.keys.custodian._backend.host  # type: ignore[attr-defined]
    host.destroy(generation.token_label, bytes.fromhex(generation.key_id))
    with pytest.raises(KeyMissing) as caught:
        home.keys.probe(key)
    assert generation.key_id in caught.value.message


# -- the profile is wrong ---


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"encoding": "der"}, "it returns raw r‖s: set encoding to raw"),
        ({"sign": 0x80008104}, "it returns DER: set encoding to der"),
        ({"sign": 0x80008100}, "it hashes what it is given: set input to z-message"),
        ({"sign": 0x80008102}, "it computes Z and hashes by itself: set input to message"),
        ({"sign": 0x80008100, "input": "message"}, "it hashes what it is given: set input to z-message"),
        ({"sign": 0x80008102, "input": "z-message"}, "it computes Z and hashes by itself: set input to message"),
        ({"input": "message"}, "it wants other input"),
        ({"sign": 0x80000B21}, "it knows other constants"),
        ({"generate": 0x80000B20}, "it knows other constants"),
        ({"key_type": 0x80000016}, "it knows other constants"),
        ({"sign": 0x80008103, "input": "e"}, "it returns DER: set encoding to der; it computes Z"),
    ],
    ids=lambda v: str(v)[:48],
)
def test_a_profile_that_does_not_fit_is_reported_in_one_sentence_when_the_signer_starts(
    home: Home, change: dict[str, object], said: str
) -> None:
    home.keys.close()
    values = {"key_type": 0x80000004, "generate": 0x80008001, "sign": 0x80008105, "input": "e", "encoding": "raw", **change}
    lines = [f"{name} = {value!r}" if isinstance(value, str) else f"{name} = {value}" for name, value in values.items()]
    profile = home.path / "devtoken.toml"
    profile.write_text('library = "devtoken"\nstand_in = true\n[sm2]\n' + "\n".join(lines))
    (home.path / "node.toml").write_text(f'[hsm]\nprofile = "{profile}"\n')
    custody = open_custodian(home.path)
    with pytest.raises(ProfileMismatch) as caught:
        custody.status()
    assert said in caught.value.message
    assert caught.value.message.count(". ") == 0
    assert "\n" not in caught.value.message
    assert not load_config(home.path).socket.exists()


@pytest.mark.parametrize(
    "change",
    [
        {"sign": 0x80008104, "encoding": "der"},
        {"sign": 0x80008100, "input": "z-message"},
        {"sign": 0x80008101, "input": "z-message", "encoding": "der"},
        {"sign": 0x80008102, "input": "message"},
        {"sign": 0x80008103, "input": "message", "encoding": "der"},
    ],
    ids=lambda v: hex(v["sign"]),
)
def test_every_way_of_a_vendor_works_when_the_profile_says_it(home: Home, change: dict[str, object]) -> None:
    home.keys.close()
    values = {"key_type": 0x80000004, "generate": 0x80008001, "sign": 0x80008105, "input": "e", "encoding": "raw", **change}
    lines = [f"{name} = {value!r}" if isinstance(value, str) else f"{name} = {value}" for name, value in values.items()]
    (home.path / "devtoken.toml").write_text('library = "devtoken"\nstand_in = true\n[sm2]\n' + "\n".join(lines))
    (home.path / "node.toml").write_text(f'[hsm]\nprofile = "{home.path}/devtoken.toml"\n')
    service = KeyService.open(home.path, home.db, "310000")
    role = service.create_role("tsa", "sm2", "ways")
    generation = service.activate(service.stage(role.id).id)
    assert generation.public_key.verify(b"m", service.signer(generation.id, "tsa").sign(b"m"))
    service.close()


def test_rubbish_from_a_token_is_diagnosed_without_a_traceback() -> None:
    from crypto.keys import SoftwareKey
    from crypto.suites import Suite

    profile = load_profile("devtoken").sm2
    assert profile is not None
    key = SoftwareKey.generate(Suite.SM2).public_key
    for rubbish in (b"", b"\0" * 64, b"\xff" * 64, os.urandom(64), os.urandom(70), b"0\x06\x02\x01\x01\x02\x01\x01"):
        assert diagnose_sm2(key, rubbish, profile)


def test_a_home_without_tokens_is_told_what_to_do(tmp_path: Path) -> None:
    found = list(checks(tmp_path / "nothing"))
    assert [c.name for c in found if not c.ok] == ["pin-files", "tokens"]
