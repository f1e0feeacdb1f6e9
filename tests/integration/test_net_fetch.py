"""Outbound requests against real local servers: what is let through, what is cut off."""

from __future__ import annotations

import datetime
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from net import pki
from net.errors import AddressRefused, AnswerTooLarge, AnswerTooSlow, BadAddress, BadAnswer, NoAnswer
from net.fetch import Fetcher, Limits

Handler = Callable[[socket.socket, bytes], None]


class Server:
    """Answers each connection on 127.0.0.1 with what a handler writes; remembers the requests."""

    def __init__(self, handler: Handler, tls: ssl.SSLContext | None = None) -> None:
        self.handler = handler
        self.tls = tls
        self.requests: list[bytes] = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.host = f"ca.test:{self.port}"
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        """Shut down first: a close alone leaves the port open while the thread waits in ``accept``."""
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        try:
            if self.tls is not None:
                connection = self.tls.wrap_socket(connection, server_side=True)
            with connection:
                request = b""
                while b"\r\n\r\n" not in request:
                    request += connection.recv(65536) or b"\r\n\r\n"
                self.requests.append(request)
                self.handler(connection, request)
        except OSError:
            return


Start = Callable[[Handler], Server]


@pytest.fixture
def start() -> Iterator[Start]:
    servers: list[Server] = []

    def open_(handler: Handler) -> Server:
        servers.append(Server(handler))
        return servers[-1]

    yield open_
    for server in servers:
        if server.listener.fileno() != -1:
            server.close()


def respond(body: bytes = b"hello", status: str = "200 OK", **headers: str) -> Handler:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *(f"{k.replace('_', '-')}: {v}" for k, v in headers.items())]
    return lambda connection, request: connection.sendall("\r\n".join([*lines, "", ""]).encode() + body)


def local(*servers: Server, limits: Limits | None = None) -> Fetcher:
    return Fetcher(private_hosts=[s.host for s in servers], limits=limits, resolver=lambda host, port: ("127.0.0.1",))


def test_a_named_host_answers(start: Start) -> None:
    server = start(respond(b"crl bytes", Content_Type="application/pkix-crl; x=y"))
    answer = local(server).get(f"http://{server.host}/a.crl?x=1#fragment")
    assert (answer.data, answer.content_type) == (b"crl bytes", "application/pkix-crl")
    request = server.requests[0].decode()
    assert request.startswith("GET /a.crl?x=1 HTTP/1.1\r\n")
    assert f"Host: {server.host}\r\n" in request
    assert "Cookie" not in request


def test_by_default_no_host_is_asked(start: Start) -> None:
    server = start(respond())
    for fetcher in (Fetcher(), Fetcher(["other.test"]), Fetcher(["ca.test"], resolver=lambda host, port: ("127.0.0.1",))):
        with pytest.raises(AddressRefused):
            fetcher.get(f"http://{server.host}/")
    assert server.requests == []


@pytest.mark.parametrize(
    "address",
    [
        "240.0.0.1", "127.0.0.1", "127.8.8.8",
        "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
        "255.255.255.255", "::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "ff02::1", "::ffff:127.0.0.1",
        "::ffff:10.0.0.1", "2002:7f00:1::", "2002:a00:1::", "64:ff9b::7f00:1", "64:ff9b::a00:1", "::127.0.0.1", "garbage",
    ],
)  # fmt: skip
def test_private_and_special_addresses_are_never_asked(address: str) -> None:
    fetcher = Fetcher(["ca.test"], resolver=lambda host, port: (address,))
    with pytest.raises(AddressRefused):
        fetcher.get("http://ca.test/")


def test_one_private_address_among_public_ones_is_enough_to_refuse() -> None:
    fetcher = Fetcher(["ca.test"], resolver=lambda host, port: ("1.1.1.1", "192.168.0.9"))
    with pytest.raises(AddressRefused):
        fetcher.get("http://ca.test/")


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "[::1]", "2130706433", "0x7f000001", "localhost", "LOCALHOST", "x.localhost", "localhost."]
)
def test_spellings_of_this_machine_are_refused_even_where_the_list_names_them(start: Start, host: str) -> None:
    server = start(respond())
    bare = host.strip("[]").lower().rstrip(".")
    fetcher = Fetcher([f"{bare}:{server.port}"])
    with pytest.raises((AddressRefused, NoAnswer)):
        fetcher.get(f"http://{host}:{server.port}/")
    assert server.requests == []


def test_the_checked_address_is_the_one_connected_to_whatever_the_name_says_next(start: Start) -> None:
    server = start(respond())
    answers = iter([("127.0.0.1",), ("192.0.2.1",)])
    asked: list[str] = []

    def rebinding(host: str, port: int) -> tuple[str, ...]:
        asked.append(host)
        return next(answers)

    fetcher = Fetcher(private_hosts=[server.host], resolver=rebinding)
    assert fetcher.get(f"http://{server.host}/").data == b"hello"
    assert asked == ["ca.test"]


