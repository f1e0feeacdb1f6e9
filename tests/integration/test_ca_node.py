"""The CA of a whole node: `xinyin ca …` on its home, and its served addresses before OpenSSL; keys in the tokens throughout."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from formats.crl import RevocationList
from formats.pkcs10 import CertificationRequest
from formats.x509 import Certificate, Subject
from tests.integration.test_cli_main_job import Shell
from tests.node_home import Service, founded_home, serving


@pytest.fixture(scope="module")
def shell() -> Shell:
    return Shell(founded_home())


@pytest.fixture(scope="module")
def unit(shell: Shell) -> str:
    """The serial number of a certificate of its own to be changed, for a receipt key."""
    with serving(shell.home) as service:
        keys, ca = service.node.keys, service.node.ca
        generation = keys.stage(keys.create_role("receipt", "p256", "ca test").id)
        keys.activate(generation.id)
        return ca.issue(profile="receipt", generation=generation, subject=Subject("样本 回执", "样本局")).serial_hex


def test_what_there_is_can_be_listed_and_is_fit(shell: Shell) -> None:
    names = {a["id"] for a in shell.json("ca", "authorities")["items"]}
    assert names == {f"{kind}-{suite}-1" for kind in ("root", "issuing") for suite in ("sm2", "rsa", "p256")}
    items = shell.json("ca", "list", "--limit", "1000")["items"]
    assert {i["profile"] for i in items} >= {"root-ca", "issuing-ca", "ocsp", "tsa", "seal-maker"}
    assert all("样本" in i["subject"] for i in items)
    assert shell.json("ca", "lint") == {"items": [], "next": None}
    soon = {i["profile"] for i in shell.json("ca", "expiring", "--days", "100")["items"]}
    assert soon == {"ocsp"}
    assert shell.json("ca", "refresh")["status"] == "done"


def test_a_certificate_goes_through_its_states(shell: Shell, unit: str, tmp_path: Path) -> None:
    shown = shell.json("ca", "show", unit)
    chain = Certificate.parse_many(shown["pem"].encode())
    assert [c.subject for c in chain] == shown["chain"]
    out = tmp_path / "list.crl"

    def listed() -> str | None:
        shell.json("ca", "crl", "issuing-p256-1", "--out", str(out))
        entry = RevocationList.parse(out.read_bytes()).entry(chain[0].serial)
        return entry.reason if entry else None

    assert (shown["status"], listed()) == ("good", None)
    assert shell.json("ca", "hold", unit, "--reason", "遗失")["status"] == "hold"
    assert listed() == "certificateHold"
    assert shell.json("ca", "renew", unit, status=1)["error"]["code"] == "certificate-state"
    assert shell.json("ca", "release", unit)["status"] == "good"
    assert listed() is None
    renewed = shell.json("ca", "renew", unit)
    assert (renewed["subject"], renewed["status"]) == (shown["subject"], "good")
    assert shell.json("ca", "revoke", unit, "--reason", "superseded")["status"] == "revoked"
    assert listed() == "superseded"
    assert shell.json("ca", "release", unit, status=1)["error"]["code"] == "certificate-state"
    request = tmp_path / "request.pem"
    shell.json("ca", "csr", shown["generation_id"], "--name", "样本 回执", "--out", str(request))
    assert CertificationRequest.parse(request.read_bytes()).is_self_signed


def test_openssl_accepts_what_the_service_answers(shell: Shell, tmp_path: Path) -> None:
    def openssl(*command: str) -> str:
        done = subprocess.run(["openssl", *command], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    with serving(shell.home) as service, service.client() as client:
        for name in ("root-rsa-1", "issuing-rsa-1"):
            answer = _get(client, f"/ca/{name}.crt", "application/pkix-cert")
            (tmp_path / f"{name}.pem").write_text(Certificate.parse(answer).pem())
        (record,) = [r for r in service.node.ca.records(profile="tsa") if r.certificate.public_key.suite == "rsa"]
        (tmp_path / "unit.pem").write_text(record.certificate.pem())
        trusted = ["-CAfile", "root-rsa-1.pem"]
        asked = ["-issuer", "issuing-rsa-1.pem", "-cert", "unit.pem", "-url", f"{service.url}/ocsp"]
        told = openssl("ocsp", *asked, *trusted, "-verify_other", "issuing-rsa-1.pem")
        assert "Response verify OK" in told
        assert "unit.pem: good" in told
        lists = [_get(client, f"/crl/{name}-rsa-1.crl", "application/pkix-crl") for name in ("root", "issuing")]
        (tmp_path / "lists.pem").write_text("".join(_crl_pem(openssl, tmp_path, der) for der in lists))
        openssl(
            "verify",
            "-x509_strict",
            "-crl_check_all",
            "-CRLfile",
            "lists.pem",
            *trusted,
            "-untrusted",
            "issuing-rsa-1.pem",
            "unit.pem",
        )
        (tmp_path / "data").write_bytes(b"an approval")
        openssl("ts", "-query", "-data", "data", "-sha256", "-cert", "-out", "q.tsq")
        reply = _stamp(service, (tmp_path / "q.tsq").read_bytes())
        (tmp_path / "r.tsr").write_bytes(reply)
        assert "Verification: OK" in openssl("ts", "-verify", "-queryfile", "q.tsq", "-in", "r.tsr", *trusted)


def _get(client: httpx.Client, path: str, media_type: str) -> bytes:
    answer = client.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (200, media_type)
    return answer.content


def _stamp(service: Service, query: bytes) -> bytes:
    answer = httpx.post(f"{service.url}/tsa", content=query, headers={"Content-Type": "application/timestamp-query"})
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/timestamp-reply")
    return answer.content


def _crl_pem(openssl: Callable[..., str], folder: Path, der: bytes) -> str:
    (folder / "x.crl").write_bytes(der)
    return openssl("crl", "-inform", "der", "-in", "x.crl")
