"""A real Prometheus scrapes a real daemon: with its token, over the guarded port."""

from __future__ import annotations

import asyncio
import json
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import yaml

from conductor_sdk.workspace import resolve_workspace
from expressions import RULES
from own_port import own_port
from promtool import program
from watch_world import Watch, watched

PATIENCE_S = 30.0


@contextmanager
def prometheus(place: Path, watch: Watch) -> Iterator[str]:
    """Run Prometheus for the length of a block; gives its address."""
    config = place / "prometheus.yml"
    config.write_text(yaml.safe_dump({
        "global": {"scrape_interval": "250ms", "scrape_timeout": "250ms"},
        "rule_files": [str(RULES)],
        "scrape_configs": [{
            "job_name": "conductor-sidecar",
            "authorization": {"credentials_file": str(watch.workspace.http_token)},
            "static_configs": [{"targets": [urlsplit(watch.url or "").netloc]}],
        }],
    }))  # fmt: skip
    address = f"127.0.0.1:{own_port()}"
    with (place / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(
            [program("prometheus"), f"--config.file={config}", f"--web.listen-address={address}",
             f"--storage.tsdb.path={place / 'tsdb'}"], stdout=log, stderr=log,
        )  # fmt: skip
        try:
            yield f"http://{address}"
        finally:
            process.terminate()
            process.wait(PATIENCE_S)


def ask(url: str) -> Any:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return json.load(answer)["data"]
    except urllib.error.URLError:
        return None  # it is starting


async def query(address: str, expression: str) -> dict[str, float]:
    """Ask until there is an answer; instance to value."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            url = f"{address}/api/v1/query?query={quote(expression)}"
            found = await asyncio.to_thread(ask, url)
            if found and found["result"]:
                return {one["metric"]["instance"]: float(one["value"][1])
                        for one in found["result"]}  # fmt: skip
            await asyncio.sleep(0.1)


async def test_prometheus_scrapes_the_sidecar_and_takes_the_rules(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    async with watched(resolve_workspace(tmp_path / "work")) as watch:
        target = urlsplit(watch.url or "").netloc
        with prometheus(tmp_path, watch) as address:
            up = 'up{job="conductor-sidecar"} == 1'
            assert {target: 1.0} == await query(address, up)
            assert {target: 1.0} == await query(address, "conductor_sidecar_conservation_holds")
            ready = 'conductor_sidecar_health{check="ready"} == 1'
            assert {target: 1.0} == await query(address, ready)
            series = f'scrape_samples_scraped{{instance="{target}"}}'
            assert (await query(address, series))[target] > 100
            groups = await asyncio.to_thread(ask, f"{address}/api/v1/rules")
        assert {"conductor-sidecar"} == {group["name"] for group in groups["groups"]}
