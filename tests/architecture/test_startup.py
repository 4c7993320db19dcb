"""Start-up budgets, held by what is imported: a wall clock would lie on a busy machine."""

from __future__ import annotations

import subprocess
import sys

HEAVY = (
    "pydantic", "structlog", "starlette", "uvicorn", "websockets", "httpx2", "rich", "yaml",
    "asyncio", "sqlite3", "importlib.metadata",
)  # fmt: skip


def imported_by(program: str) -> set[str]:
    code = f"{program}\nimport sys; print('\\n'.join(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(ran.stdout.split())


def test_help_imports_nothing_heavy() -> None:
    program = (
        "import contextlib, io\n"
        "from conductor_sidecar.cli.main import main\n"
        "with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):\n"
        "    main(['--help'])"
    )
    loaded = imported_by(program)

    assert sorted(name for name in HEAVY if name in loaded) == []


def test_the_sdk_costs_nothing_until_it_is_used() -> None:
    loaded = imported_by("import conductor_sdk")

    assert sorted(name for name in (*HEAVY, "msgspec") if name in loaded) == []


def test_the_daemon_imports_no_library_that_only_commands_or_tests_need() -> None:
    loaded = imported_by("import conductor_sidecar.serve, conductor_sidecar.http.surface")

    assert sorted(name for name in ("httpx2", "matplotlib", "hypothesis") if name in loaded) == []
