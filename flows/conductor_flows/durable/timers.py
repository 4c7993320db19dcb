"""Runs whose time has come.

Promise: a timer fires until its run has gone on, so a crash or a store that fails loses none.
Refusal: no task waits here: a host asks as often as it likes; a run that failed is not tried again.
"""

from __future__ import annotations

from conductor_flows.durable.errors import CheckpointNotFound, LeaseConflict, StillWaiting
from conductor_flows.durable.refusals import REFUSALS
from conductor_flows.durable.resume import resume
from conductor_flows.durable.services import Durability
from conductor_flows.execute.outcomes import Outcome
from conductor_flows.execute.runner import Runner


async def resume_due(
    runner: Runner, durability: Durability, *, limit: int = 100
) -> list[tuple[str, Outcome | Exception]]:
    """Resume the runs of a flow whose timers have come, one after the other.

    Schedules of other flows are left for their own runners; one whose checkpoint is gone is done.

    Args:
        runner: Of the flow.
        durability: With a scheduler and a store.
        limit: Schedules to look at.
    """
    store, scheduler = durability.store, durability.scheduler
    done: list[tuple[str, Outcome | Exception]] = []
    if store is None or scheduler is None:
        return done
    for schedule in await scheduler.due(limit):
        try:
            checkpoint = await store.get(schedule.checkpoint_id)
            if checkpoint.flow_id != runner.program.flow.id:
                continue
            outcome: Outcome | Exception
            outcome = await resume(runner, durability, schedule.checkpoint_id, again=False)
        except LeaseConflict:
            continue  # somebody else is at it; asked again next time
        except REFUSALS as error:
            # The store refused, not the run. Where it did go on, the timer is over already.
            done.append((schedule.checkpoint_id, error))
            continue
        except (CheckpointNotFound, StillWaiting):
            await scheduler.fired(schedule.id)
            continue
        except Exception as error:  # noqa: BLE001  # one run's failure is no other's
            outcome = error
        await scheduler.fired(schedule.id)
        done.append((schedule.checkpoint_id, outcome))
    return done
