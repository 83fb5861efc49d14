"""One page, served to this machine alone: by the loopback interface, at an address that cannot be guessed.

No other site that the same browser has open can read it: it would need the token of the address, a name of this
machine in the Host header (a foreign name that resolves to loopback is refused), and a header that allows it, which
is never sent. Nothing is read from the network but the request's head, and nothing is written.
"""

from __future__ import annotations

import errno
import hmac
import os
import secrets
import socketserver
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from beyond_chinchilla.errors import InputError

LOOPBACK = "127.0.0.1"
_NAMES = (LOOPBACK, "localhost")
_TOKEN_BYTES = 24
# A client that says nothing is let go [s].
_PATIENCE = 10.0
# The page's own rule allows one style sheet and one script by their hashes; this one, which holds for every answer,
# allows nothing from elsewhere, no frame around it and nothing to be sent.
_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


@dataclass(frozen=True)
class Served:
    """A page that waits to be asked for.

    Attributes
    ----------
    server : ThreadingHTTPServer
        Already listening; ``serve_forever`` answers.
    address : str
        Where the page is.
    """

    server: ThreadingHTTPServer
    address: str


def serve(page: str, port: int = 0) -> Served:
    """Listen for requests of one page.

    Parameters
    ----------
    page : str
        The HTML.
    port : int
        0 takes one that is free.

    Raises
    ------
    InputError
        The port is in use, or may not be had.
    """
    token = secrets.token_urlsafe(_TOKEN_BYTES)
    try:
        server = _Server((LOOPBACK, port), _Handler)
    except (OSError, OverflowError) as error:
        if getattr(error, "errno", None) == errno.EADDRINUSE:
            raise InputError(f"port {port} is in use; give another --port, or none for one that is free") from None
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"port {port} cannot be had ({reason}); give --port 1024 to 65535, or none") from None
    server.content, server.path = page.encode(), f"/{token}/"
    return Served(server, f"http://{LOOPBACK}:{server.server_port}{server.path}")


class _Server(ThreadingHTTPServer):
    """Holds the page and the path at which alone it is given."""

    daemon_threads = True
    # So that a port is free again at once; on Windows it would let two servers share one.
    allow_reuse_address = os.name != "nt"
    content = b""
    path = "/"

    def server_bind(self) -> None:
        """Bind without asking a name server what this machine is called, as the base class does."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = LOOPBACK, int(self.server_address[1])

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: a browser that hangs up is no mistake of ours."""


class _Handler(BaseHTTPRequestHandler):
    """Answers GET and HEAD of the one path."""

    server: _Server
    timeout = _PATIENCE
    server_version, sys_version = "bc-opt", ""

    def do_GET(self) -> None:
        self._answer(body=True)

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def _answer(self, *, body: bool) -> None:
        # Bytes, as a path may hold letters that a comparison of text in constant time refuses.
        asked, known = self.path.split("?", 1)[0].encode("utf-8", "replace"), self.server.path.encode()
        if not self._is_local():
            self._send(HTTPStatus.MISDIRECTED_REQUEST, b"", body=body)
        elif not hmac.compare_digest(asked, known):
            self._send(HTTPStatus.NOT_FOUND, b"", body=body)
        else:
            self._send(HTTPStatus.OK, self.server.content, body=body)

    def _is_local(self) -> bool:
        """Say whether the request names this machine: a name of elsewhere that leads here is an attack."""
        host, _, port = self.headers.get("Host", "").partition(":")
        return host.lower() in _NAMES and port in ("", str(self.server.server_port))

    def _send(self, status: HTTPStatus, content: bytes, *, body: bool) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(content)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:  # noqa: ARG002
        """Refuse without a word: the base class would send back a page that quotes the request, without our headers."""
        self.close_connection = True
        # Of what could not be read the base class thinks that it is too old for headers.
        self.request_version = self.protocol_version
        self._send(HTTPStatus(code), b"", body=False)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""
