"""The built-in provider `terminal`: what is sent is shown to whoever watches the daemon.

Promise: a message cannot drive the terminal; control characters are replaced. Refusal: nothing
ever comes in here.
"""

from __future__ import annotations

import asyncio
import sys
from typing import TextIO

from conductor_packs.sidekick.channels.port import (
    ReceiveReply,
    ReceiveRequest,
    SendReply,
    SendRequest,
)
from conductor_sdk.terminal_text import clean_lines

PROVIDER = "terminal"


class TerminalTransport:
    """Writes to a stream; standard error, where the daemon also logs, by default."""

    deduplicates = False

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream

    async def send(self, request: SendRequest) -> SendReply:
        """Show the message."""
        text = clean_lines(f"[{request.channel}] {request.content}")
        shown = text.replace("\n", "\n    ")
        try:
            await asyncio.to_thread(self._write, shown)
        except (OSError, ValueError) as error:
            return SendReply(False, error=f"{type(error).__name__}", failure_class="terminal")
        return SendReply(True)

    async def receive(self, request: ReceiveRequest) -> ReceiveReply:
        """Return nothing: nobody types here."""
        del request
        return ReceiveReply(True, records=())

    def _write(self, text: str) -> None:
        stream = self._stream or sys.stderr
        stream.write(f"{text}\n")
        stream.flush()
