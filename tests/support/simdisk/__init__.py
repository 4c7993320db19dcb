"""A disk in memory, deterministic, that forgets what was not synced and fails when told to.

What is here:

- `disk.SimDisk` is the disk: files and names as the processes see them, and apart from these what
  the platter holds. `power_cut(seed)` keeps what was synced and an arbitrary part of the rest (torn
  writes included); `crash()` is the death of the process, which costs nothing that was written.
  `faults` decides which operation fails; `capacity` is the room there is.
- `vfs` puts SQLite on it through apsw; `connection.SimConnection` gives apsw's connection the face
  of `sqlite3.Connection`, errors with their codes included.
- `storage.SimStorage(disk)` is a `conductor_state.storage.Storage`: pass it as `storage=` to
  `Database.open`, `SqliteJournal`, `open_or_quarantine`, `open_or_set_aside`, `app.open_stores`,
  `app.open_history` and `serve.serve`. It runs everything on the event loop, without a thread: a
  database's round is a callback of the loop, so works that wait together still share a commit,
  and the same calls give the same bytes. `latency_s` lets each round take time of the loop.

    disk = SimDisk()
    database = await Database.open(
        Path("/sim/sidecar.db"), schema=load_schema("sidecar"), clock=clock,
        storage=SimStorage(disk),
    )
    ...
    disk.power_cut(seed=7)          # every open connection is dead from here on
    database = await Database.open(...)  # what the next boot finds

    disk.faults = FailAfter(40, ENOSPC)  # from the 40th write on: the disk is full
    disk.capacity = 1 << 20              # or: no room beyond this many bytes in all files

A whole daemon in virtual time: `serve(workspace, settings, stop, machine=Machine(...))` on a
`virtual_time.VirtualLoop`. What still touches the real disk: the lock, the enrollment, the control
socket and the storage of packs.

A dead connection refuses every call with `sqlite3.OperationalError`; a `Database` on it reports
`StateError` to whoever still asks. Close it as usual, or drop it.
"""
