"""What others make of our CA: OpenSSL, pkilint and pyHanko's path validator read the served bytes and agree with us."""

from __future__ import annotations

import asyncio
import contextlib
import io
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from asn1crypto import crl as acrl
from asn1crypto import ocsp as aocsp
from pyhanko_certvalidator import CertificateValidator, ValidationContext
from pyhanko_certvalidator.errors import RevokedError

from ca.errors import AlreadyRevoked, ForeignKey
from ca.outbound import HttpStatusClient
from ca.profiles import profiles
from ca.service import CONTENT_TYPES
from crypto.keys import SoftwareKey
from crypto.suites import DigestAlgorithm, Suite, default_scheme
from formats import tsp
from formats.ocsp import OcspResponse
from formats.pkcs10 import CertificationRequest
from formats.x509 import Certificate, CertificateSpec, Subject, build_certificate
from net.errors import AddressRefused
from seals.sealing import Placement, SealingMaterial, seal_pdf
from tests import pdf_judges
from tests.integration.ca_world import World
from tests.pdf_pki import picture

SUITES = list(Suite)
DISTID = ["-vfyopt", "distid:1234567812345678"]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A founded CA that is served over HTTP on this machine, so that the addresses in its certificates answer."""
    holder: dict[str, World] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            ca = holder["world"].ca
            folder, _, name = self.path.strip("/").partition("/")
            source = {"crl": (ca.crl, "crl"), "ca": (ca.authority_certificate, "certificate")}[folder]
            self._send(source[0](name), CONTENT_TYPES[source[1]])

        def do_POST(self) -> None:
            ca = holder["world"].ca
            body = self.rfile.read(int(self.headers["Content-Length"]))
            answer = {"/ocsp": (ca.ocsp, "ocsp"), "/tsa": (ca.timestamp, "timestamp")}[self.path]
            self._send(answer[0](body), CONTENT_TYPES[answer[1]])

        def _send(self, data: bytes, content_type: str) -> None:
            self.send_response(200)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    holder["world"] = World.found(tmp_path_factory.mktemp("ca"), f"http://127.0.0.1:{server.server_port}")
    yield holder["world"]
    server.shutdown()
    server.server_close()


def pem_files(world: World, certificate: Certificate) -> list[str]:
    """Leaf, issuing CA, root as files."""
    return [world.write(f"{c.serial_hex}.pem", c.pem()) for c in world.ca.chain(certificate)]


# --- OpenSSL ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suite", [Suite.RSA, Suite.P256], ids=str)
def test_openssl_verifies_whole_chains_with_their_lists(world: World, suite: Suite) -> None:
    _, certificate = world.seal(suite)
    leaf, issuing, root = pem_files(world, certificate)
    lists = [
        world.openssl("crl", "-inform", "der", "-in", world.write("x.crl", world.ca.crl_for(c)))
        for c in world.ca.chain(certificate)[:2]
    ]
    world.write("lists.pem", "".join(lists))
    told = world.openssl(
        "verify", "-x509_strict", "-crl_check_all", "-CRLfile", "lists.pem", "-CAfile", root, "-untrusted", issuing, leaf
    )
    assert told.strip().endswith(": OK")
    world.ca.hold(certificate.serial)
    world.write(
        "lists.pem",
        lists[1] + world.openssl("crl", "-inform", "der", "-in", world.write("x.crl", world.ca.crl_for(certificate))),
    )
    refused = subprocess.run(
        ["openssl", "verify", "-crl_check_all", "-CRLfile", "lists.pem", "-CAfile", root, "-untrusted", issuing, leaf],
        cwd=world.home,
        capture_output=True,
        text=True,
    )
    assert "certificate revoked" in refused.stderr


def test_openssl_verifies_sm2_chains_link_by_link(world: World) -> None:
    _, certificate = world.seal(Suite.SM2)
    leaf, issuing, root = pem_files(world, certificate)
    for child, parent in ((leaf, issuing), (issuing, root), (root, root)):
        assert (
            world.openssl("verify", "-x509_strict", "-partial_chain", *DISTID, "-trusted", parent, child).strip()
            == f"{child}: OK"
        )


@pytest.mark.parametrize("suite", SUITES, ids=str)
def test_openssl_checks_the_signature_of_every_list_and_sm2_value(world: World, suite: Suite) -> None:
    for kind in ("root", "issuing"):
        authority = world.ca.authority(f"{kind}-{suite}-1")
        path = world.write("list.der", world.ca.crl(authority.name))
        ca = world.write("ca.pem", authority.certificate.pem())
        if suite is not Suite.SM2:
            assert "verify OK" in world.openssl("crl", "-inform", "der", "-in", path, "-noout", "-CAfile", ca)
            continue
        parsed = acrl.CertificateList.load(world.ca.crl(authority.name))  # `openssl crl` takes no SM2 ID; `dgst` does
        key = world.write("key.pem", world.openssl("x509", "-in", ca, "-pubkey", "-noout"))
        tbs = world.write("tbs", parsed["tbs_cert_list"].dump())
        value = world.write("value", parsed["signature"].native)
        option = "distid:1234567812345678"
        assert "Verified OK" in world.openssl("dgst", "-sm3", "-verify", key, "-sigopt", option, "-signature", value, tbs)


@pytest.mark.parametrize("suite", [Suite.RSA, Suite.P256], ids=str)
def test_openssl_ocsp_accepts_our_answers_over_http(world: World, suite: Suite) -> None:
    _, certificate = world.seal(suite)
    leaf, issuing, root = pem_files(world, certificate)

    def ask(*options: str) -> str:
        return world.openssl(
            "ocsp",
            "-issuer",
            issuing,
            *options,
            "-cert",
            leaf,
            "-url",
            certificate.ocsp_urls[0],
            "-CAfile",
            root,
            "-verify_other",
            issuing,
        )

    assert f"{leaf}: good" in (told := ask())
    assert "Response verify OK" in told
    assert f"{leaf}: good" in ask("-sha256")
    world.ca.hold(certificate.serial)
    assert "Reason: certificateHold" in ask("-no_nonce")
    world.ca.release(certificate.serial)
    assert f"{leaf}: good" in ask("-no_nonce")
    world.ca.revoke(certificate.serial, "keyCompromise")
    assert "Reason: keyCompromise" in ask("-sha256", "-no_nonce")


def test_openssl_confirms_the_value_of_an_sm2_ocsp_answer(world: World) -> None:
    _, certificate = world.seal(Suite.SM2)
    issuing = world.ca.chain(certificate)[1]
    basic = aocsp.OCSPResponse.load(world.ca.ocsp_for(certificate)).basic_ocsp_response
    delegate = Certificate.parse(basic["certs"][0].dump())
    pair = [world.write(f"{n}.pem", c.pem()) for n, c in (("delegate", delegate), ("issuing", issuing))]
    world.openssl("verify", "-x509_strict", "-partial_chain", *DISTID, "-trusted", pair[1], pair[0])
    key = world.write("key.pem", world.openssl("x509", "-in", pair[0], "-pubkey", "-noout"))
    tbs = world.write("tbs", basic["tbs_response_data"].dump())
    value = world.write("value", basic["signature"].native)
    option = "distid:1234567812345678"
    assert "Verified OK" in world.openssl("dgst", "-sm3", "-verify", key, "-sigopt", option, "-signature", value, tbs)


@pytest.mark.parametrize("digest", ["sha256", "sha384", "sha512"])
def test_openssl_ts_verifies_our_stamps_over_http(world: World, digest: str) -> None:
    world.write("data", b"an approval")
    root = world.write("root.pem", world.ca.authority("root-rsa-1").certificate.pem())
    world.openssl("ts", "-query", "-data", "data", f"-{digest}", "-cert", "-out", "q.tsq")
    url = world.ca.config.base_url + "/tsa"
    reply = httpx.post(
        url, content=(world.home / "q.tsq").read_bytes(), headers={"Content-Type": "application/timestamp-query"}
    )
    assert reply.headers["content-type"] == "application/timestamp-reply"
    world.write("r.tsr", reply.content)
    told = world.openssl("ts", "-verify", "-queryfile", "q.tsq", "-in", "r.tsr", "-CAfile", root)
    assert "Verification: OK" in told
    assert "Accuracy: 0x01 seconds" in world.openssl("ts", "-reply", "-in", "r.tsr", "-text")


def test_openssl_reads_a_refused_stamp(world: World) -> None:
    world.write("data", b"an approval")
    world.openssl("ts", "-query", "-data", "data", "-sha1", "-out", "q.tsq")
    world.write("r.tsr", world.ca.timestamp((world.home / "q.tsq").read_bytes()))
    told = world.openssl("ts", "-reply", "-in", "r.tsr", "-text")
    assert "Status: Rejected." in told
    assert "unrecognized or unsupported algorithm identifier" in told


def test_addresses_in_certificates_answer(world: World) -> None:
    _, certificate = world.seal(Suite.SM2)
    issuing = world.ca.chain(certificate)[1]
    assert httpx.get(certificate.ca_issuer_urls[0]).content == issuing.der
    assert httpx.get(certificate.crl_urls[0]).content == world.ca.crl_for(certificate)
    assert httpx.get(issuing.crl_urls[0]).content == world.ca.crl_for(issuing)


@pytest.mark.parametrize("suite", SUITES, ids=str)
def test_openssl_as_an_outside_ca_certifies_our_request(world: World, suite: Suite) -> None:
    """The request goes out, `openssl x509 -req` signs it, the import takes it; an organ's CA will know no more of us."""
    key = {
        Suite.RSA: ["RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
        Suite.P256: ["EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
        Suite.SM2: ["SM2"],
    }[suite]
    sm2 = suite is Suite.SM2
    identity = ["-sigopt", "distid:1234567812345678"] if sm2 else []
    digest = "-sm3" if sm2 else "-sha256"
    world.openssl("genpkey", "-algorithm", *key, "-out", "out.key")
    ca = ["-subj", "/C=CN/O=Some CA/CN=Some CA", "-addext", "basicConstraints=critical,CA:TRUE"]
    world.openssl("req", "-x509", "-new", "-key", "out.key", digest, *identity, "-days", "9", *ca, "-out", "out.pem")
    generation = world.keys.new("seal_holder", suite)
    request = world.ca.csr(generation, Subject("样本公章", "云江市市场监督管理局"), es_id="31000000000077")
    world.write("out.csr", request)
    world.write("out.ext", "keyUsage=critical,digitalSignature,nonRepudiation\nbasicConstraints=CA:FALSE\n")
    signing = ["-CA", "out.pem", "-CAkey", "out.key", "-CAcreateserial", "-days", "8", "-extfile", "out.ext", digest, *identity]
    checking = ["-vfyopt", "distid:1234567812345678"] if sm2 else []
    world.openssl("x509", "-req", "-inform", "der", "-in", "out.csr", *signing, *checking, "-out", "leaf.pem")
    leaf, chain = (world.home / "leaf.pem").read_bytes(), (world.home / "out.pem").read_bytes()
    made = world.ca.import_certificate(generation, leaf, chain, es_id="31000000000077")
    assert made.certificate.public_key == generation.public_key
    assert made.certificate.es_id is None  # that CA copies no extensions: the seal is known by our book
    assert world.ca.usable(generation.id, es_id="31000000000077") == [made.certificate]


# --- pkilint ----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def pkilint(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., list[str]]:
    """pkilint's own commands; the findings at NOTICE and above.

    One thing is replaced: its fast decoder (pyasn1-fasder) cannot hold an object identifier with an arc above 32 bits, which a
    UUID under 2.25 (X.667), as our esID extension has, always is. pyasn1's reference decoder reads the same bytes for the same
    rules.
    """
    import pkilint.document
    from pkilint.bin import lint_crl, lint_ocsp_response, lint_pkix_cert
    from pyasn1.codec.der import decoder

    monkeypatch.setattr(pkilint.document, "decode_der", lambda data, asn1Spec=None: decoder.decode(data, asn1Spec=asn1Spec))
    commands = {"certificate": (lint_pkix_cert, []), "ocsp": (lint_ocsp_response, [])}
    commands |= {kind: (lint_crl, ["-t", kind, "-p", "PKIX"]) for kind in ("CRL", "ARL")}

    def run(kind: str, der: bytes) -> list[str]:
        (tmp_path / "linted").write_bytes(der)
        command, options = commands[kind]
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = command.main(["lint", *options, "-s", "NOTICE", "--document-format", "DER", str(tmp_path / "linted")])
        assert not err.getvalue()
        found = [line.strip() for line in out.getvalue().splitlines() if line.strip()]
        assert (code == 0) == (not found)
        return found

    return run


@pytest.mark.parametrize("suite", SUITES, ids=str)
def test_pkilint_finds_nothing_in_any_profile(world: World, suite: Suite, pkilint: Callable[..., list[str]]) -> None:
    issued = {}
    for name, kind in profiles().items():
        if kind.ca:
            certificate = world.ca.authority(f"{name.removesuffix('-ca')}-{suite}-1").certificate
        else:
            generation = world.keys.new(name, suite)
            es_id = "31000000000001" if kind.es_id == "required" else None
            subject = Subject("样本 测试", "云江市市场监督管理局（样本）", "一处", "11310000MB0000000X", "上海市", "上海市")
            certificate = world.ca.issue(profile=name, generation=generation, subject=subject, es_id=es_id)
        issued[name] = pkilint("certificate", certificate.der)
    assert issued == {name: [] for name in profiles()}


def test_pkilint_does_find_what_is_wrong(world: World, pkilint: Callable[..., list[str]]) -> None:
    """The check above can fail: an address without a top-level domain, and pkilint speaks up."""
    key, now = SoftwareKey.generate(Suite.P256), world.now()
    spec = CertificateSpec(
        Subject("样本"),
        key.public_key,
        2**100,
        now,
        now + timedelta(days=1),
        crl_urls=["http://x/y.crl"],
        key_usage=["cRLSign"],
    )
    assert any("pkix.invalid_uri_syntax (ERROR)" in line for line in pkilint("certificate", build_certificate(spec, key).der))


@pytest.mark.parametrize("suite", SUITES, ids=str)
def test_pkilint_finds_nothing_in_lists_and_answers(world: World, suite: Suite, pkilint: Callable[..., list[str]]) -> None:
    _, good = world.seal(suite)
    _, held = world.seal(suite)
    _, revoked = world.seal(suite)
    world.ca.hold(held.serial)
    world.ca.revoke(revoked.serial, "keyCompromise", invalidity_at=world.now() - timedelta(days=1))
    assert pkilint("CRL", world.ca.crl(f"issuing-{suite}-1")) == []
    assert pkilint("ARL", world.ca.crl(f"root-{suite}-1")) == []
    for certificate in (good, held, revoked):
        assert pkilint("ocsp", world.ca.ocsp_for(certificate)) == []


# --- pyHanko's path validator -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suite", [Suite.RSA, Suite.P256], ids=str)
@pytest.mark.parametrize("source", ["ocsp", "crl"])
def test_certvalidator_accepts_the_path_until_it_is_revoked(world: World, suite: Suite, source: str) -> None:
    _, certificate = world.seal(suite)

    def validate() -> None:
        leaf, issuing, root = world.ca.chain(certificate)
        lists = [acrl.CertificateList.load(world.ca.crl_for(issuing))]
        answers = []
        if source == "ocsp":
            answers.append(aocsp.OCSPResponse.load(world.ca.ocsp_for(leaf)))
        else:
            lists.append(acrl.CertificateList.load(world.ca.crl_for(leaf)))
        context = ValidationContext(
            trust_roots=[root.asn1],
            other_certs=[issuing.asn1],
            crls=lists,
            ocsps=answers,
            revocation_mode="require",
            allow_fetching=False,
        )
        validator = CertificateValidator(leaf.asn1, validation_context=context)
        asyncio.run(validator.async_validate_usage({"non_repudiation"}))

    validate()
    world.ca.hold(certificate.serial)
    with pytest.raises(RevokedError):
        validate()
    world.ca.release(certificate.serial)
    validate()
    world.ca.revoke(certificate.serial, "keyCompromise")
    with pytest.raises(RevokedError):
        validate()


@pytest.mark.parametrize("suite", [Suite.RSA, Suite.P256], ids=str)
def test_a_document_sealed_at_lta_with_our_evidence_is_valid_to_pyhanko_now_and_in_years(world: World, suite: Suite) -> None:
    """Our OCSP answers, lists and timestamps are all it carries; three and a half years on, every one of them has lapsed."""
    generation, certificate = world.seal(suite)
    material = SealingMaterial(
        signer=world.keys.signer(generation.id, "test"),
        scheme=default_scheme(suite),
        certificate=certificate,
        chain=world.ca.chain(certificate)[1:],
        picture=picture(),
        es_id="31000000000001",
        seal_name="云江市市场监督管理局",
    )
    approval = (Path(__file__).resolve().parents[2] / "examples" / "approval.pdf").read_bytes()
    sealed = seal_pdf(
        approval, material, Placement(1, 120, 200), level="LTA", when=world.now(), timestamps=world.ca, revocation=world.ca
    )
    roots = [world.ca.authority(f"root-{s}-1").certificate for s in (suite, Suite.RSA)]  # the stamps come from the RSA unit
    assert pdf_judges.pyhanko_lta(sealed.data, roots) == ("PASSED", "OK")
    assert pdf_judges.pyhanko_lta(sealed.data, roots, 3.5) == ("PASSED", "OK")


def test_an_sm3_stamp_is_signed_by_a_chain_that_openssl_confirms(world: World) -> None:
    token = tsp.TimestampToken.parse(world.ca.timestamp_token(DigestAlgorithm.SM3, bytes(32)))
    assert token.certificate is not None
    checked = token.check()
    assert (checked.intact, checked.bound, checked.accepted_algorithm) == (True, True, True)
    unit, issuing, root = pem_files(world, token.certificate)
    for child, parent in ((unit, issuing), (issuing, root)):
        world.openssl("verify", "-x509_strict", "-partial_chain", *DISTID, "-trusted", parent, child)


# --- another node of ours as an outside CA ----------------------------------------------------------------------------------


def test_another_regions_ca_certifies_our_key_and_its_services_are_used_over_http(world: World, tmp_path: Path) -> None:
    """Request out, certificate in, then status and timestamps from the addresses that the other CA's certificates name."""
    ours = World.found(tmp_path)
    client = HttpStatusClient(ours.ca.outside.hosts, private=True)
    ours.ca.outside.client = ours.ca.timestamps.client = client
    generation = ours.keys.new("seal_holder", Suite.SM2)
    request = CertificationRequest.parse(ours.ca.csr(generation, Subject("样本章", "样本局"), es_id="32000000000001"))
    assert request.is_self_signed
    # The other CA takes the key out of the request, as its operator would.
    foreign = world.keys.new("seal_holder", Suite.SM2)
    world.keys.generations[foreign.id] = replace(foreign, public_key=request.public_key)
    certificate = world.ca.issue(
        profile="seal-holder",
        generation=world.keys.generation(foreign.id),
        subject=Subject("样本章", "样本局"),
        es_id="32000000000001",
    )
    chain = "".join(c.pem() for c in world.ca.chain(certificate)[1:]).encode()
    with pytest.raises(AddressRefused):  # nobody has let this host in yet
        client.crl(certificate.crl_urls[0])
    ours.ca.import_certificate(generation, certificate.der, chain, es_id="32000000000001")
    assert ours.ca.usable(generation.id) == [certificate]
    with pytest.raises(AddressRefused):  # let in, but on a private address
        HttpStatusClient(ours.ca.outside.hosts).crl(certificate.crl_urls[0])
    assert OcspResponse.parse(ours.ca.ocsp_for(certificate) or b"").answers[0].status == "good"
    issuing = ours.ca.chain(certificate)[1]
    assert (ours.ca.ocsp_for(issuing), ours.ca.crl_for(issuing)) == (None, world.ca.crl_for(issuing))
    world.ca.revoke(certificate.serial, "keyCompromise")
    ours.offset = timedelta(minutes=11)
    assert OcspResponse.parse(ours.ca.ocsp_for(certificate) or b"").answers[0].status == "revoked"
    third = world.ca.issue(
        profile="seal-holder",
        generation=world.keys.generation(foreign.id),
        subject=Subject("样本章", "样本局"),
        es_id="32000000000001",
    )
    world.ca.hold(third.serial)
    with pytest.raises(AlreadyRevoked):
        ours.ca.import_certificate(generation, third.der, chain, es_id="32000000000001")
    second = ours.keys.new("seal_holder", Suite.SM2)
    with pytest.raises(ForeignKey):
        ours.ca.import_certificate(second, certificate.der, chain, es_id="32000000000001")
    url = world.ca.config.base_url + "/tsa"
    ours.ca.timestamps.config = replace(ours.ca.config, outside_timestamps=url)
    token = tsp.TimestampToken.parse(ours.ca.timestamp_token(DigestAlgorithm.SM3, bytes(32)))
    assert token.certificate is not None
    assert token.certificate.issuer_der == world.ca.authority("issuing-sm2-1").certificate.subject_der