def test_other_ports_of_a_named_host_are_not_asked(start: Start) -> None:
    server = start(respond())
    fetcher = Fetcher(private_hosts=["ca.test"], resolver=lambda host, port: ("127.0.0.1",))
    with pytest.raises(AddressRefused):
        fetcher.get(f"http://ca.test:{server.port}/")


@pytest.mark.parametrize(
    "url",
    [
        "", "x", "ftp://ca.test/", "file:///etc/passwd", "gopher://ca.test/", "http://", "http:///x", "//ca.test/", "http://a@ca.test/",
        "http://ca.test:99999/", "http://ca.test\\@evil.test/", "http://ca.test/\r\nX: y", "http://ca.test/ x", "http://ca%2etest/",
        "http://ca.test/" + "a" * 3000, "http://证照.test/", "javascript:alert(1)",
    ],
)  # fmt: skip
def test_whatever_is_no_plain_http_address_is_refused(url: str) -> None:
    with pytest.raises(BadAddress):
        Fetcher(["ca.test", "evil.test"]).get(url)


def test_a_redirect_passes_the_same_gate(start: Start) -> None:
    inside = start(respond(b"secret"))
    outside = start(respond(b"", "302 Found", Location=f"http://{inside.host}/admin"))
    with pytest.raises(AddressRefused):
        Fetcher(private_hosts=[outside.host], resolver=lambda host, port: ("127.0.0.1",)).get(f"http://{outside.host}/")
    assert inside.requests == []
    assert local(outside, inside).get(f"http://{outside.host}/").data == b"secret"


@pytest.mark.parametrize("target", ["file:///etc/passwd", "http://127.0.0.1/", "http://u:p@ca.test/", "gopher://x/"])
def test_a_redirect_to_something_else_is_refused(start: Start, target: str) -> None:
    server = start(respond(b"", "301 Moved", Location=target))
    with pytest.raises((AddressRefused, BadAddress)):
        local(server).get(f"http://{server.host}/")


def test_redirects_are_counted_and_posts_are_not_redirected(start: Start) -> None:
    server = start(respond(b"", "302 Found", Location="/again"))
    with pytest.raises(BadAnswer):
        local(server, limits=Limits(redirects=2)).get(f"http://{server.host}/")
    assert len(server.requests) == 3
    with pytest.raises(BadAnswer):
        local(server).post(f"http://{server.host}/", b"x", content_type="application/ocsp-request")
    assert len(server.requests) == 4


def drip(connection: socket.socket, data: bytes) -> None:
    for byte in data * 400:
        connection.sendall(bytes([byte]))
        time.sleep(0.05)


def drip_body(connection: socket.socket, _: bytes) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4000\r\n\r\n")
    drip(connection, b"x" * 10)


def drip_headers(connection: socket.socket, _: bytes) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    drip(connection, b"X-A: b\r\n")


def silence(connection: socket.socket, _: bytes) -> None:
    time.sleep(3)


@pytest.mark.parametrize("handler", [drip_body, drip_headers, silence])
def test_a_server_that_drips_is_cut_off_like_a_silent_one(start: Start, handler: Handler) -> None:
    server = start(handler)
    begun = time.monotonic()
    with pytest.raises(AnswerTooSlow):
        local(server, limits=Limits(time=0.5)).get(f"http://{server.host}/")
    assert time.monotonic() - begun < 1.5


def test_the_time_limit_runs_over_redirects_and_look_ups_too(start: Start) -> None:
    def slow_redirect(connection: socket.socket, request: bytes) -> None:
        time.sleep(0.2)
        respond(b"", "302 Found", Location="/again")(connection, request)

    server = start(slow_redirect)
    begun = time.monotonic()
    with pytest.raises(AnswerTooSlow):
        local(server, limits=Limits(time=0.5, redirects=50)).get(f"http://{server.host}/")
    fetcher = Fetcher([server.host], resolver=lambda host, port: time.sleep(5) or (), limits=Limits(time=0.3))
    with pytest.raises(NoAnswer):
        fetcher.get(f"http://{server.host}/")
    assert time.monotonic() - begun < 2


def endless(connection: socket.socket, _: bytes) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        connection.sendall(b"x" * 65536)


def endless_chunks(connection: socket.socket, _: bytes) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        connection.sendall(b"10000\r\n" + b"x" * 65536 + b"\r\n")


def endless_headers(connection: socket.socket, _: bytes) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    while True:
        connection.sendall(b"X-A: " + b"b" * 1000 + b"\r\n")


