"""Outbound HTTP within limits: to named hosts, never to private addresses, bounded in size, time and redirects.

Addresses come from certificates and lists that others wrote. So the host must be one that the caller names; every address that
its name resolves to must be public; and the connection is made to the very address that was checked, so that a second look-up
cannot lead elsewhere (DNS rebinding). TLS still proves the name. Each redirect passes the same gate. The clock runs over the
whole exchange, look-up and headers included: a server that sends a byte a second is cut off like a silent one. Nothing is
decompressed, no cookie kept, no proxy of the environment used.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import SplitResult, urljoin, urlsplit

import httpcore

from net.errors import AddressRefused, AnswerTooLarge, AnswerTooSlow, BadAddress, BadAnswer, NoAnswer

Resolver = Callable[[str, int], Sequence[str]]
"""Host name and port → addresses as text."""

PORTS = {"http": 80, "https": 443}
_REDIRECTS = (301, 302, 303, 307, 308)
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


@dataclass(frozen=True)
class Limits:
    """Bytes of an answer, seconds for the whole exchange (redirects included), number of redirects."""

    size: int = 10 * 1024 * 1024
    time: float = 10.0
    redirects: int = 3


@dataclass(frozen=True)
class Answer:
    """A whole answer; ``url`` is where it came from after redirects."""

    url: str
    content_type: str
    data: bytes
    status: int = 200


def system_resolver(host: str, port: int) -> Sequence[str]:
    """The system's look-up; ``localhost`` and names under it are this machine (RFC 6761 §6.3), which few systems know."""
    if host == "localhost" or host.endswith(".localhost"):
        return ("127.0.0.1",)
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(entry[4][0]) for entry in found))


