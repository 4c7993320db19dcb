"""Errors of the HTTP surface: its listener, its credentials, and requests that it refuses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from conductor_sdk.errors import ConductorError, Exit


class ListenRefused(ConductorError):
    """The address of the HTTP listener is not allowed."""

    code = "HTTP_LISTEN_REFUSED"
    default_hint = "set http.listen to an address of this machine, as 127.0.0.1:7433"
    exit_code = Exit.BAD_CONFIG


class ListenFailed(ConductorError):
    """The address of the HTTP listener cannot be had."""

    code = "HTTP_LISTEN_FAILED"
    default_hint = "set http.listen to a free port: conductor config show"
    exit_code = Exit.BUSY


class CredentialsDamaged(ConductorError):
    """A file of HTTP credentials cannot be used."""

    code = "HTTP_CREDENTIALS_DAMAGED"
    default_hint = "remove the file, then: conductor tools token create NAME"
    exit_code = Exit.INTEGRITY


class CredentialRefused(ConductorError):
    """Such a credential cannot be made."""

    code = "HTTP_CREDENTIAL_REFUSED"
    default_hint = "run: conductor tools token create --help"
    exit_code = Exit.USAGE


class CredentialExists(ConductorError):
    """A credential of that name exists."""

    code = "HTTP_CREDENTIAL_EXISTS"
    default_hint = "take another name, or first: conductor tools token revoke NAME"


class CredentialNotFound(ConductorError):
    """No credential has that name."""

    code = "HTTP_CREDENTIAL_NOT_FOUND"
    default_hint = "run: conductor tools token list"
    exit_code = Exit.NOT_FOUND


class Refusal(Exception):
    """A request is answered with a status and a code, and nothing is done.

    Not a ConductorError: whoever asked is told, and no operator has to act.
    """

    def __init__(
        self, status: int, code: str, message: str, *,
        details: Mapping[str, Any] | None = None, headers: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        """Describe an answer.

        Args:
            status: The HTTP status.
            code: Stable, upper snake case.
            message: One sentence without anything that the request's headers hold.
            details: JSON for programs.
            headers: Of the answer.
        """
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.details = details
        self.headers = dict(headers or {})
