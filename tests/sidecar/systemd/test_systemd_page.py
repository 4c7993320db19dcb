"""docs/how-to/systemd.md, executed below a temporary root."""

from __future__ import annotations

import re
from pathlib import Path

from conductor_sidecar.systemd.health import Code
from doc_runner import Reader
from house import ROOT

PAGE = ROOT / "docs/how-to/systemd.md"


def test_the_units_are_installed_and_removed_as_the_page_says(tmp_path: Path) -> None:
    image, place = tmp_path / "image", tmp_path / "place"
    image.mkdir()
    place.mkdir()
    with Reader(place) as reader:
        reader.bindings = {
            "systemd install": f"systemd install --root {image}",
            "systemd uninstall": f"systemd uninstall --root {image}",
            "USER": "nobody",
        }
        reader.read(PAGE)

    left = sorted(path.name for path in image.rglob("*") if path.is_file())
    assert [
        "50-conductor.conf", "50-listen.conf", "conductor-sidecar@.service",
        "conductor-sidecar@.socket",
    ] == left  # fmt: skip


def test_every_reason_of_health_is_on_the_page() -> None:
    rows = "\n".join(re.findall(r"^\| `.*$", PAGE.read_text(encoding="utf-8"), re.MULTILINE))

    assert set() == {str(code) for code in Code} - set(re.findall(r"`(\w+)`", rows))
