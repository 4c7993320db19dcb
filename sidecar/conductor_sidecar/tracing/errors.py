"""Errors of the export of traces: all of them end the start, none of them a running daemon."""

from __future__ import annotations

from conductor_sdk.errors import ConductorError, Exit


class OtlpMissing(ConductorError):
    """Traces are to be exported, but the libraries for it are not installed."""

    code = "OTLP_MISSING"
    default_hint = "pip install 'conductor-sidecar[otlp]'"
    exit_code = Exit.BAD_CONFIG


class OtlpAddressInvalid(ConductorError):
    """The collector's address is not one that traces can be sent to."""

    code = "OTLP_ADDRESS_INVALID"
    default_hint = "set traces.otlp_endpoint to http://host:port or https://host:port"
    exit_code = Exit.BAD_CONFIG


class OtlpHeadersInvalid(ConductorError):
    """The file with the collector's headers cannot be used."""

    code = "OTLP_HEADERS_INVALID"
    default_hint = "write one `name: value` in each line of traces.headers_file"
    exit_code = Exit.BAD_CONFIG


class OtlpPlaintext(ConductorError):
    """The collector's headers would cross a network unencrypted."""

    code = "OTLP_PLAINTEXT"
    default_hint = "set traces.otlp_endpoint to https://…, or to a collector on this machine"
    exit_code = Exit.BAD_CONFIG