@pytest.mark.parametrize("handler", [endless, endless_chunks, respond(b"x" * 2000), respond(b"x" * 1001)])
def test_an_answer_over_the_limit_is_dropped(start: Start, handler: Handler) -> None:
    server = start(handler)
    with pytest.raises(AnswerTooLarge):
        local(server, limits=Limits(size=1000)).get(f"http://{server.host}/")


def test_an_answer_of_exactly_the_limit_is_kept(start: Start) -> None:
    server = start(respond(b"x" * 1000))
    assert len(local(server, limits=Limits(size=1000)).get(f"http://{server.host}/").data) == 1000


@pytest.mark.parametrize(
    "handler",
    [
        endless_headers,
        respond(b"", "404 Not Found"),
        respond(b"", "500 Oops"),
        respond(b"", "204 No Content"),
        respond(b"\x1f\x8b", Content_Encoding="gzip"),
        lambda connection, request: connection.sendall(b"SSH-2.0-x\r\n"),
        lambda connection, request: connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort"),
        lambda connection, request: connection.close(),
    ],
)
def test_answers_of_another_kind_are_named_failures(start: Start, handler: Handler) -> None:
    server = start(handler)
    with pytest.raises(NoAnswer) as failure:
        local(server, limits=Limits(time=3)).get(f"http://{server.host}/")
    assert failure.value.status == 503
    assert failure.value.message_zh


def test_nobody_listening_is_a_named_failure(start: Start) -> None:
    server = start(respond())
    server.close()
    with pytest.raises(NoAnswer):
        local(server).get(f"http://{server.host}/")


def test_proxies_of_the_environment_are_not_used(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    proxy, server = start(respond(b"proxied")), start(respond(b"direct"))
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "https_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
    assert local(server).get(f"http://{server.host}/").data == b"direct"
    assert proxy.requests == []


def _tls(folder: Path, name: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's context for ``name`` and a client's that trusts it alone."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "tls.pem").write_bytes(pem + private)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(folder / "tls.pem")
    return server, ssl.create_default_context(cadata=pem.decode())


def test_tls_proves_the_name_although_the_address_was_chosen(tmp_path: Path) -> None:
    server_tls, client_tls = _tls(tmp_path, "ca.test")
    server = Server(respond(b"over tls"), server_tls)
    private = [server.host, f"other.test:{server.port}"]
    fetcher = Fetcher(private_hosts=private, resolver=lambda host, port: ("127.0.0.1",), tls=client_tls)
    assert fetcher.get(f"https://{server.host}/").data == b"over tls"
    with pytest.raises(NoAnswer):
        fetcher.get(f"https://other.test:{server.port}/")
    with pytest.raises(NoAnswer):
        local(server).get(f"https://{server.host}/")
    server.close()


def test_names_under_localhost_are_this_machine_where_allowed(start: Start) -> None:
    server = start(respond())
    fetcher = Fetcher(private_hosts=[f"310000.localhost:{server.port}"])
    assert fetcher.get(f"http://310000.localhost:{server.port}/").data == b"hello"


# -- asking a PKI -------


def test_ocsp_and_timestamps_are_posted_with_their_media_types(start: Start) -> None:
    server = start(respond(b"\x30\x03\x0a\x01\x00", Content_Type="application/ocsp-response"))
    assert pki.ocsp(local(server), f"http://{server.host}/ocsp", b"\x30\x00") == b"\x30\x03\x0a\x01\x00"
    assert b"POST /ocsp HTTP/1.1" in server.requests[0]
    assert b"Content-Type: application/ocsp-request" in server.requests[0]
    tsa = start(respond(b"\x30\x00", Content_Type="application/timestamp-reply"))
    assert pki.timestamp(local(tsa), f"http://{tsa.host}/tsa", b"\x30\x00") == b"\x30\x00"


def test_a_page_where_der_was_asked_for_is_refused(start: Start) -> None:
    server = start(respond(b"<html>", Content_Type="text/html"))
    with pytest.raises(BadAnswer):
        pki.ocsp(local(server), f"http://{server.host}/ocsp", b"\x30\x00")
    with pytest.raises(BadAnswer):
        pki.timestamp(local(server), f"http://{server.host}/tsa", b"\x30\x00")
    assert pki.crl(local(server), f"http://{server.host}/x.crl") == b"<html>"
    assert pki.issuer_certificate(local(server), f"http://{server.host}/x.crt") == b"<html>"


def test_literal_addresses_are_judged_like_names() -> None:
    for address in ("10.0.0.1", "[::ffff:10.0.0.1]"):
        host = str(ipaddress.ip_address(address.strip("[]")))
        with pytest.raises(AddressRefused):
            Fetcher([host]).get(f"http://{address}/")
