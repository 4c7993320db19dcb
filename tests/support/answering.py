"""A small HTTP server that answers what a test tells it, on a control socket or over TCP.

Promise: whatever it is asked is handed to the test with its body, and the connection hangs up
without an answer where the status is 0. Refusal: it knows no route and no sidecar.
"""

from __future__ import annotations

import contextlib
import json
import socketserver
import threading
from collections.abc import Generator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from conductor_sdk.workspace import bind_control_socket, resolve_workspace


class Answering(BaseHTTPRequestHandler):
    """Derive from it, and say what is answered."""

    server: Any

    def answer(self, body: Any) -> tuple[int, bytes]:
        """Return status and text for a request; 204 and nothing by default."""
        return 204, b""

    def do_GET(self) -> None:
        self._reply(None)

    def do_POST(self) -> None:
        self._reply(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

    def _reply(self, body: Any) -> None:
        status, text = self.answer(body)
        if status == 0:
            return  # hang up without an answer
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *arguments: object) -> None:
        pass


class OnControlSocket(socketserver.ThreadingUnixStreamServer):
    """The server in place of a daemon, in a workspace that it makes."""

    def __init__(self, root: Path, handler: type[Answering]) -> None:
        super().__init__("", handler, bind_and_activate=False)
        self.socket.close()
        workspace = resolve_workspace(root)
        workspace.create()
        self.socket = bind_control_socket(workspace, lock_held=True)
        self.socket.listen()


@contextlib.contextmanager
def serving(server: socketserver.BaseServer) -> Generator[None]:
    """Serve in a thread; everything is gone at the end."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
