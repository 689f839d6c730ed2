"""An LMDB that grows in batches beside its place: whole or not there, and a stopped run goes on to the same bytes."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import lmdb

from tuwen.data.folder import Failure
from tuwen.data.lmdb_store import FILE
from tuwen.errors import InputError

LOCK = "lock.mdb"
BATCH_ROWS = 20_000
BATCH_BYTES = 4 << 20  # about what a processor keeps near: larger transactions take twice the time
PAGE = 4096
FORMAT = 1
BOOT = Path("/proc/sys/kernel/random/boot_id")

# A key, or None for the number of rows written so far, and a value; None instead of both for a row that cannot be.
Row = tuple[bytes | None, bytes] | None


class GrowingStore:
    """The environment `folder`, under a temporary name until `put_in_place`.

    A batch is one transaction; a note beside says how far the one after each transaction is, so that the next run with
    the same `about` goes on behind the last that was finished. The environment is opened anew for every batch: what a
    run leaves behind does not depend on where it was stopped, and its map is never larger than needed, which matters
    where a map takes its whole size on the disk. Transactions wait for the disk only at the end, so what a machine left
    that went down is not gone on with; where no one can tell that it did, each waits.

    counted: the key of the number of rows written. over: begin with what is there already, whose other keys stay.
    """

    def __init__(
        self,
        folder: Path,
        counted: bytes,
        about: Mapping[str, Any],
        failures: list[Failure],
        overwrite: bool = False,
        over: bool = False,
    ) -> None:
        self.folder = folder
        self.done = 0
        self.state: dict[str, Any] = {"written": 0}
        self._counted = counted
        self._about = json.loads(json.dumps({"format": FORMAT, **about}))
        self._failures = failures
        self._part = folder / ".part"
        self._notes = folder / ".run.0.json", folder / ".run.1.json"
        self._whole = False
        self._boot = _boot()
        self._last: dict[str, Any] = {}  # as of the last transaction
        try:
            self._take_up(overwrite, over)
        except OSError as error:
            raise self._cannot(error) from error

    @property
    def written(self) -> int:
        """Rows that are in it."""
        return int(self.state["written"])

    # -- begin and go on ----------------------------------------------------------------------------------------------

    def _take_up(self, overwrite: bool, over: bool) -> None:
        note = self._read_note()
        if note is not None:
            self._go_on(note)
            return
        final = self.folder / FILE
        if final.exists() and not (overwrite or over):
            raise InputError(f"{final} is there already: choose another place, or pass --overwrite to replace it")
        for stale in self._notes:
            stale.unlink(missing_ok=True)
        shutil.rmtree(self._part, ignore_errors=True)
        self._part.mkdir(parents=True)
        if final.exists() and over:
            shutil.copyfile(final, self._part / FILE)
        self._last = self._state()
        self._write_note(self._last_transaction())

    def _read_note(self) -> dict[str, Any] | None:
        note = max(filter(None, map(self._readable, self._notes)), key=lambda note: note["transaction"], default=None)
        if note is None:
            return None
        if (self._part / FILE).exists():
            known = self._last_transaction() in (note["transaction"] - 1, note["transaction"])
            return note if known and note.get("boot") == self._boot else None
        return note if note["after"]["whole"] or note["transaction"] == 0 else None

    def _readable(self, path: Path) -> dict[str, Any] | None:
        """A note of the same work, None where there is none, or half of one."""
        try:
            note = json.loads(path.read_bytes())
        except (FileNotFoundError, ValueError):
            return None
        return note if isinstance(note, dict) and note.get("about") == self._about else None

    def _go_on(self, note: dict[str, Any]) -> None:
        """The note was written before its transaction: of the two states in it, that which the file is in counts."""
        in_place = not (self._part / FILE).exists()
        finished = in_place or self._last_transaction() == note["transaction"]
        self._last = note["after"] if finished else note["before"]
        self.done, self.state, self._whole = self._last["done"], self._last["state"], self._last["whole"]
        known = set(self._failures)  # another part of the same run may have told of them
        self._failures += [failure for content in self._last["failures"] if (failure := Failure(*content)) not in known]

    def _last_transaction(self) -> int:
        if not (self._part / FILE).exists():
            return 0
        with self._opened(0) as environment:
            return int(environment.info()["last_txnid"])

    def _opened(self, more: int) -> Any:
        path = self._part / FILE
        size = (path.stat().st_size if path.exists() else 0) + more + (1 << 20)
        return lmdb.open(str(self._part), map_size=-(-size // PAGE) * PAGE, sync=not self._boot)

    # -- write --------------------------------------------------------------------------------------------------------

    def fill(self, rows: Iterable[Row]) -> None:
        """Write the rows from `done` on, and their number."""
        if self._whole:
            return
        keys: list[bytes] = []
        values: list[bytes] = []
        passed, size, written = 0, 0, self.written
        most_rows, most_bytes = BATCH_ROWS, BATCH_BYTES
        for row in rows:
            passed += 1
            if row is not None:
                key, value = row
                keys.append(b"%d" % written if key is None else key)
                values.append(value)
                size += len(value)
                written += 1
            if passed >= most_rows or size >= most_bytes:
                self._commit(keys, values, passed, size)
                keys, values, passed, size = [], [], 0, 0
        self._commit(keys, values, passed, size, whole=True)

    def _commit(self, keys: list[bytes], values: list[bytes], passed: int, size: int, whole: bool = False) -> None:
        self.done += passed
        self.state["written"] = self.written + len(keys)
        self._whole = whole
        # A row may touch a page of its own, and half the pages may be new ones after a split; the rest is to be safe.
        room = 2 * size + 4 * PAGE * len(keys) + (8 << 20)
        try:
            with self._opened(room) as environment:
                self._write_note(environment.info()["last_txnid"] + 1)
                with environment.begin(write=True) as writing:
                    writing.cursor().putmulti(zip(keys, values, strict=True))
                    if whole:
                        writing.put(self._counted, b"%d" % self.written)
        except (OSError, lmdb.Error) as error:
            raise self._cannot(error) from error
        self._last = self._state()

    def _state(self) -> dict[str, Any]:
        failures = [[failure.id, failure.reason, failure.key] for failure in self._failures]
        state = {"done": self.done, "state": self.state, "failures": failures, "whole": self._whole}
        copy: dict[str, Any] = json.loads(json.dumps(state))
        return copy

    def _write_note(self, transaction: int) -> None:
        """How far it is before and after a transaction, in place of the note before the last.

        The last stays: it counts where this one is half-written. A new name for a file would take longer: some file
        systems then wait for the disk.
        """
        states = {"before": self._last, "after": self._state()}
        note = {"about": self._about, "boot": self._boot, "transaction": transaction, **states}
        path = self._notes[transaction % 2]
        path.unlink(missing_ok=True)
        path.write_text(json.dumps(note), encoding="utf-8")

    # -- the end ------------------------------------------------------------------------------------------------------

    def put_in_place(self) -> None:
        """Give the files their names; the note stays until `forget`, for a run that is stopped in between."""
        try:
            if (self._part / FILE).exists():
                with (self._part / FILE).open("rb+") as file:
                    os.fsync(file.fileno())
            for name in (LOCK, FILE):
                if (self._part / name).exists():
                    (self._part / name).replace(self.folder / name)
        except OSError as error:
            raise self._cannot(error) from error

    def forget(self) -> None:
        """All is in place."""
        for note in self._notes:
            note.unlink(missing_ok=True)
        shutil.rmtree(self._part, ignore_errors=True)

    def _cannot(self, error: Exception) -> InputError:
        reason = (error.strerror if isinstance(error, OSError) else "") or str(error)
        return InputError(
            f"cannot write to {self.folder}: {reason}; what is done so far is kept there under a temporary name, run "
            "the same again to go on"
        )


def _boot() -> str:
    """What tells one run of the machine from the next, "" where nothing does."""
    try:
        return BOOT.read_text(encoding="ascii").strip()
    except OSError:
        return ""
