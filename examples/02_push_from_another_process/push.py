"""Push events through the sidecar of the current directory."""

from __future__ import annotations

import asyncio

from conductor_sdk import EventRefused, connect


async def main() -> None:
    """Push one event twice, and one that is refused."""
    async with connect(".") as sidecar:
        push = sidecar.sync_port.push_kernel_events
        # With a key the id is fixed, so a retry after a lost answer cannot queue it twice.
        event = {"kind": "acme-demo:job_queued", "job_id": "job-1", "idempotency_key": "job-1"}
        [first] = await push([event])
        print(f"job-1: {first.status} {first.event_id}")
        [again] = await push([event])
        same = "the same event" if again.event_id == first.event_id else "another event"
        print(f"job-1 again: {again.status}, {same}")
        try:
            await push([{"kind": "acme-demo:no_such_thing"}])
        except EventRefused as error:
            print(f"a kind that no pack declares: {error.code}")


if __name__ == "__main__":
    asyncio.run(main())
