"""What a server says to whoever started it.

Promise: it is said once requests are accepted, with every address. Refusal: nothing is served here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import click

from conductor_flows.cli.aside import answering
from conductor_flows.host.web.route import Route
from conductor_sdk.terminal_text import clean
from conductor_terminal.printing import print_line


@dataclass(frozen=True, slots=True)
class Ready:
    """What is said when requests are accepted."""

    routes: Sequence[Route]
    metrics: str | None
    """Where what was measured is served."""
    as_json: bool

    def say(self, url: str) -> None:
        """Print it: for people on standard error, for programs one line on standard output."""
        if self.as_json:
            metrics = {} if self.metrics is None else {"metrics": self.metrics}
            with answering():
                print_line({"url": url, **metrics, "routes": self._listed(url)})
            return
        for route in self.routes:
            for path in route.paths:
                told = f"{route.method:<6} {url}{path}  {route.host.flow.name}"
                click.echo(clean(told), err=True)
        for own in (f"{url}/openapi.json", self.metrics):
            if own is not None:
                click.echo(f"GET    {own}", err=True)
        click.echo("Ctrl-C stops.", err=True)

    def _listed(self, url: str) -> list[dict[str, str]]:
        return [
            {"flow": route.host.flow.name, "method": route.method, "url": f"{url}{path}",
             "trigger": route.trigger, "capture": route.capture}
            for route in self.routes for path in route.paths
        ]  # fmt: skip
