"""Uploads meant to fill memory or disk: ten gigabytes, and files that unpack to as much."""

from __future__ import annotations

import io
import os
import re
import socket
import subprocess
import sys
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from api.limits import body_limit
from api.sessions import COOKIE, Session
from ceremonies.node import Node
from ceremonies.sample import APPROVER, sample_uscc
from policies.limits import DOCUMENT_BYTES
from tests.node_home import founded_home

TEN_GIGABYTES = 10 << 30
BOUNDARY = b"xxxxxxxxboundaryxxxxxxxx"
ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Server:
    """A service in a process of its own, whose memory and temporary files are watched."""

    port: int
    pid: int
    temporary: Path
    keeper: str
    auditor: str
    session: Session
    seal: str

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def peak(self) -> int:
        """Bytes of memory that the process has had at most."""
        status = Path(f"/proc/{self.pid}/status").read_text("ascii")
        found = re.search(r"VmHWM:\s+(\d+) kB", status)
        assert found
        return int(found[1]) << 10

    def on_disk(self) -> int:
        """Bytes in its temporary folder, deleted files that are still open among them."""
        found = sum(path.stat().st_size for path in self.temporary.rglob("*") if path.is_file())
        for link in Path(f"/proc/{self.pid}/fd").iterdir():
            with suppress(OSError):
                if str(self.temporary) in os.readlink(link):
                    found += link.stat().st_size
        return found


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home, temporary = founded_home(), tmp_path_factory.mktemp("uploads")
    node = Node.open(home)
    keeper, auditor = (node.accounts.issue_token(name, "attack")[1] for name in ("keeper", "auditor"))
    uscc = sample_uscc(node.region, APPROVER)
    seal = node.seals.create(node.actor(None), owner_name=APPROVER, owner_uscc=uscc, idempotency_key="test-approver")["id"]
    account = node.accounts.get("auditor")
    session = Session(account, node.accounts.open_session(account).token)
    node.close()
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.tools.serve_home", str(home)],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(temporary)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout
        yield Server(int(process.stdout.readline()), process.pid, temporary, keeper, auditor, session, seal)
    finally:
        assert process.stdin
        process.stdin.close()
        process.wait(30)


def begin(server: Server, path: str, header: str) -> socket.socket:
    """A connection on which a multipart upload has begun."""
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=30)
    request = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nAuthorization: Bearer {server.keeper}\r\n"
        f"Cookie: {COOKIE}={server.session.token}\r\n"
        f"Content-Type: multipart/form-data; boundary={BOUNDARY.decode()}\r\n{header}\r\n\r\n"
    )
    connection.sendall(request.encode())
    return connection


PLACES = ["/verify", "/api/v1/verifications", "/api/v1/impressions", "/audit/trace", "/api/v1/audit/traces"]


@pytest.mark.parametrize("path", PLACES)
def test_an_upload_of_ten_gigabytes_that_says_so_is_refused_before_it_is_sent(server: Server, path: str) -> None:
    with begin(server, path, f"Content-Length: {TEN_GIGABYTES}") as connection:
        answer = connection.recv(4096)
    assert b" 413 " in answer.partition(b"\r\n")[0]


def test_an_upload_of_ten_gigabytes_that_does_not_say_so_is_cut_off_with_memory_and_disk_bounded(server: Server) -> None:
    before, most, sent = server.peak(), 0, 0
    part = b'--%b\r\nContent-Disposition: form-data; name="file"; filename="x.pdf"\r\n\r\n%%PDF-1.7\n' % BOUNDARY
    chunk = b"%x\r\n%b\r\n" % (1 << 20, bytes(1 << 20))
    with begin(server, "/api/v1/verifications", "Transfer-Encoding: chunked") as connection:
        connection.sendall(b"%x\r\n%b\r\n" % (len(part), part))
        with suppress(OSError):
            while sent < TEN_GIGABYTES:
                connection.sendall(chunk)
                sent += 1 << 20
                if sent % (32 << 20) == 0:
                    most = max(most, server.on_disk())
        answer = b""
        with suppress(OSError):
            answer = connection.recv(4096)
    assert sent < DOCUMENT_BYTES + (64 << 20), f"{sent >> 20} MiB were taken"
    assert not answer or b" 413 " in answer.partition(b"\r\n")[0]
    assert most <= body_limit("/api/v1/verifications")
    assert server.peak() - before < 128 << 20, "what is received goes to disk, not to memory"
    deadline = time.monotonic() + 10
    while server.on_disk() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert server.on_disk() == 0, "nothing of it stays"


