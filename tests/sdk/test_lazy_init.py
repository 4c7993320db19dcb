"""`import conductor_sdk` is free, and every name is one import away."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import conductor_sdk
import conductor_sdk.testing

HEAVY = ("pydantic", "yaml", "msgspec", "sqlite3", "asyncio", "http.client")


def loaded_after(code: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"{code}; import sys; print(*sys.modules)"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return set(done.stdout.split())


@pytest.mark.parametrize("package", ["conductor_sdk", "conductor_sdk.testing"])
def test_importing_the_package_imports_nothing_heavy(package: str) -> None:
    assert set() == loaded_after(f"import {package}") & set(HEAVY)


def test_building_an_event_needs_no_pydantic() -> None:
    loaded = loaded_after("from conductor_sdk import build_kernel_event_v2, Handled, idempotent")
    assert set() == loaded & {"pydantic", "yaml", "sqlite3"}


@pytest.mark.parametrize("package", [conductor_sdk, conductor_sdk.testing])
def test_every_listed_name_exists_and_type_checkers_see_the_same_names(package: ModuleType) -> None:
    listed: list[str] = package.__all__
    assert all(hasattr(package, name) for name in listed)
    source = Path(str(package.__file__)).read_text()
    assert sorted(listed) == sorted(re.findall(r"import \w+ as (\w+)", source))
    assert set(listed) <= set(dir(package))


@pytest.mark.parametrize("package", [conductor_sdk, conductor_sdk.testing])
def test_an_unknown_name_is_an_attribute_error(package: ModuleType) -> None:
    with pytest.raises(AttributeError, match="no attribute 'Nonsense'"):
        package.__getattr__("Nonsense")
