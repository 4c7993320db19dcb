"""Errors of the MCP surface."""

from __future__ import annotations

from conductor_sdk.errors import ConductorError, Exit


class McpRefused(ConductorError):
    """The sidecar does not answer MCP requests."""

    code = "MCP_REFUSED"
    default_hint = "restart it, it may be older than this command: conductor status"
    exit_code = Exit.UNAVAILABLE


class McpInterrupted(ConductorError):
    """The sidecar went away during the call, which may have had its effect."""

    code = "CALL_INTERRUPTED"
    default_hint = "look before calling again: conductor log tail"
    exit_code = Exit.UNAVAILABLE
