"""The parts of `python -m benchmarks.more`: what each measures, compares and promises.

Promise: this is the only place where one of these targets, a ratio or a reason stands. Refusal: no
measured number is written here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from benchmarks import journal, plan, sidekick_storage, tool_calls
from benchmarks.bench import Bench, Figure
from benchmarks.targets import Target


@dataclass(frozen=True, slots=True)
class Part:
    """One section of the report."""

    title: str
    measure: Callable[[Bench], None]
    ratios: Mapping[str, tuple[str, str, str]]
    """Key to the figure above, the figure below, and what that says."""
    figures: Mapping[str, str]
    """Figures in the table's order, in words; `{figure}` stands for any that are not named."""
    method: str
    targets: tuple[Target, ...] = field(default=())


def _figure(name: str) -> Callable[[Bench], Figure | None]:
    def compute(bench: Bench) -> Figure | None:
        runs = bench.rounds.get(name)
        return Figure(bench.units[name], tuple(runs)) if runs else None

    return compute


def _tools(bench: Bench) -> None:
    if bench.sizes.rounds == 1:
        tool_calls.measure(bench, calls=200, rounds=1)
    else:
        tool_calls.measure(bench)


def _sidekick(bench: Bench) -> None:
    if bench.sizes.rounds == 1:
        sidekick_storage.measure(bench, records=2_000, rounds=1)
    else:
        sidekick_storage.measure(bench)


_WALK = (
    "reading, hashing and checking an entry take a few microseconds in one thread of the "
    "interpreter; reading alone is about a third of it."
)

JOURNAL = Part(
    title="The journal",
    measure=journal.measure,
    targets=(
        Target("verify", "verifying a million entries: every link, every byte, canonical payloads",
               "at most", 10, "s", _figure("verify"), _WALK),
        Target("verify_command", "`conductor log verify` on them, with its start and its replay",
               "at most", 10, "s", _figure("verify_command"), _WALK),
    ),
    ratios={
        "append_alone_vs_raw_sqlite": (
            "append_alone", "raw_sqlite", "one caller, against INSERT and COMMIT in the same mode"),
        "append_callers_vs_raw_sqlite": (
            "append_callers", "raw_sqlite", "16 callers of one process, against the same"),
        "append_processes_vs_raw_sqlite": (
            "append_processes", "raw_sqlite_processes",
            "4 processes, against 4 processes that INSERT and COMMIT"),
        "append_bulk_vs_raw_sha256": (
            "append_bulk", "raw_sha256", "a call with 20,000 entries, against hashing their bytes"),
        "append_callers_vs_raw_sha256": (
            "append_callers", "raw_sha256", "16 callers, against hashing their bytes"),
        "verify_vs_raw_read": (
            "verify", "raw_read", "time to verify, against reading every column with `sqlite3`"),
        "verify_vs_raw_hashing": (
            "verify", "raw_hashing", "time to verify, against SHA-256 over what is hashed"),
    },
    figures={
        "append_alone": "one caller that waits for each append",
        "append_callers": "16 callers of one process",
        "append_processes": "4 processes with one caller each",
        "append_bulk": "one call with 20,000 entries",
        "raw_sqlite": "SQLite: INSERT and COMMIT",
        "raw_sqlite_processes": "SQLite: 4 processes, INSERT and COMMIT",
        "raw_sha256": "SHA-256 of an entry's bytes",
        "verify": "verifying a million entries",
        "verify_command": "`conductor log verify`",
        "raw_read": "reading their rows",
        "raw_hashing": "SHA-256 over their bytes",
    },
    method="""\
- An entry has about 250 bytes of payload, as a tool call leaves them. Every client is a process of
  its own; several begin together, and their rate is counted from the first append to the last.
- Raw SQLite inserts the same ten columns into a table without triggers, hashes and unique hashes,
  in the journal's mode: `journal_mode=TRUNCATE`, `synchronous=FULL`. With four processes it waits
  with SQLite's own busy handler.
- After each round the chain is verified; a figure of a log that does not verify is not written.
- `verify` walks the chain; the command also starts, replays the log with every installed projection
  and compares their tables.
""",
)  # fmt: skip

