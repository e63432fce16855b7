"""One HTTP exchange on its own fresh connection, with the stamps that an open loop needs.

Why no connection pool: a pool has a size, and a size closes the loop as soon as that many requests
are waiting. A connection each also matches what the load stands for, clients that do not know of
one another. Standard library only; under Locust the sockets are gevent's.
"""

from __future__ import annotations

import http.client
import math
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

IMAGES_PATH = "/v1/images/generations"
RECEIVED_HEADER = "x-received-at"


@dataclass(frozen=True, slots=True)
class Target:
    """A resolved server. The address is looked up once, so that no request waits for a lookup."""

    host: str
    port: int
    prefix: str
    tls: ssl.SSLContext | None
    family: int
    address: tuple[object, ...]

    def connect(self) -> socket.socket:
        """A connected stream socket. Raises OSError."""
        plain = socket.socket(self.family, socket.SOCK_STREAM)
        try:
            plain.connect(self.address)
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return (
                plain
                if self.tls is None
                else self.tls.wrap_socket(plain, server_hostname=self.host)
            )
        except BaseException:
            # BaseException: a timeout that interrupts the connect must not leak the socket.
            plain.close()
            raise

    def request_bytes(self, body: bytes) -> bytes:
        """The bytes of a POST to the images path; one write, so that headers do not go ahead."""
        default_port = 80 if self.tls is None else 443
        name = f"[{self.host}]" if ":" in self.host else self.host
        host = name if self.port == default_port else f"{name}:{self.port}"
        head = (
            f"POST {self.prefix}{IMAGES_PATH} HTTP/1.1\r\n"
            f"Host: {host}\r\n"
            "Content-Type: application/json\r\n"
            "Accept: application/json\r\n"
            f"Content-Length: {len(body)}\r\n"
            "Connection: close\r\n\r\n"
        )
        return head.encode("ascii") + body


@dataclass(frozen=True, slots=True)
class Reply:
    """A complete answer: status, the server's receive stamp (unix seconds) if it gave one, body."""

    status: int
    received_unix: float | None
    body: bytes


def resolve(url: str) -> Target:
    """Looks the server up and proves that it takes connections. Raises OSError if it does not."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    tls = ssl.create_default_context() if parts.scheme == "https" else None
    port = parts.port or (80 if tls is None else 443)
    failure: OSError = OSError("no address found")
    for family, _, _, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        target = Target(host, port, parts.path.rstrip("/"), tls, family, tuple(address))
        try:
            target.connect().close()
        except OSError as error:
            failure = error
        else:
            return target
    raise failure


def server_problem(url: str, timeout_s: float = 10.0) -> str | None:
    """One sentence when the server cannot be reached or says it is not ready, else None.

    A server without /readyz counts as ready: the load is not only for our own server.
    """
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    connection_type = http.client.HTTPSConnection if secure else http.client.HTTPConnection
    connection = connection_type(parts.hostname or "", parts.port, timeout=timeout_s)
    try:
        connection.request("GET", f"{parts.path.rstrip('/')}/readyz")
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return (
            f"no server answers at {url} ({error}): start it with `make serve`, or correct the URL."
        )
    finally:
        connection.close()
    if status >= 500:
        return (
            f"the server at {url} is not ready yet (/readyz says {status}): try again in a moment."
        )
    return None


def _received(header: str | None) -> float | None:
    """The header's value, or None if it is missing or no finite number."""
    try:
        value = float(header) if header is not None else math.nan
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def post(target: Target, request: bytes, on_sent: Callable[[], None]) -> Reply:
    """Connects, sends, reads the whole answer.

    ``on_sent`` is called when the connection stands and the request is about to be written: any
    wait for a connection is over by then and so shows in the stamp. Raises OSError or
    http.client.HTTPException.
    """
    sock = target.connect()
    try:
        on_sent()
        sock.sendall(request)
        response = http.client.HTTPResponse(sock, method="POST")
        try:
            response.begin()
            body = response.read()
        finally:
            response.close()
        return Reply(response.status, _received(response.getheader(RECEIVED_HEADER)), body)
    finally:
        sock.close()
