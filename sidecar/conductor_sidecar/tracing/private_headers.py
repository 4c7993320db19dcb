"""The collector's headers, from a file that only this user can read.

Promise: a value is a `Secret` from the first moment on, and no message quotes a line. Refusal: a
file that others can read is not used.
"""

from __future__ import annotations

import re
from pathlib import Path

from conductor_sdk.secret import Secret
from conductor_sidecar.tracing.errors import OtlpHeadersInvalid
from conductor_state.private_file import read_private

_LINE = re.compile(
    r"(?P<name>[!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(?P<value>[\x20-\x7e]*[\x21-\x7e])\s*\Z"
)


def read_headers(path: Path) -> dict[str, Secret]:
    """Read `name: value` lines; empty lines and lines that begin with # are passed over.

    Raises:
        OtlpHeadersInvalid: The file is missing, or a line has another form.
        PrivateFileRefused: Others can read it, or it is no plain file.
    """
    try:
        text = read_private(path).decode()
    except FileNotFoundError:
        raise OtlpHeadersInvalid(f"{path} does not exist") from None
    except UnicodeDecodeError:
        raise OtlpHeadersInvalid(f"{path} is not text") from None
    headers: dict[str, Secret] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        found = _LINE.match(line)
        if found is None:
            raise OtlpHeadersInvalid(f"{path}, line {number}: not `name: value`")
        headers[found["name"].lower()] = Secret(found["value"])
    return headers
