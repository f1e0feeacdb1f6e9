"""Timestamps: ours satisfy OpenSSL, OpenSSL's satisfy ours, and a token vouches only for what it stamped."""

from __future__ import annotations

import random
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from crypto import keys
from crypto.errors import XinyinError
from crypto.suites import DigestAlgorithm, Suite, default_scheme
from formats import tsp
from formats.asn1 import MalformedDer
from tests.material import holder

DATA = b"a document"
POLICY = "1.2.156.3005.99.1"
WHEN = datetime(2026, 11, 21, 9, 30, 15, 250000, tzinfo=UTC)


def token(suite: Suite, **changes: object) -> bytes:
    unit = holder(suite, "样本 时间戳", usage=tsp.TIME_STAMPING)
    digest = default_scheme(suite).digest
    arguments: dict[str, object] = {
        "digest": digest, "imprint": keys.digest(digest, DATA), "serial": 7, "gen_time": WHEN, "policy": POLICY,
        "signer": unit.key, "certificate": unit.certificate, "chain": unit.chain, "nonce": 12345,
    }  # fmt: skip
    return tsp.build_token(**(arguments | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize("suite", list(Suite))
def test_token_says_what_when_and_by_whom(suite: Suite) -> None:
    read = tsp.TimestampToken.parse(token(suite))
    assert (read.gen_time, read.policy, read.serial, read.nonce, read.accuracy_seconds) == (WHEN, POLICY, 7, 12345, 1.0)
    assert read.digest is default_scheme(suite).digest
    assert read.certificate == holder(suite, "样本 时间戳", usage=tsp.TIME_STAMPING).certificate
    assert read.stamps((DATA[:3], DATA[3:]))
    assert not read.stamps((DATA, b"!"))
    check = read.check()
    assert check.intact
    assert (check.bound, check.problems) == (True, ())


@pytest.mark.parametrize("suite", list(Suite))
def test_token_without_its_certificate_needs_it_from_elsewhere(suite: Suite) -> None:
    read = tsp.TimestampToken.parse(token(suite, embed_certificates=False))
    assert read.certificate is None
    assert not read.check().intact
    assert read.check(holder(suite, "样本 时间戳", usage=tsp.TIME_STAMPING).certificate).intact


def test_certificate_without_the_purpose_is_named() -> None:
    plain = holder(Suite.P256)
    read = tsp.TimestampToken.parse(token(Suite.P256, signer=plain.key, certificate=plain.certificate, chain=plain.chain))
    assert "not-a-timestamp-certificate" in read.check().problems


@pytest.mark.parametrize("digest", list(DigestAlgorithm))
def test_request_round_trips(digest: DigestAlgorithm) -> None:
    imprint = keys.digest(digest, DATA)
    for nonce in (0, 1, 2**63, None):
        read = tsp.parse_request(tsp.build_request(digest, imprint, nonce=nonce, policy=POLICY))
        assert (read.digest, read.imprint, read.policy, read.certificates_wanted) == (digest, imprint, POLICY, True)
        assert read.nonce == nonce or (nonce is None and read.nonce is not None)
    bare = tsp.parse_request(tsp.build_request(digest, imprint, nonce=-1, certificates=False))
    assert (bare.nonce, bare.policy, bare.certificates_wanted) == (None, None, False)


def test_response_to_another_request_is_refused() -> None:
    imprint = keys.digest(DigestAlgorithm.SHA256, DATA)
    response = tsp.build_response(token(Suite.RSA))
    assert tsp.token_of(response, tsp.build_request(DigestAlgorithm.SHA256, imprint, nonce=12345)) == token(Suite.RSA)
    for request in (
        tsp.build_request(DigestAlgorithm.SHA256, imprint, nonce=12346),
        tsp.build_request(DigestAlgorithm.SHA256, bytes(32), nonce=12345),
        tsp.build_request(DigestAlgorithm.SHA256, imprint, nonce=12345, policy="1.2.3"),
    ):
        with pytest.raises(tsp.TimestampRefused):
            tsp.token_of(response, request)


@pytest.mark.parametrize("failure", list(tsp.Failure))
def test_rejection_carries_its_reason(failure: tsp.Failure) -> None:
    read = tsp.parse_response(tsp.build_rejection(failure, "不支持"))
    assert (read.granted, read.status, read.text, read.failure) == (False, 2, "不支持", failure)
    with pytest.raises(tsp.TimestampRefused):
        tsp.token_of(tsp.build_rejection(failure, "no"), tsp.build_request(DigestAlgorithm.SM3, bytes(32)))


def test_requests_that_cannot_be_granted_say_why() -> None:
    with pytest.raises(tsp.RequestRefused) as wrong_length:
        tsp.build_request(DigestAlgorithm.SHA384, bytes(32))
    assert wrong_length.value.failure is tsp.Failure.BAD_DATA_FORMAT
    good = tsp.build_request(DigestAlgorithm.SHA256, bytes(32), nonce=-1, certificates=False)
    with pytest.raises(tsp.RequestRefused) as unknown:
        tsp.parse_request(good.replace(bytes.fromhex("6503040201"), bytes.fromhex("6503040204")))
    assert unknown.value.failure is tsp.Failure.BAD_ALG
    with pytest.raises(MalformedDer):
        tsp.parse_request(good + b"\0")


def test_openssl_accepts_our_answer(tmp_path: Path) -> None:
    unit = holder(Suite.RSA, "样本 时间戳", usage=tsp.TIME_STAMPING)
    (tmp_path / "data").write_bytes(DATA)
    (tmp_path / "root.pem").write_text(unit.chain[0].pem())
    run = {"cwd": tmp_path, "capture_output": True, "text": True}
    for digest in ("sha256", "sha384", "sm3"):
        subprocess.run(["openssl", "ts", "-query", "-data", "data", f"-{digest}", "-cert", "-out", "q"], check=True, **run)  # type: ignore[call-overload]
        asked = tsp.parse_request((tmp_path / "q").read_bytes())
        answer = token(Suite.RSA, digest=asked.digest, imprint=asked.imprint, nonce=asked.nonce, gen_time=datetime.now(UTC))
        (tmp_path / "r").write_bytes(tsp.build_response(answer))
        done = subprocess.run(  # type: ignore[call-overload]
            ["openssl", "ts", "-verify", "-queryfile", "q", "-in", "r", "-CAfile", "root.pem"], check=False, **run
        )
        assert "Verification: OK" in done.stdout, done.stderr
        shown = subprocess.run(["openssl", "ts", "-reply", "-in", "r", "-text"], check=True, **run).stdout  # type: ignore[call-overload]
        assert POLICY in shown


def test_we_accept_openssls_answer(tmp_path: Path) -> None:
    unit = holder(Suite.RSA, "样本 时间戳", usage=tsp.TIME_STAMPING)
    from cryptography.hazmat.primitives import serialization as s

    key = unit.key._private.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, s.NoEncryption())
    (tmp_path / "k").write_bytes(key)
    (tmp_path / "c").write_text(unit.certificate.pem())
    (tmp_path / "serial").write_text("0A\n")
    (tmp_path / "conf").write_text(
        "[tsa]\ndefault_tsa=t\n[t]\nserial=serial\ndefault_policy=1.2.3.4\ndigests=sha256\naccuracy=secs:1,millisecs:500,"
        "microsecs:100\nsigner_digest=sha256\ness_cert_id_alg=sha256\n"
    )
    request = tsp.build_request(DigestAlgorithm.SHA256, keys.digest(DigestAlgorithm.SHA256, DATA))
    (tmp_path / "q").write_bytes(request)
    subprocess.run(
        ["openssl", "ts", "-reply", "-config", "conf", "-queryfile", "q", "-signer", "c", "-inkey", "k", "-out", "r"],
        cwd=tmp_path, check=True, capture_output=True,
    )  # fmt: skip
    read = tsp.TimestampToken.parse(tsp.token_of((tmp_path / "r").read_bytes(), request))
    assert read.check().intact
    assert read.stamps((DATA,))
    assert read.accuracy_seconds == pytest.approx(1.5001)
    assert abs(datetime.now(UTC) - read.gen_time) < timedelta(minutes=1)


def test_any_damage_gives_a_named_error_or_a_token_that_does_not_check() -> None:
    good = token(Suite.P256)
    original = tsp.TimestampToken.parse(good)
    unit = original.certificate
    chance = random.Random(3161)
    for _ in range(1200):
        damaged = bytearray(good)
        place = chance.randrange(len(damaged))
        if chance.random() < 0.8:
            damaged[place] ^= 1 << chance.randrange(8)
        else:
            del damaged[place : place + chance.randrange(1, 9)]
        try:
            read = tsp.TimestampToken.parse(bytes(damaged))
            if read.check(unit).intact:
                assert (read.gen_time, read.imprint, read.serial) == (original.gen_time, original.imprint, original.serial)
        except XinyinError:
            continue