class Fetcher:
    """Fetches from ``hosts`` only; with none given, from nowhere.

    :param hosts: ``name`` (ports 80 and 443) or ``name:port``, from accepted trust lists or the node's configuration
    :param private_hosts: those of them that may lie on private or loopback addresses: development nodes on one machine
    :param tls: for a region's own TLS root; the system's roots otherwise
    """

    def __init__(
        self,
        hosts: Iterable[str] = (),
        *,
        private_hosts: Iterable[str] = (),
        limits: Limits | None = None,
        resolver: Resolver = system_resolver,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._private = frozenset(name.lower() for name in private_hosts)
        self._hosts = frozenset(name.lower() for name in hosts) | self._private
        self._limits = limits or Limits()
        self._resolve = resolver
        self._tls = tls

    def get(
        self, url: str, *, accept: str = "*/*", limits: Limits | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """The answer to a GET.

        :param headers: further ones; with them nothing is redirected, so that no secret goes where it was not meant to
        :raises BadAddress: no http or https address
        :raises AddressRefused: the host is not among those allowed, or lies on a private address
        :raises AnswerTooSlow: not whole within the time limit
        :raises AnswerTooLarge: larger than the size limit
        :raises BadAnswer: any status but 200, too many redirects, or a compressed answer
        :raises NoAnswer: it could not be reached
        """
        limits = limits or self._limits
        deadline = time.monotonic() + limits.time
        for _ in range(limits.redirects + 1):
            answer = self._exchange("GET", url, {"Accept": accept, **(headers or {})}, None, limits, deadline)
            if isinstance(answer, Answer):
                return answer
            if headers:
                break
            url = urljoin(url, answer)
        raise BadAnswer(
            "The address redirects more often than is allowed; nothing was fetched.", "该地址重定向次数过多；未获取任何内容。"
        )

    def post(
        self,
        url: str,
        data: bytes,
        *,
        content_type: str,
        accept: str = "*/*",
        limits: Limits | None = None,
        statuses: Collection[int] = (200,),
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """The answer to a POST; never redirected. Raises as :meth:`get`.

        :param statuses: which ones are an answer; any other is :class:`BadAnswer`
        """
        limits = limits or self._limits
        sent = {"Accept": accept, "Content-Type": content_type, **(headers or {})}
        answer = self._exchange("POST", url, sent, data, limits, time.monotonic() + limits.time, statuses)
        if isinstance(answer, Answer):
            return answer
        raise BadAnswer("The address redirects a request that must not be redirected.", "该地址对不可重定向的请求作了重定向。")

    def _exchange(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        data: bytes | None,
        limits: Limits,
        deadline: float,
        statuses: Collection[int] = (200,),
    ) -> Answer | str:
        """One request: the answer, or where it redirects to."""
        parts, host, port = _parse(url)
        address = self._checked_address(host, port, deadline)
        pool = httpcore.ConnectionPool(
            ssl_context=self._tls or ssl.create_default_context(),
            network_backend=_Pinned(address, deadline),
            max_connections=1,
            retries=0,
        )
        sent = {
            "Host": parts.netloc,
            "User-Agent": "xinyin",
            "Accept-Encoding": "identity",
            "Connection": "close",
            **headers,
        }
        if data is not None:
            sent["Content-Length"] = str(len(data))
        target = parts._replace(fragment="").geturl()
        try:
            with pool, pool.stream(method, target, headers=list(sent.items()), content=data) as response:
                found = {name.lower().decode("latin-1"): value.decode("latin-1") for name, value in response.headers}
                if response.status in _REDIRECTS and "location" in found:
                    return found["location"]
                _check_answer(response.status, found, limits, statuses)
                body = _read(response.iter_stream(), limits, deadline)
        except httpcore.TimeoutException as exc:
            raise _too_slow(host, limits) from exc
        except (httpcore.NetworkError, httpcore.ProtocolError, ssl.SSLError, OSError) as exc:
            if time.monotonic() >= deadline:
                raise _too_slow(host, limits) from exc
            raise NoAnswer(
                f"{host} cannot be reached ({type(exc).__name__}); try again later.",
                f"无法连接 {host}（{type(exc).__name__}）；请稍后重试。",
                host=host,
            ) from exc
        return Answer(target, found.get("content-type", "").partition(";")[0].strip().lower(), body, response.status)

    def _checked_address(self, host: str, port: int, deadline: float) -> str:
        names = {host, f"{host}:{port}"} if port in PORTS.values() else {f"{host}:{port}"}
        if not names & self._hosts:
            raise AddressRefused(
                f"{host} is not a host that this node asks; an accepted trust list or the configuration must name it.",
                f"{host} 不在允许访问的主机之列；须由已采信的信任列表或配置列明。",
                host=host,
            )
        addresses = self._look_up(host, port, deadline)
        if not names & self._private and not all(_is_public(address) for address in addresses):
            raise AddressRefused(
                f"{host} lies on a private address; nothing was fetched.", f"{host} 位于内网地址；未获取任何内容。", host=host
            )
        return addresses[0]

    def _look_up(self, host: str, port: int, deadline: float) -> Sequence[str]:
        """In a thread of its own, because the system's look-up knows no time limit."""
        found: list[str] = []

        def look_up() -> None:
            try:
                found.extend(self._resolve(host, port))
            except (OSError, UnicodeError):
                return

        thread = threading.Thread(target=look_up, daemon=True)
        thread.start()
        thread.join(max(0.0, deadline - time.monotonic()))
        if not found:
            raise NoAnswer(
                f"The name {host} cannot be resolved; check it, or try again later.",
                f"无法解析主机名 {host}；请核对或稍后重试。",
                host=host,
            )
        return found


class _Pinned(httpcore.NetworkBackend):
    """Connects to the address that was checked, whatever name is asked for, and lets nothing outlast the deadline."""

    def __init__(self, address: str, deadline: float) -> None:
        self._address = address
        self._deadline = deadline
        self._inner = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        remaining = _remaining(self._deadline, httpcore.ConnectTimeout)
        return _Timed(self._inner.connect_tcp(self._address, port, remaining, local_address, socket_options), self._deadline)


class _Timed(httpcore.NetworkStream):
    """A stream whose every step has only what is left of the whole time."""

    def __init__(self, inner: httpcore.NetworkStream, deadline: float) -> None:
        self._inner = inner
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, _remaining(self._deadline, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, _remaining(self._deadline, httpcore.WriteTimeout))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        remaining = _remaining(self._deadline, httpcore.ConnectTimeout)
        return _Timed(self._inner.start_tls(ssl_context, server_hostname, remaining), self._deadline)

    def get_extra_info(self, info: str) -> object:
        return self._inner.get_extra_info(info)


def _remaining(deadline: float, late: type[httpcore.TimeoutException]) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise late("the time for the whole exchange is over")
    return left


def endpoint(url: str) -> tuple[str, str, int]:
    """Scheme, host name in lower case and port of an address that could be fetched. :raises BadAddress: it could not"""
    parts, host, port = _parse(url)
    return parts.scheme, host, port


def _parse(url: str) -> tuple[SplitResult, str, int]:
    """Parts, host name in lower case, port.

    :raises BadAddress: not http or https, no host, a name and password in it, or characters that two parsers read differently
    """
    try:
        if len(url) > 2048 or any(ord(char) <= 0x20 or ord(char) >= 0x7F or char == "\\" for char in url):
            raise ValueError("characters")
        parts = urlsplit(url)
        port = parts.port or PORTS[parts.scheme]
        host = (parts.hostname or "").rstrip(".")
        if not host or "@" in parts.netloc or "%" in parts.netloc:
            raise ValueError("host")
    except (ValueError, KeyError) as exc:
        raise BadAddress(
            "This is no http or https address that can be fetched.", "这不是可访问的 http 或 https 地址。", url=url[:200]
        ) from exc
    return parts, host, port


def _is_public(text: str) -> bool:
    """Whether an address is one of the open network, also seen through IPv6 forms that carry an IPv4 address inside."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address):
        inside = address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)
        if address in _NAT64:
            inside = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inside is not None:
            address = inside
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)


def _check_answer(status: int, headers: Mapping[str, str], limits: Limits, statuses: Collection[int]) -> None:
    if status not in statuses:
        raise BadAnswer(f"The host answered with status {status}.", f"对方返回状态 {status}。", status=status)
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise BadAnswer("The host sent a compressed answer, which was not asked for.", "对方返回了未请求的压缩内容。")
    declared = headers.get("content-length", "")
    if declared.isascii() and declared.isdigit() and int(declared[:18]) > limits.size:
        raise _too_large(limits)


def _read(chunks: Iterable[bytes], limits: Limits, deadline: float) -> bytes:
    body = bytearray()
    for chunk in chunks:
        body += chunk
        if len(body) > limits.size:
            raise _too_large(limits)
        _remaining(deadline, httpcore.ReadTimeout)
    return bytes(body)


def _too_slow(host: str, limits: Limits) -> AnswerTooSlow:
    return AnswerTooSlow(
        f"{host} did not answer within {limits.time:g} seconds; try again later.",
        f"{host} 未在 {limits.time:g} 秒内完成应答；请稍后重试。",
        host=host,
    )


def _too_large(limits: Limits) -> AnswerTooLarge:
    return AnswerTooLarge(
        f"The answer is larger than {limits.size} bytes; nothing was kept.",
        f"应答超过 {limits.size} 字节；未保留。",
        limit=limits.size,
    )
