# SPDX-License-Identifier: GPL-3.0-or-later
"""An HTTP proxy before a store's server that does what real ones do on a bad day: refuses, is slow, or breaks off."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self


@dataclass(frozen=True)
class Asked:
    """A request as a rule sees it: its number from 0, method, path with query, and bytes of its body."""

    number: int
    method: str
    path: str
    length: int


@dataclass(frozen=True)
class Refuse:
    """Answer with STATUS, and S3's code in the body, instead of asking the server."""

    status: int
    code: str = "InternalError"


@dataclass(frozen=True)
class BreakRequest:
    """Close the connection when half of the request's body was read."""


@dataclass(frozen=True)
class BreakAnswer:
    """Close the connection after that many bytes of the answer's body."""

    after: int


Fault = Refuse | BreakRequest | BreakAnswer | None
Rule = Callable[[Asked], Fault]


class FaultyProxy:
    """A proxy on loopback; `rule` decides for each request, and `asked` has all of them."""

    def __init__(self, port: int, rule: Rule = lambda _: None) -> None:
        """Stand before the server at PORT."""
        self.rule = rule
        self.asked: list[Asked] = []
        self._target = port
        self._lock = threading.Lock()
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                pass

            def handle_any(self) -> None:
                # A client that has given up does not wait for its answer.
                with suppress(BrokenPipeError, ConnectionResetError):
                    proxy._handle(self)

            do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = handle_any  # noqa: N815

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True

    def __enter__(self) -> Self:
        """Start."""
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self._server.shutdown()
        self._server.server_close()

    @property
    def endpoint(self) -> str:
        """The proxy's URL."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def _handle(self, handler: BaseHTTPRequestHandler) -> None:
        length = int(handler.headers.get("Content-Length") or 0)
        with self._lock:
            asked = Asked(len(self.asked), handler.command, handler.path, length)
            self.asked.append(asked)
        fault = self.rule(asked)
        if isinstance(fault, BreakRequest):
            handler.rfile.read(length // 2)
            handler.close_connection = True
            handler.connection.close()
            return
        body = handler.rfile.read(length)
        if isinstance(fault, Refuse):
            text = f"<?xml version='1.0'?><Error><Code>{fault.code}</Code></Error>".encode()
            self._answer(handler, fault.status, [("Content-Type", "application/xml")], text)
            return
        # The signature covers the host that the client named, and the server checks it against the header.
        connection = http.client.HTTPConnection("127.0.0.1", self._target)
        connection.request(handler.command, handler.path, body, dict(handler.headers.items()))
        answer = connection.getresponse()
        content = answer.read()
        if isinstance(fault, BreakAnswer):
            handler.send_response(answer.status)
            for name, value in answer.getheaders():
                handler.send_header(name, value)
            handler.end_headers()
            handler.wfile.write(content[: fault.after])
            handler.wfile.flush()
            handler.close_connection = True
            handler.connection.close()
            return
        self._answer(handler, answer.status, answer.getheaders(), content)

    def _answer(
        self, handler: BaseHTTPRequestHandler, status: int, headers: list[tuple[str, str]], content: bytes
    ) -> None:
        handler.send_response(status)
        for name, value in headers:
            if handler.command == "HEAD" or name.lower() not in ("content-length", "transfer-encoding"):
                handler.send_header(name, value)
        if handler.command != "HEAD":
            handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        if handler.command != "HEAD":
            handler.wfile.write(content)
