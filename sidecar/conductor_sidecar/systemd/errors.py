"""Errors of running as a service."""

from __future__ import annotations

from conductor_sdk.errors import ConductorError, Exit


class UnitNotOurs(ConductorError):
    """A file stands where a unit belongs, and it was not written by this command."""

    code = "UNIT_NOT_OURS"
    default_hint = "move it away, or change units by: systemctl edit UNIT"


class UnitInUse(ConductorError):
    """The unit is still enabled."""

    code = "UNIT_IN_USE"
    default_hint = "run: systemctl disable --now UNIT"
    exit_code = Exit.BUSY


class UnitRefused(ConductorError):
    """No unit can be made of this."""

    code = "UNIT_REFUSED"
    default_hint = "see: conductor systemd print --help"
    exit_code = Exit.USAGE


class ActivationRefused(ConductorError):
    """The sockets that the service manager handed over cannot be used."""

    code = "ACTIVATION_REFUSED"
    default_hint = "give the socket unit one ListenStream=HOST:PORT and FileDescriptorName=tools"
    exit_code = Exit.BAD_CONFIG


class CredentialUnsafe(ConductorError):
    """The credential of the service manager is not private, so it is not used."""

    code = "SERVICE_CREDENTIAL_UNSAFE"
    default_hint = "look at it: ls -lR $CREDENTIALS_DIRECTORY"
    exit_code = Exit.TOKEN_REFUSED
