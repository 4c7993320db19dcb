"""A real `conductor dev` for a page whose reader has a conductor already."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from doc_runner import Reader


@dataclass
class Practice:
    """One conductor in a directory of its own, with an enrollment token for one workspace."""

    operator: Reader
    workspace: str
    url: str = field(init=False)
    token: str = field(init=False)

    def __post_init__(self) -> None:
        started = self.operator.start(f"conductor dev --workspace {self.workspace} --directory .")
        self.url = started.wait_for(r"listening on (\S+)")[1]
        path = self.operator.directory / f"{self.workspace}.token"
        self.token = path.read_text(encoding="utf-8")

    def send(self, kind: str, payload: str) -> str:
        """Send one event down; returns its id."""
        words = f"send {kind} --to {self.workspace} --payload '{payload}' --json"
        return str(
            json.loads(self.operator.type(f"conductor dev --directory . {words}"))["event_id"]
        )
