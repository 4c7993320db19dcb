"""docs/how-to/trace.md, executed against a collector on this machine."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from conductor_sdk.event import keyed_event_id
from conductor_sdk.handler import Handled
from conductor_sidecar.tracing.private_headers import read_headers
from doc_runner import Reader, blocks
from house import ROOT
from otlp_collector import collecting

PAGE = ROOT / "docs/how-to/trace.md"
KIND = "conductor:recovery_requested"
TRACE = "0af7651916cd43dd8448eb211c80319c"


def test_traces_arrive_as_the_page_says(tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    with collecting() as collector, Reader(place) as reader:
        reader.bindings = {
            "http://127.0.0.1:4318": collector.url,
            "EVENT_ID": keyed_event_id("place", KIND, "first"),
        }
        reader.read(PAGE)
        spans = collector.wait_for(lambda got: len(got) > 1)
        assert 0 == reader.running[0].end()
    assert {"receive", f"handle {KIND}"} == {span.name for span in spans}
    [handled] = [span for span in spans if span.name == f"handle {KIND}"]
    assert (TRACE, "b7ad6b7169203331") == (handled.trace_id, handled.parent)
    assert "Bearer SECRET" == read_headers(place / "collector.headers")["authorization"].reveal()


def test_the_handler_on_the_page_sends_its_context_along() -> None:
    sent: list[Any] = []

    async def fetch(url: str, *, headers: Any) -> None:
        sent.append(headers)

    [block] = [block for block in blocks(PAGE) if block.language == "python"]
    names: dict[str, Any] = {"Handled": Handled, "fetch": fetch}
    exec(block.body, names)  # the page's own words
    answer = asyncio.run(names["on_job"](None, SimpleNamespace(traceparent=f"00-{TRACE}-a-01")))
    assert (Handled(), [{"traceparent": f"00-{TRACE}-a-01"}]) == (answer, sent)
