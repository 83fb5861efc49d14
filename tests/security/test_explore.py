"""The served page: what each answer says to the browser, and what a client cannot do to it.

That it is at one secret address, listens on loopback alone, refuses foreign names and every method but reading, is in
tests/report/test_html.py; what the page itself lets in, in tests/browser.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from served_pages import served_page

from beyond_chinchilla.report.html import serve as serving
from beyond_chinchilla.report.html.serve import Served, serve

PAGE = "<p>Zq7</p>"
SAID = (
    "content-security-policy",
    "x-content-type-options",
    "x-frame-options",
    "referrer-policy",
    "cache-control",
    "cross-origin-opener-policy",
    "cross-origin-resource-policy",
)


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    """Serve a page, from a folder that holds a file."""
    (tmp_path / "secret.txt").write_text("secret", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    with served_page(PAGE) as found:
        yield found


def raw(served: Served, request: bytes) -> tuple[int, dict[str, str], bytes]:
    """Send bytes as they are; return status, headers and body. No answer at all is status 0."""
    with socket.create_connection(("127.0.0.1", served.server.server_port), timeout=5) as client:
        data = b""
        # The server may hang up on what is too long while we still send it.
        with contextlib.suppress(ConnectionError):
            client.sendall(request)
        with contextlib.suppress(ConnectionError):
            while part := client.recv(65536):
                data += part
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    words = lines[0].split(" ")
    pairs = (line.partition(": ") for line in lines[1:])
    return (int(words[1]) if len(words) > 1 else 0), {name.lower(): value for name, _, value in pairs}, body


def asked(served: Served, path: str | None = None, *more: str, method: str = "GET") -> bytes:
    """Return a request as a browser on this machine sends it."""
    path = urlsplit(served.address).path if path is None else path
    lines = [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{served.server.server_port}", *more]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def test_every_answer_carries_the_headers_also_a_refusal(served: Served):
    answers = {
        200: raw(served, asked(served)),
        404: raw(served, asked(served, "/")),
        421: raw(served, asked(served).replace(b"127.0.0.1", b"evil.example")),
        501: raw(served, asked(served, None, "Content-Length: 3", method="POST") + b"a=1"),
        400: raw(served, b"GET / HTTP/9.x\r\n\r\n"),
        414: raw(served, b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n"),
        431: raw(served, asked(served, None, *(f"X-{number}: a" for number in range(200)))),
    }
    for status, (found, headers, body) in answers.items():
        assert found == status
        assert set(SAID) <= set(headers), status
        assert [name for name in headers if name.startswith("access-control")] == []
        assert body == (PAGE.encode() if status == 200 else b"")
    policy = answers[200][1]["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "http" not in policy
    assert "connect-src" not in policy


def test_no_path_leads_to_a_file_and_none_is_listed(served: Served):
    token = urlsplit(served.address).path
    names = ("secret.txt", "./secret.txt", "../secret.txt", "%2e%2e/secret.txt", "..%2fsecret.txt", "//secret.txt")
    for name in (*names, "\\secret.txt", "secret.txt%00", "file:///etc/passwd", "", "."):
        for path in (f"/{name}", f"{token}{name}"):
            status, _, body = raw(served, asked(served, path))
            assert (status, body) == ((200, PAGE.encode()) if path == token else (404, b""))


def test_nothing_is_written_whatever_is_sent(served: Served, tmp_path: Path):
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    for method in ("PUT", "POST", "DELETE", "PATCH", "MKCOL", "TRACE", "CONNECT", "OPTIONS"):
        assert raw(served, asked(served, "/new.txt", "Content-Length: 4", method=method) + b"data")[0] == 501
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_the_token_is_compared_in_constant_time(served: Served, monkeypatch: pytest.MonkeyPatch):
    compared: list[tuple[bytes, bytes]] = []
    digest = serving.hmac.compare_digest
    monkeypatch.setattr(serving.hmac, "compare_digest", lambda a, b: compared.append((a, b)) or digest(a, b))
    assert raw(served, asked(served, "/guess/"))[0] == 404
    assert compared == [(b"/guess/", urlsplit(served.address).path.encode())]


def test_a_token_has_enough_chance():
    found = [serve("") for _ in range(3)]
    for each in found:
        each.server.server_close()
    tokens = {urlsplit(each.address).path.strip("/") for each in found}
    assert len(tokens) == 3
    # 24 bytes of chance: 192 bits.
    assert {len(token) for token in tokens} == {32}


def test_a_client_that_says_nothing_holds_up_nobody(served: Served):
    silent = [socket.create_connection(("127.0.0.1", served.server.server_port), timeout=5) for _ in range(20)]
    try:
        for client in silent[:10]:
            client.sendall(b"GET / HTTP/1.1\r\nHost: ")
        assert raw(served, asked(served))[0] == 200
    finally:
        for client in silent:
            client.close()


def test_a_client_that_says_nothing_is_let_go(served: Served, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(serving._Handler, "timeout", 0.2)
    with socket.create_connection(("127.0.0.1", served.server.server_port), timeout=30) as client:
        client.sendall(b"GET / HTTP/1.1\r\n")
        assert client.recv(1) == b""


def test_a_body_is_never_read(served: Served):
    """Whoever announces a terabyte is answered at once, and nothing waits for it."""
    start = time.process_time()
    request = asked(served, None, "Content-Length: 1000000000000") + b"a" * 1000
    assert raw(served, request)[::2] == (200, PAGE.encode())
    assert time.process_time() - start < 5
