"""Key roles and generations: their life, what each may sign, and that they sign it with keys in the token."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from asn1crypto import crl as asn1_crl
from sqlalchemy.exc import IntegrityError

from crypto.errors import BadInput
from crypto.keys import PublicKey
from crypto.suites import SCHEMES, Scheme, Suite
from hsm.config import load_config
from hsm.doctor import checks
from hsm.errors import (
    KeyStateForbids,
    NoSuchGeneration,
    PinRefused,
    PurposeForbids,
    RoleExists,
    StandInRefused,
)
from hsm.models import KeyGenerationRow
from hsm.rules import PROBE_PREFIX
from hsm.service import KeyService
from hsm.signer import SignerClient, open_custodian
from store.db import Database
from store.intents import Attempt, Outcome, UseRefused
from store.models import IntentRow, KeyUseRow
from tests.hsm_home import Home

PROBE = PROBE_PREFIX + b"test"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    made = Home(tmp_path_factory.mktemp("home"))
    yield made
    made.close()


def attempt_for(home: Home, *generations: str) -> Attempt:
    """A living attempt of a fresh intent that names these keys."""
    from store.db import utc_now
    from store.ids import new_id
    from store.models import AttemptRow

    attempt = Attempt(new_id("intent"), 1, os.urandom(16).hex())
    now = utc_now()

    def work(session: sa.orm.Session) -> None:
        session.add(
            IntentRow(
                id=attempt.intent_id, region="310000", account="a", operation="seal", key=attempt.intent_id, request_digest="0",
                subject={}, generation_ids=list(generations), status="running", attempt=1, lease_token=attempt.token,
                lease_owner="", lease_until=now + timedelta(minutes=1), created_at=now, updated_at=now,
            )
        )  # fmt: skip
        session.flush()
        session.add(
            AttemptRow(intent_id=attempt.intent_id, number=1, region="310000", request_digest="0", owner="", started_at=now)
        )

    home.db.run(work)
    return attempt


def change_intent(home: Home, attempt: Attempt, values: dict[str, object]) -> None:
    home.db.run(lambda s: s.execute(sa.update(IntentRow).where(IntentRow.id == attempt.intent_id).values(**values)))


def uses(home: Home, attempt: Attempt) -> list[KeyUseRow]:
    with home.db.read() as session:
        return list(session.scalars(sa.select(KeyUseRow).where(KeyUseRow.intent_id == attempt.intent_id)))


def tbs_crl(key: PublicKey) -> bytes:
    now = datetime.now(UTC).replace(microsecond=0)
    body = asn1_crl.TbsCertList(
        {
            "version": "v2",
            "signature": {"algorithm": "sha256_rsa"},
            "issuer": asn1_crl.Name.build({"common_name": "t"}),
            "this_update": asn1_crl.Time({"utc_time": now}),
            "next_update": asn1_crl.Time({"utc_time": now + timedelta(days=1)}),
        }
    )
    return bytes(body.dump())


# -- signing in every suite ---


@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=lambda s: s.name)
def test_every_scheme_signs_in_the_token(home: Home, scheme: Scheme) -> None:
    generation = home.keys.generation(home.active("tsa", str(scheme.suite), f"tsa {scheme.suite}"))
    message = os.urandom(300)
    signature = home.keys.signer(generation.id, "tsa").sign(message, scheme)
    assert generation.public_key.verify(message, signature, scheme)
    assert not generation.public_key.verify(message + b"x", signature, scheme)


@pytest.mark.parametrize("bits", [3072, 4096])
def test_longer_rsa_keys_are_made_and_sign(home: Home, bits: int) -> None:
    generation = home.keys.generation(home.active("tsa", "rsa", f"tsa {bits}", bits=bits))
    assert generation.public_key.bits == bits
    signature = home.keys.signer(generation.id, "tsa").sign(b"m")
    assert len(signature) == bits // 8
    assert generation.public_key.verify(b"m", signature)


@pytest.mark.parametrize("suite", Suite)
def test_four_threads_sign_at_once_and_every_signature_verifies(home: Home, suite: Suite) -> None:
    generation = home.keys.generation(home.active("tsa", str(suite), f"tsa {suite}"))
    signer = home.keys.signer(generation.id, "tsa")
    good: list[bool] = []

    def work(number: int) -> None:
        for turn in range(15):
            message = b"%d %d" % (number, turn)
            good.append(generation.public_key.verify(message, signer.sign(message)))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert good == [True] * 60


def test_a_scheme_of_another_suite_is_refused(home: Home) -> None:
    with pytest.raises(BadInput):
        home.keys.signer(home.active("tsa", "p256"), "tsa").sign(b"m", SCHEMES["sm2-sm3"])


# -- life of a key ---


def test_asking_twice_for_a_role_or_a_staged_key_gives_the_same(home: Home) -> None:
    role = home.keys.create_role("receipt", "p256", "twice")
    assert home.keys.create_role("receipt", "p256", "twice").id == role.id
    assert home.keys.stage(role.id) == home.keys.stage(role.id)
    with pytest.raises(RoleExists):
        home.keys.create_role("receipt", "p256", "twice", custody="software")


def test_staging_at_once_makes_one_key(home: Home) -> None:
    role = home.keys.create_role("receipt", "sm2", "at once")
    staged: list[str] = []
    threads = [threading.Thread(target=lambda: staged.append(home.keys.stage(role.id).id)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(staged) == 4
    assert len(set(staged)) == 1
    home.keys.probe(staged[0])


def test_activating_a_successor_drains_the_one_before(home: Home) -> None:
    role = home.keys.create_role("seal_holder", "p256", "rotation")
    first = home.keys.activate(home.keys.stage(role.id).id)
    second = home.keys.activate(home.keys.stage(role.id).id)
    assert [g.state for g in home.keys.generations(role.id)] == ["draining", "active"]
    assert (second.number, home.keys.active(role.id).id) == (2, second.id)
    signer = home.keys.signer(first.id, attempt_for(home, first.id))
    assert first.public_key.verify(b"old intent", signer.sign(b"old intent"))


def test_a_key_that_another_process_retired_signs_no_more_though_it_was_remembered(home: Home) -> None:
    role = home.keys.create_role("seal_holder", "p256", "retired elsewhere")
    key = home.keys.activate(home.keys.stage(role.id).id).id
    assert home.keys.active(role.id).id == key
    home.keys.signer(key, attempt_for(home, key)).sign(b"before")
    late = home.keys.signer(key, attempt_for(home, key))
    statement = sa.update(KeyGenerationRow).where(KeyGenerationRow.id == key).values(state="retired")
    home.db.run(lambda session: session.execute(statement))
    with pytest.raises(NoSuchGeneration):
        home.keys.active(role.id)
    for signer in (late, home.keys.signer(key, attempt_for(home, key))):
        with pytest.raises(KeyStateForbids):
            signer.sign(b"after")


def test_the_database_itself_allows_one_active_key_a_role(home: Home) -> None:
    role = home.keys.create_role("receipt", "p256", "one")
    home.keys.activate(home.keys.stage(role.id).id)
    second = home.keys.stage(role.id)
    statement = sa.update(KeyGenerationRow).where(KeyGenerationRow.id == second.id).values(state="active")
    with pytest.raises(IntegrityError):
        home.db.run(lambda session: session.execute(statement))


def test_only_legal_steps_are_taken(home: Home) -> None:
    role = home.keys.create_role("receipt", "p256", "steps")
    key = home.keys.stage(role.id).id
    with pytest.raises(KeyStateForbids):
        home.keys.retire(key)
    home.keys.activate(key)
    for step in (home.keys.activate, home.keys.destroy):
        with pytest.raises(KeyStateForbids):
            step(key)
    home.keys.retire(key)
    for step in (home.keys.activate, home.keys.retire):
        with pytest.raises(KeyStateForbids):
            step(key)
    assert home.keys.destroy(key).state == "destroyed"
    with pytest.raises(KeyStateForbids):
        home.keys.destroy(key)
    with pytest.raises(NoSuchGeneration):
        home.keys.active(role.id)


def test_a_retired_key_signs_nothing_and_a_retired_ca_only_its_crls_and_ocsp(home: Home) -> None:
    timestamps = home.active("tsa", "p256", "to retire")
    signer = home.keys.signer(timestamps, "tsa")
    signer.sign(b"before")
    home.keys.retire(timestamps)
    with pytest.raises(KeyStateForbids):
        signer.sign(b"after")
    authority = home.active("issuing_ca", "rsa", "to retire")
    home.keys.retire(authority)
    public = home.keys.generation(authority).public_key
    crl = tbs_crl(public)
    assert public.verify(crl, home.keys.signer(authority, "crl").sign(crl))
    with pytest.raises(PurposeForbids):
        home.keys.signer(authority, "crl").sign(b"0\x03\x02\x01\x05 a certificate under a false name")
    with pytest.raises(KeyStateForbids):
        home.keys.signer(authority, "certificate").sign(crl)


def test_a_destroyed_key_is_gone_from_the_token(home: Home) -> None:
    key = home.active("receipt", "sm2", "gone")
    home.keys.retire(key)
    assert home.keys.custodian.destroy(key) == 2
    assert home.keys.destroy(key).state == "destroyed"


# -- what a key may sign ---


@pytest.mark.parametrize("word", ["crl", "ocsp", "tsa", "certificate", "checkpoint", "seal-maker", "trust-list", "anything"])
def test_a_key_that_seals_refuses_every_routine_use(home: Home, word: str) -> None:
    with pytest.raises(PurposeForbids):
        home.keys.signer(home.active("seal_holder", "p256"), word)


def test_the_signer_itself_refuses_what_the_service_would(home: Home) -> None:
    key = home.active("seal_holder", "p256")
    custodian = home.keys.custodian
    with pytest.raises(PurposeForbids):
        custodian.sign(key, b"a document", "ecdsa-p256-sha256", "tsa")
    with pytest.raises(PurposeForbids):
        custodian.sign(key, b"1\x10 signed attributes", "ecdsa-p256-sha256", "probe")
    with pytest.raises(PurposeForbids):
        custodian.sign(key, b"0\x03\x02\x01\x05", "ecdsa-p256-sha256", "csr")
    with pytest.raises(PurposeForbids):
        custodian.sign(home.active("tsa", "p256"), b"a document", "ecdsa-p256-sha256", attempt_for(home, "x"))
    assert custodian.sign(key, PROBE, "ecdsa-p256-sha256", "probe")


def test_a_request_for_a_certificate_is_signed_only_by_the_key_it_names(home: Home) -> None:
    from asn1crypto import csr, keys

    mine = home.keys.generation(home.active("seal_holder", "p256"))
    other = home.keys.generation(home.active("seal_holder", "p256", "other"))

    def request(spki: bytes) -> bytes:
        info = csr.CertificationRequestInfo(
            {
                "version": "v1",
                "subject": asn1_crl.Name.build({"common_name": "样本"}),
                "subject_pk_info": keys.PublicKeyInfo.load(spki),
                "attributes": [],
            }
        )
        return bytes(info.dump())

    good = request(mine.public_key.spki)
    assert mine.public_key.verify(good, home.keys.signer(mine.id, "csr").sign(good))
    with pytest.raises(PurposeForbids):
        home.keys.signer(mine.id, "csr").sign(request(other.public_key.spki))


def test_a_use_is_on_record_before_the_key_signs(home: Home) -> None:
    key = home.active("seal_holder", "sm2")
    attempt = attempt_for(home, key)
    home.keys.signer(key, attempt).sign(b"document")
    (use,) = uses(home, attempt)
    import hashlib

    assert (use.generation_id, use.attempt, use.message_digest) == (key, 1, hashlib.sha256(b"document").hexdigest())


def test_the_same_attempt_may_ask_again_for_the_same_and_for_nothing_else(home: Home) -> None:
    key = home.active("seal_holder", "p256")
    attempt = attempt_for(home, key)
    signer = home.keys.signer(key, attempt)
    signer.sign(b"document")
    signer.sign(b"document")
    with pytest.raises(UseRefused):
        signer.sign(b"another document")
    assert len(uses(home, attempt)) == 2


@pytest.mark.parametrize(
    "spoil",
    [
        {"status": "done"},
        {"status": "failed"},
        {"attempt": 2},
        {"lease_token": "another"},
        {"lease_until": datetime(2020, 1, 1, tzinfo=UTC)},
        {"generation_ids": ["key_other"]},
    ],
    ids=lambda s: next(iter(s)),
)
def test_an_attempt_that_is_not_the_living_one_gets_no_signature(home: Home, spoil: dict[str, object]) -> None:
    key = home.active("seal_holder", "p256")
    attempt = attempt_for(home, key)
    change_intent(home, attempt, spoil)
    with pytest.raises(UseRefused):
        home.keys.signer(key, attempt).sign(b"document")
    assert uses(home, attempt) == []


def test_an_attempt_of_no_intent_gets_no_signature(home: Home) -> None:
    with pytest.raises(UseRefused):
        home.keys.signer(home.active("seal_holder", "p256"), Attempt("intent_none", 1, "t")).sign(b"document")


def test_a_refused_neighbour_does_not_spoil_a_shared_commit(home: Home) -> None:
    key = home.active("seal_holder", "p256")
    attempts = [attempt_for(home, key) for _ in range(12)]
    for attempt in attempts[::3]:
        change_intent(home, attempt, {"status": "done"})
    outcome: dict[int, str] = {}

    def work(number: int) -> None:
        try:
            home.keys.signer(key, attempts[number]).sign(b"d%d" % number)
            outcome[number] = "signed"
        except UseRefused:
            outcome[number] = "refused"

    threads = [threading.Thread(target=work, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcome == {n: "refused" if n % 3 == 0 else "signed" for n in range(12)}
    assert [len(uses(home, a)) for a in attempts] == [0 if n % 3 == 0 else 1 for n in range(12)]


def test_the_whole_path_of_a_signature_with_a_key_in_the_token(home: Home) -> None:
    key = home.keys.generation(home.active("licence_issuer", "sm2"))
    from store.audit import AuditLog

    audit = AuditLog(home.db, "310000")

    def commit(session: sa.orm.Session, _outcome: Outcome, _attempt: Attempt) -> dict[str, object]:
        audit.append(session, kind="test", actor="t", subject={"id": "x"}, data={})
        return {"id": "x"}

    result = home.intents.perform(
        account="a", operation="issue", key="k-1", request_digest="d", subject={}, generation_ids=[key.id],
        work=lambda attempt: Outcome(artefact=home.keys.signer(key.id, attempt).sign(b"licence")), commit=commit,
    )  # fmt: skip
    assert result.blob is not None
    assert key.public_key.verify(b"licence", home.intents.blobs.get(result.blob))


def test_routine_uses_are_counted(home: Home) -> None:
    key = home.active("tsa", "p256", "counted")
    for _ in range(7):
        home.keys.signer(key, "tsa").sign(b"t")
    deadline = datetime.now(UTC) + timedelta(seconds=10)
    while home.keys.use_counts(key) != {"tsa": 7} and datetime.now(UTC) < deadline:
        threading.Event().wait(0.1)
    assert home.keys.use_counts(key) == {"tsa": 7}


def test_keys_live_and_sign_on_postgresql_too(postgresql_database: Database, tmp_path: Path) -> None:
    """Roles, the one active key, uses on record by twelve threads at once: with the other database underneath."""
    home = Home(tmp_path / "pg", database=postgresql_database.url.render_as_string(hide_password=False))
    try:
        key = home.keys.generation(home.active("seal_holder", "p256"))
        attempts = [attempt_for(home, key.id) for _ in range(12)]
        good: list[bool] = []

        def work(attempt: Attempt) -> None:
            message = attempt.intent_id.encode()
            good.append(key.public_key.verify(message, home.keys.signer(key.id, attempt).sign(message)))

        threads = [threading.Thread(target=work, args=(attempt,)) for attempt in attempts]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert good == [True] * 12
        assert [len(uses(home, attempt)) for attempt in attempts] == [1] * 12
        successor = home.keys.activate(home.keys.stage(key.role_id).id)
        assert [g.state for g in home.keys.generations(key.role_id)] == ["draining", "active"]
        home.keys.probe(successor.id)
        home.keys.close()
        assert home.keys.use_counts(successor.id) == {"probe": 1}
    finally:
        home.close()


# -- custody ---


def test_the_root_ca_has_its_own_token_which_is_logged_out_again(home: Home) -> None:
    key = home.keys.generation(home.active("root_ca", "sm2", "root"))
    assert key.token_label == "xinyin-root"
    home.keys.probe(key.id)
    backend = home.keys.custodian._backend  # type: ignore[attr-defined]
    assert backend.host.slot("xinyin-root")._anchor is None
    assert backend.host.slot("xinyin-main")._anchor is not None


def test_a_software_key_signs_in_development_and_says_what_it_is(home: Home) -> None:
    key = home.keys.generation(home.active("receipt", "sm2", "soft", custody="software"))
    assert key.custody == "software"
    home.keys.probe(key.id)
    (file,) = (home.path / "secrets" / "keys").glob("*.p8")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    home.keys.retire(key.id)
    home.keys.destroy(key.id)
    assert not file.exists()


def test_production_refuses_software_keys_and_stand_in_tokens(home: Home, tmp_path: Path) -> None:
    strict = KeyService(home.db, home.keys.custodian, "310000", mode="production")
    with pytest.raises(StandInRefused):
        strict.create_role("receipt", "sm2", "never", custody="software")
    other = Home(tmp_path / "production")
    other.close()
    toml = other.path / "node.toml"
    toml.write_text(toml.read_text().replace('"development"', '"production"'))
    (checked,) = [c for c in checks(other.path) if c.name == "tokens"]
    assert not checked.ok
    assert "identifies itself as no HSM" in checked.message


def test_production_refuses_a_stand_in_under_a_vendors_profile(tmp_path: Path) -> None:
    """The token's own words count, not the configuration's."""
    import subprocess
    import sys

    code = (
        "import os, sys; from pathlib import Path; os.environ['SOFTHSM2_CONF'] = sys.argv[1] + '/tokens/softhsm2.conf'\n"
        "from hsm.tokenhost import TokenHost; from hsm.config import load_config; from hsm.errors import StandInRefused\n"
        "try: TokenHost(load_config(Path(sys.argv[1])))\n"
        "except StandInRefused as refused: print(refused.detail['word'])\n"
    )
    from hsm import devtoken

    made = Home(tmp_path / "h")
    made.close()
    toml = f'mode = "production"\n[hsm]\nprofile = "sansec"\nlibrary = "{devtoken.library_path()}"\n'
    (made.path / "node.toml").write_text(toml)
    root = str(Path(__file__).resolve().parents[2])
    done = subprocess.run(
        [sys.executable, "-c", code, str(made.path)], capture_output=True, text=True, cwd=root, check=True, timeout=60
    )
    assert done.stdout.strip() in ("softhsm", "development", "dev-not-an-hsm", "xinyin")


def test_pins_are_in_their_files_and_nowhere_else(home: Home) -> None:
    secrets = [path.read_bytes().strip() for path in (home.path / "secrets").glob("*pin")]
    assert len(secrets) == 4
    assert len(set(secrets)) == 4
    for path in (home.path / "secrets").glob("*pin"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    elsewhere = [p for p in home.path.rglob("*") if p.is_file() and p.parent.name != "secrets"]
    assert any(p.name == "db.sqlite" for p in elsewhere)
    for path in elsewhere:
        data = path.read_bytes()
        assert not any(secret in data for secret in secrets), path
    for line in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            assert not any(secret in line.read_bytes() for secret in secrets)
        except OSError:
            continue
    assert not any(secret.decode() in value for secret in secrets for value in os.environ.values())


def test_a_pin_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    made = Home(tmp_path / "h")
    made.close()
    pin = load_config(made.path).pin_file("xinyin-main")
    pin.chmod(0o644)
    found = {check.name: check for check in checks(made.path)}
    assert not found["pin-files"].ok
    pin.chmod(0o600)
    pin.write_text("wrong\n")
    custody = open_custodian(made.path)
    with pytest.raises(PinRefused) as caught:
        custody.status()
    assert "wrong" not in str(caught.value.to_dict()["detail"])
    custody.close()


def test_making_the_tokens_again_changes_nothing(home: Home) -> None:
    from hsm.tokens import init_tokens

    key = home.active("tsa", "p256")
    before = sorted(str(p) for p in (home.path / "tokens" / "store").iterdir())
    assert init_tokens(home.path) == ["xinyin-main", "xinyin-root"]
    assert sorted(str(p) for p in (home.path / "tokens" / "store").iterdir()) == before
    home.keys.probe(key)


def test_a_second_home_in_one_process_signs_with_its_own_tokens(home: Home, tmp_path: Path) -> None:
    home.keys.probe(home.active("tsa", "sm2"))
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    second = Home(deep)
    try:
        key = second.active("tsa", "sm2")
        second.keys.probe(key)
        assert second.keys.custodian.status()["pid"] != os.getpid()
        assert home.keys.custodian.status()["pid"] == os.getpid()
    finally:
        second.close()


def test_a_home_that_could_not_be_opened_leaves_nothing_behind_for_the_next(tmp_path: Path) -> None:
    """Refused after its library was initialised; the next home in that process must see its own store."""
    import subprocess
    import sys

    first, second = Home(tmp_path / "first"), Home(tmp_path / "second")
    key = second.active("tsa", "sm2")
    first.close()
    second.close()
    with (first.path / "node.toml").open("a") as file:
        file.write('[hsm]\nmain_token = "no-such-token"\n')
    code = (
        "import sys; from pathlib import Path; from hsm.signer import open_custodian; from hsm.errors import TokenMissing\n"
        "try: open_custodian(Path(sys.argv[1])).status()\n"
        "except TokenMissing: pass\n"
        "open_custodian(Path(sys.argv[2])).sign(sys.argv[3], b'Xinyin probe: x', 'sm2-sm3', 'probe')\n"
    )
    root = str(Path(__file__).resolve().parents[2])
    arguments = [sys.executable, "-c", code, str(first.path), str(second.path), key]
    assert subprocess.run(arguments, cwd=root, check=False, timeout=60).returncode == 0


def test_after_a_fork_the_child_signs_through_its_parent(home: Home) -> None:
    key = home.active("tsa", "p256")
    home.keys.probe(key)
    child = os.fork()
    if child == 0:
        try:
            service = KeyService(Database.open(f"sqlite:///{home.path / 'db.sqlite'}"), home.keys.custodian, "310000")
            service.probe(key)
            os._exit(0 if service.custodian.status()["pid"] == os.getppid() else 2)
        except BaseException:  # noqa: BLE001
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    home.keys.probe(key)


def test_another_process_finds_the_tokens_through_the_socket_of_the_one_that_has_them(home: Home) -> None:
    home.keys.probe(home.active("tsa", "p256"))
    assert SignerClient.answers(home.path)
    assert stat.S_IMODE((home.path / "run" / "signer.sock").stat().st_mode) == 0o600


def test_the_doctor_finds_a_healthy_home_healthy(home: Home) -> None:
    home.active("tsa", "sm2")
    found = list(checks(home.path))
    assert [c for c in found if not c.ok] == []
    names = {c.name for c in found}
    assert {
        "configuration",
        "library",
        "os-locking",
        "token xinyin-main",
        "token xinyin-root",
        "mechanisms",
        "profile",
    } <= names
    assert any(name.startswith("key tsa sm2") for name in names)
    assert all(c.message and c.message_zh for c in found)
