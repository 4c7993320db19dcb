"""No secret in a log: by its type, by the name of its field, by its shape, by its text.

Promise: a `Secret` is never written, nor a field whose name says what it is, nor one of our own
tokens, nor a credential that this process has used, also where a library put it into a text.
Refusal: secrets that nobody told it of, in a field with another name, are not found; do not log
them.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import MutableMapping
from typing import Any, cast

from conductor_sdk.secret import Secret
from conductor_sidecar.redaction import REDACTED, KnownSecrets, redact

REMEMBERED = 32
"""Secrets of this process whose text is looked for, the newest."""
_OURS = re.compile(r"\b(?:cs[ct]_[A-Za-z0-9_-]{16,}|cse[0-9]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]{16,})")
"""Credentials, tokens for tools, enrollment tokens."""


class LogRedaction:
    """A processor of structlog. `remember` what it has to look for."""

    def __init__(self) -> None:
        self._secrets: deque[Secret] = deque(maxlen=REMEMBERED)
        self._known = KnownSecrets(())

    def remember(self, secret: Secret) -> None:
        """Look for a secret from now on."""
        if secret not in self._secrets:
            self._secrets.append(secret)
            self._known = KnownSecrets(self._secrets)

    def text(self, text: str) -> str:
        """Return a text without what is known."""
        return _OURS.sub(REDACTED, self._known.strip(text))

    def __call__(
        self, _logger: object, _method: str, record: MutableMapping[str, Any]
    ) -> MutableMapping[str, Any]:
        """Redact a record in place, its event too."""
        for name, value in record.items():
            record[name] = self._shown(redact(value, name))
        return record

    def _shown(self, value: object) -> object:
        match value:
            case str():
                return self.text(value)
            case dict():
                found = cast("dict[object, object]", value)
                return {self._shown(key): self._shown(one) for key, one in found.items()}
            case list():
                some = cast("list[object]", value)
                return [self._shown(one) for one in some]
            case _:
                return value


LOGS = LogRedaction()
"""Of this process: logs are configured once for it."""