def test_a_caller_without_account_cannot_make_a_closed_address_take_a_large_body(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall(
            b"POST /api/v1/seals HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 10737418240\r\n\r\n"
        )
        assert connection.recv(4096).split()[1] in (b"401", b"413")


def flate_bomb(count: int) -> bytes:
    """A PDF whose page unpacks to ``count`` bytes of drawing, in a few hundred kilobytes."""
    piece, times = b"0 0 m 9 9 l S\n" * 75_000, count // 1_050_000
    packer, check = zlib.compressobj(9, zlib.DEFLATED, -15), 1
    block = packer.compress(piece) + packer.flush(zlib.Z_FULL_FLUSH)  # begins and ends on a byte: may be repeated
    for _ in range(times):
        check = zlib.adler32(piece, check)
    packed = b"\x78\xda" + block * times + b"\x03\x00" + check.to_bytes(4, "big")
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Contents 4 0 R/Resources<<>>>>",
        b"<</Filter/FlateDecode/Length %d>>\nstream\n%b\nendstream" % (len(packed), packed),
    ]
    return written(objects)


def page_tree_bomb(depth: int = 24) -> bytes:
    """A page tree that names itself twice on every level: 2^24 pages."""
    objects = [b"<</Type/Catalog/Pages 2 0 R>>"]
    for level in range(2, depth + 2):
        objects.append(b"<</Type/Pages/Kids[%d 0 R %d 0 R]/Count %d>>" % (level + 1, level + 1, 2 ** (depth + 2 - level)))
    objects.append(b"<</Type/Page/MediaBox[0 0 595 842]>>")
    return written(objects)


def picture_bomb() -> bytes:
    """A page with a picture of 60,000 by 60,000 points, in a few kilobytes."""
    packed = zlib.compress(bytes(1 << 20), 9)
    draw = b"q 500 0 0 500 0 0 cm /I Do Q"
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Contents 4 0 R/Resources<</XObject<</I 5 0 R>>>>>>",
        b"<</Length %d>>\nstream\n%b\nendstream" % (len(draw), draw),
        b"<</Type/XObject/Subtype/Image/Width 60000/Height 60000/BitsPerComponent 8/ColorSpace/DeviceRGB/Filter/FlateDecode"
        b"/Length %d>>\nstream\n%b\nendstream" % (len(packed), packed),
    ]
    return written(objects)


def written(objects: list[bytes]) -> bytes:
    """The objects as a PDF with its table."""
    data, places = b"%PDF-1.7\n", []
    for number, body in enumerate(objects, 1):
        places.append(len(data))
        data += b"%d 0 obj\n%b\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    start, count = len(data), len(objects) + 1
    trailer = b"xref\n0 %d\n0000000000 65535 f \n%btrailer\n<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n"
    return data + trailer % (count, table, count, start)


def zip_bomb(names: tuple[str, ...]) -> bytes:
    """An archive of four gigabytes of zeros, in four megabytes."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name in names:
            with archive.open(name, "w", force_zip64=True) as entry:
                for _ in range(256 // len(names)):
                    entry.write(bytes(1 << 20))
    return data.getvalue()


BOMBS: dict[str, Callable[[], bytes]] = {
    "a page that unpacks to a gigabyte": lambda: flate_bomb(1 << 30),
    "a page tree of sixteen million pages": page_tree_bomb,
    "a picture of three gigapixels": picture_bomb,
    "an archive that unpacks to a quarter of a gigabyte": lambda: zip_bomb(("OFD.xml", "Doc_0/Document.xml")),
}


@pytest.mark.parametrize("what", BOMBS)
def test_a_bomb_is_answered_in_seconds_and_memory_stays_bounded(server: Server, what: str) -> None:
    data, before = BOMBS[what](), server.peak()
    assert len(data) < 16 << 20
    files = {"file": ("bomb.pdf", data)}
    bearer = {"Authorization": f"Bearer {server.keeper}"}
    with httpx.Client(base_url=server.url, timeout=120) as client:
        started = time.monotonic()
        answers = [
            client.post("/api/v1/verifications", files=files),
            client.post("/api/v1/audit/traces", files=files, headers={"Authorization": f"Bearer {server.auditor}"}),
            client.post("/api/v1/impressions", files=files, data={"seal": server.seal, "keyword": "章"}, headers=bearer),
        ]
        took = time.monotonic() - started
        assert client.get("/healthz").json()["status"] == "ok"
    assert [answer.status_code < 500 for answer in answers] == [True] * 3, [answer.text[:200] for answer in answers]
    assert answers[0].status_code == 200
    assert answers[0].json()["answer"]["decision"] != "accept"
    assert took < 100  # the limits of the child processes, with room for a busy machine
    assert server.peak() - before < 512 << 20
