"""Processes for the tests of the storage."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from pathlib import Path
from types import ModuleType

import pytest
import pytest_asyncio

CHILD = Path(__file__).with_name("storage_child.py")

Start = Callable[..., Awaitable[asyncio.subprocess.Process]]


@pytest.fixture(scope="session")
def child() -> ModuleType:
    """The child's module, so that both sides write and check the same."""
    spec = importlib.util.spec_from_file_location("storage_child", CHILD)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest_asyncio.fixture
async def start() -> AsyncGenerator[Start]:
    """Start children; those that still run at the end of a test are killed."""
    started: list[asyncio.subprocess.Process] = []

    async def run(*arguments: object, sync: bool = True) -> asyncio.subprocess.Process:
        environment = os.environ | ({} if sync else {"SIDEKICK_TEST_NO_SYNC": "1"})
        process = await asyncio.create_subprocess_exec(
            sys.executable, str(CHILD), *map(str, arguments), env=environment,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        started.append(process)
        return process

    yield run
    for process in started:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@pytest.fixture(scope="module")
def no_sync() -> Generator[None]:
    """For modules in which nothing crashes: syncing is slow on a disk that others use too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _descriptor: None)
        yield
