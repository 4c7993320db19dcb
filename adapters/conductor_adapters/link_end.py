"""Why a link ended.

Promise: one record, made once per link, from which every later `LinkClosed` is built. Refusal: text
that came from the peer is shown printable and short.
"""

from __future__ import annotations

import re

import msgspec

from conductor_adapters.transport import LinkClosed

ABNORMAL = 1006
"""The close code of a link that ended without a goodbye; `close(1006)` ends one that way."""
TOO_BIG = 1009
_UNPRINTABLE = re.compile(r"[^\x20-\x7e]+")
_SHOWN = 123


class LinkEnd(msgspec.Struct, frozen=True):
    """The end of a link."""

    detail: str
    close_code: int
    clean: bool
    """Whether the peer closed on purpose."""

    def error(self) -> LinkClosed:
        """Build the exception; a new one each time, so that tracebacks do not pile up."""
        return LinkClosed(self.detail, close_code=self.close_code, clean=self.clean)


CLOSED_HERE = LinkEnd("closed here", 1000, clean=False)


def closed_by_peer(code: int, reason: str) -> LinkEnd:
    """Describe a goodbye of the peer; its reason is untrusted text."""
    shown = printable(reason)
    detail = f"the peer closed with {code}" + (f": {shown}" if shown else "")
    return LinkEnd(detail, code, clean=True)


def printable(text: str) -> str:
    """Return a peer's words as they may be shown: printable ASCII, short."""
    return _UNPRINTABLE.sub(" ", text)[:_SHOWN].strip()
