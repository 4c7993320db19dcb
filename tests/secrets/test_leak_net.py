"""The net under the suite sees what it is there for."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from pathlib import Path

import pytest

from house import ROOT

LEAKS = {
    "a file": "tmp_path.joinpath('kept.log').write_text(CREDENTIAL)",
    "a database": "tmp_path.joinpath('kept.db').write_bytes(bytes(9000) + CREDENTIAL.encode())",
    "output": "print('sent', CREDENTIAL)",
    "a log": "__import__('logging').warning('sent %s', CREDENTIAL)",
}
HARMLESS = {
    "an enrollment": "tmp_path.joinpath('enrollment.json').write_text(CREDENTIAL)",
    "a fingerprint": "print('0123456789abcdef')",
    "a made-up one": "print('csc_' + 'a' * 43)",
}


def run(directory: Path, statement: str) -> subprocess.CompletedProcess[str]:
    """Run a suite of one test under the net."""
    text = f"CREDENTIAL = 'csc_{secrets.token_urlsafe(32)}'\ndef test(tmp_path):\n    {statement}\n"
    (directory / "test_one.py").write_text(text)
    (directory / "conftest.py").write_text((ROOT / "tests/conftest.py").read_text())
    words = ["-q", "-p", "no:cacheprovider", f"--basetemp={directory}/base", str(directory)]
    env = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": "",
           "PYTHONPATH": str(ROOT / "tests/support")}  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-c", os.devnull, "--rootdir", str(directory), *words],
        capture_output=True, text=True, env=env, timeout=60, check=False,
    )  # fmt: skip
    # What was leaked on purpose must not be found by this suite's own net.
    for path in (directory / "base").rglob("*"):
        if path.is_file() and not path.is_symlink():
            path.unlink()
    (directory / "test_one.py").unlink()
    return done


@pytest.mark.parametrize("leak", LEAKS)
def test_a_planted_leak_is_caught(tmp_path: Path, leak: str) -> None:
    done = run(tmp_path, LEAKS[leak])

    assert 1 == done.returncode, done.stdout
    assert "error" in done.stdout.splitlines()[-1]


@pytest.mark.parametrize("harmless", HARMLESS)
def test_what_is_harmless_passes(tmp_path: Path, harmless: str) -> None:
    done = run(tmp_path, HARMLESS[harmless])

    assert 0 == done.returncode, done.stdout