PLAN = Part(
    title="The plan pack",
    measure=plan.measure,
    targets=(
        Target("ready_10000", "`ready` on a plan of 10,000 items", "at most", 1000, "ms",
               _figure("ready_10000"), "every open item is read, linked and ranked."),
        Target("critical_path_10000", "`critical-path` on it", "at most", 1000, "ms",
               _figure("critical_path_10000"), "every open item is read and ordered twice."),
    ),
    ratios={
        **{
            f"{name}_growth_{more}": (
                f"{name}_{more}", f"{name}_{more // 10}",
                f"`{word}`: time with {more:,} items, against {more // 10:,}")
            for name, word in (("ready", "ready"), ("critical_path", "critical-path"))
            for more in (1_000, 10_000, 100_000)
        },
        **{
            f"{name}_growth_100000": (
                f"{name}_100000", f"{name}_10000",
                f"{word}: time with 100,000 items, against 10,000")
            for name, word in (("raw_read", "reading the rows"), ("graphlib", "`graphlib`"))
        },
        "ready_vs_raw_read": (
            "ready_10000", "raw_read_10000", "`ready`, against reading the plan's rows"),
        "critical_path_vs_graphlib": (
            "critical_path_10000", "graphlib_10000",
            "`critical-path`, against `graphlib.TopologicalSorter` over links in memory"),
        "plan_change_vs_raw_update": (
            "plan_change", "raw_update", "a change with its entry, against an UPDATE and COMMIT"),
    },
    figures={
        **{
            f"{name}_{number}": f"{word}, {number:,} items"
            for number in (100, 1_000, 10_000, 100_000)
            for name, word in (
                ("ready", "`ready`"), ("critical_path", "`critical-path`"),
                ("raw_read", "reading the rows"), ("graphlib", "`graphlib`, order alone"))
        },
        "plan_change": "changes of one caller that waits for each",
        "raw_update": "SQLite: UPDATE and COMMIT",
        "replay": "verifying and replaying a log of nothing but plan changes",
    },
    method="""\
- A plan is made by the pack's own mutations; each item waits for one or two of the fifty before it.
  All are open, which is the most work that a plan of its size can be.
- An answer is the whole answer, from an open journal to JSON values: nothing is kept in between.
- Growth is time against time with a tenth of the items: 10 is linear. Beyond what fits into the
  processor's caches everything grows faster, reading and the standard library's sort as well.
""",
)  # fmt: skip

TOOLS = Part(
    title="Tool calls",
    measure=_tools,
    ratios={
        "governed_call_p50_vs_bare": (
            "governed_call_p50", "bare_call_p50", "median time of a governed call, against bare"),
        "governed_call_p99_vs_bare": (
            "governed_call_p99", "bare_call_p99", "99th percentile, likewise"),
        "governed_call_16_rate_vs_bare": (
            "governed_call_16_rate", "bare_call_16_rate", "calls a second of 16 callers, likewise"),
    },
    figures={
        f"{name}_call{several}_{figure}": words.format(f"{who}, {callers}")
        for name, who in (("governed", "governed calls"), ("bare", "bare handler"))
        for several, callers in (("", "one caller"), ("_16", "16 callers"))
        for figure, words in (
            ("p50", "{}: median"), ("p99", "{}: 99th percentile"), ("rate", "{}: rate"))
    },
    method="""\
- `POST /tools/{name}` of the real sidecar against a Starlette handler that does nothing, on the
  same HTTP stack. The tool does nothing either, so that the host is what is measured: guard,
  scopes, policy, schemas, two journal entries and an outbox row, durable before and after it runs.
""",
)  # fmt: skip

SIDEKICK = Part(
    title="Sidekick's storage",
    measure=_sidekick,
    ratios={
        name: (above, below, name.replace("_", " "))
        for name, (above, below) in sidekick_storage.RATIOS.items()
    },
    figures={},
    method=f"""\
- {sidekick_storage.RECORDS:,} memories of a few words each. A create is a record and its audit
  entry, on disk when it counts; a recall ranks by two words. The line file is one file of JSON
  lines that is read and written as a whole and never synced; raw SQLite is a row and its FTS5
  text in one synced transaction.
""",
)  # fmt: skip

PARTS: Mapping[str, Part] = {
    "journal": JOURNAL, "plan": PLAN, "tools": TOOLS, "sidekick": SIDEKICK,
}  # fmt: skip
