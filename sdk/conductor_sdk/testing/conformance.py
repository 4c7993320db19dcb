"""The conformance suite: what every pack must withstand.

Promise: for each emitted kind, each subscribed kind and each sample of it, the report says whether
the pack keeps the contract and what to change where it does not. Refusal: effects outside of
`ctx` (another database, a web service) cannot be seen from here; upsert there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import msgspec

from conductor_sdk.errors import ConductorError
from conductor_sdk.event import KernelEvent
from conductor_sdk.pack import Pack
from conductor_sdk.pack_rules import validate
from conductor_sdk.testing.checks import (
    SUBJECT,
    Trouble,
    check_crash,
    check_emit,
    check_outcome,
    check_replay,
    check_state,
    check_undeclared,
    sample_event,
)
from conductor_sdk.testing.harness import PackHarness
from conductor_sdk.testing.ports import SimulatedCrash
from conductor_sdk.testing.report import CheckResult, ConformanceReport
from conductor_sdk.testing.samples import samples_of

Samples: TypeAlias = Mapping[str, Sequence[Mapping[str, Any]]]
CHECK_TIMEOUT_S = 10.0
"""Real seconds that one check may take before it fails."""


def run_conformance(pack: Pack, *, samples: Samples | None = None) -> ConformanceReport:
    """Run the suite in an event loop of its own; `check_conformance` is the awaitable form.

    Args:
        pack: The pack.
        samples: Payloads by subscribed kind, in place of the pack's own.
    """
    return asyncio.run(check_conformance(pack, samples=samples))


async def check_conformance(
    pack: Pack,
    *,
    samples: Samples | None = None,
    config: Mapping[str, Any] | None = None,
    timeout_s: float = CHECK_TIMEOUT_S,
) -> ConformanceReport:
    """Run the suite.

    Args:
        pack: The pack.
        samples: Payloads by subscribed kind, in place of the pack's own.
        config: The pack's section of the configuration.
        timeout_s: Real seconds that one check may take.
    """
    manifest = pack.manifest
    suite = _Suite(pack, dict(config or {}), timeout_s)
    if suite.manifest():
        for kind in manifest.emitted_event_kinds:
            await suite.check("emit", kind, _later(check_emit, pack, kind))
        await suite.check("undeclared", None, lambda: check_undeclared(pack, suite.fresh))
        for kind, payloads in samples_of(pack, samples).items():
            await suite.subscribed(kind, payloads)
        await suite.background()
    return ConformanceReport(manifest.slug, manifest.version, tuple(suite.results))


@dataclass(slots=True)
class _Suite:
    pack: Pack
    config: dict[str, Any]
    timeout_s: float
    results: list[CheckResult] = field(default_factory=list[CheckResult])
    harnesses: list[PackHarness] = field(default_factory=list[PackHarness])

    def fresh(self) -> PackHarness:
        harness = PackHarness(self.pack, subject=SUBJECT, config=self.config)
        self.harnesses.append(harness)
        return harness

    def manifest(self) -> bool:
        manifest = self.pack.manifest
        problems = validate(
            manifest,
            self.pack.handlers,
            surfaces=manifest.surfaces_required,
            approval_providers=manifest.required_approvals,
        )
        if not problems:
            detail = f"{manifest.slug} {manifest.version}"
            self.results.append(CheckResult("manifest", True, None, detail))
        for problem in problems:
            self.results.append(CheckResult("manifest", False, None, problem.message, problem.hint))
        return not problems

    async def subscribed(self, kind: str, payloads: Sequence[Mapping[str, Any]]) -> None:
        if not payloads:
            self.results.append(CheckResult(
                "samples", False, kind, "no sample payload",
                f'give one: Pack(samples={{"{kind}": [{{…}}]}}), or conformance.json',
            ))  # fmt: skip
        for number, payload in enumerate(payloads, 1):
            await self.sample(kind, payload, number)

    async def sample(self, kind: str, payload: Mapping[str, Any], number: int) -> None:
        """Run every check on one sample, each with an event of its own."""
        fresh = self.fresh

        def event(check: str) -> KernelEvent:
            return sample_event(kind, payload, f"sample-{number}-{check}")

        checks: dict[str, Callable[[], Awaitable[CheckResult]]] = {
            "outcome": lambda: check_outcome(fresh, event("outcome")),
            "replay": lambda: check_replay(fresh, event("replay")),
            "crash": lambda: check_crash(fresh, event("crash"), "crash"),
            "cancel": lambda: check_crash(fresh, event("cancel"), "cancel"),
            # An id that no earlier run can have left behind in the pack's modules.
            "state": lambda: check_state(fresh, sample_event(kind, payload, None)),
        }
        for name, run in checks.items():
            await self.check(name, kind, run, number)

    async def background(self) -> None:
        if self.pack.background is not None:
            await self.check("background", None, self._stops)

    async def _stops(self) -> CheckResult:
        background = self.pack.background
        if background is None:
            return CheckResult("background", True)
        task = asyncio.ensure_future(background(self.fresh().context))
        for _ in range(10):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error
        return CheckResult("background", True, None, "ends when it is cancelled")

    async def check(
        self,
        name: str,
        kind: str | None,
        run: Callable[[], Awaitable[CheckResult]],
        sample: int | None = None,
    ) -> None:
        """Run one check; whatever foreign code does becomes a result."""
        try:
            async with asyncio.timeout(self.timeout_s):
                result = await run()
        except Trouble as trouble:
            result = CheckResult(name, False, kind, trouble.detail, trouble.hint)
        except TimeoutError:
            result = CheckResult(
                name, False, kind, f"not done within {self.timeout_s:g} s",
                "await nothing that the context does not give",
            )  # fmt: skip
        except ConductorError as error:
            result = CheckResult(name, False, kind, f"{error.code}: {error.message}", error.hint)
        except (Exception, SimulatedCrash, SystemExit) as error:  # noqa: BLE001  # foreign code
            detail = " ".join(f"{type(error).__name__}: {error}".split())
            result = CheckResult(name, False, kind, detail, "the handler raised; run it in a test")
        finally:
            while self.harnesses:
                await self.harnesses.pop().close()
        self.results.append(msgspec.structs.replace(result, sample=sample))


def _later(
    check: Callable[[Pack, str], CheckResult], pack: Pack, kind: str
) -> Callable[[], Awaitable[CheckResult]]:
    async def run() -> CheckResult:
        return check(pack, kind)

    return run
