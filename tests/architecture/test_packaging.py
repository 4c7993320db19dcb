from __future__ import annotations

import re
import subprocess
import tomllib

from conductor_sidecar import __version__
from conductor_sidecar.cli.main import VERSION
from house import ROOT

LOCKS = ("requirements.lock", "requirements-dev.lock")


def project() -> dict[str, object]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_the_lock_files_pin_hashes_and_name_no_host() -> None:
    for name in LOCKS:
        text = (ROOT / name).read_text(encoding="utf-8")

        assert "://" not in text
        assert "--index-url" not in text
        pins = re.findall(r"^[a-z0-9][^\n]*==[^\n]*", text, re.MULTILINE | re.IGNORECASE)
        assert pins
        assert all(pin.rstrip().endswith("\\") for pin in pins)


def test_the_run_time_requirements_stand_in_both_places_alike() -> None:
    lines = (ROOT / "requirements.in").read_text(encoding="utf-8").splitlines()
    listed = [line for line in lines if line and not line.startswith("#")]

    assert listed == project()["dependencies"]


def test_the_version_is_the_same_everywhere() -> None:
    assert project()["version"] == __version__ == VERSION


def test_layers_and_cycles_hold() -> None:
    ran = subprocess.run(
        ["lint-imports"], cwd=ROOT, capture_output=True, text=True, check=False,
        executable=ROOT / ".venv/bin/lint-imports",
    )  # fmt: skip

    assert ran.returncode == 0, ran.stdout
