"""docs/how-to/systemd.md, executed below a temporary root."""

from __future__ import annotations

from pathlib import Path

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
