"""Files that grow row by row under temporary names: whole or not there, and a stopped run goes on where it was."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from tuwen.data.folder import Failure
from tuwen.errors import InputError

SECONDS = 2.0  # between two notes of how far the files are
FORMAT = 1


class Growing:
    """Files of one folder that are written side by side, and get their names all together at the end.

    Until then each is `.NAME.part`, and a note beside them says how far they are, so that the next run with the same
    `about` goes on from there; what was written after the last note is written again, to the same bytes.

        with writing.growing(folder, ["train_imgs.tsv"], about(dataset, options)) as files:
            for row in range(files.done, len(dataset.texts)):
                files.write("train_imgs.tsv", line)
                files.step(row + 1)

    names: the files that there will be; others may be written, too, where their number is not known before. failures:
    kept in the note and restored from it. InputError where one of the files is there already, unless overwrite is set,
    or cannot be written: what is done so far stays for the next run.
    """

    def __init__(
        self, folder: Path, names: list[str], about: Mapping[str, Any], failures: list[Failure], overwrite: bool = False
    ) -> None:
        self.folder = folder
        self.names = list(names)
        self.done = 0
        self.state: dict[str, Any] = {}
        self._about = json.loads(json.dumps({"format": FORMAT, **about}))
        self._failures = failures
        self._overwrite = overwrite
        self._files: dict[str, IO[bytes]] = {}
        self._sizes: dict[str, int] = {}
        self._noted = time.monotonic()
        self._whole = False
        self._note = folder / f".{names[0]}.run.json"

    def temporary(self, name: str) -> Path:
        """Where a file is until the end."""
        return self.folder / f".{name}.part"

    # -- begin and go on ----------------------------------------------------------------------------------------------

    def __enter__(self) -> Growing:
        try:
            note = self._read_note()
            if note is None or not note["whole"]:
                self._refuse_existing()
            self.folder.mkdir(parents=True, exist_ok=True)
            if note is None:
                self._start_again()
            else:
                self._go_on(note)
        except OSError as error:
            raise self._cannot(error) from error
        return self

    def _refuse_existing(self) -> None:
        for name in self.names:
            if (self.folder / name).exists() and not self._overwrite:
                raise InputError(
                    f"{self.folder / name} is there already: choose another place, or pass --overwrite to replace it"
                )

    def _read_note(self) -> dict[str, Any] | None:
        """What an earlier run with the same settings left, None where there is nothing to go on from."""
        try:
            note = json.loads(self._note.read_bytes())
        except (FileNotFoundError, ValueError):
            return None
        if not isinstance(note, dict) or note.get("about") != self._about:
            return None
        there = all(_size(self.temporary(name)) >= size for name, size in note["sizes"].items())
        return note if there or note["whole"] else None

    def _start_again(self) -> None:
        """Nothing of an earlier run with other settings stays."""
        try:
            left = json.loads(self._note.read_bytes())["sizes"]
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            left = {}
        for name in {*self.names, *left}:
            self.temporary(name).unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)

    def _go_on(self, note: dict[str, Any]) -> None:
        self.done, self.state, self._sizes = note["done"], note["state"], note["sizes"]
        self._whole = note["whole"]
        self._failures += [Failure(*failure) for failure in note["failures"]]
        if self._whole:  # stopped between the first and the last new name
            return
        for name, size in self._sizes.items():
            os.truncate(self.temporary(name), size)
        for name in self.names:
            if name not in self._sizes:  # begun after the note was written
                self.temporary(name).unlink(missing_ok=True)

    # -- write --------------------------------------------------------------------------------------------------------

    def write(self, name: str, content: bytes) -> int:
        """Add to a file; gives the place where the content begins."""
        try:
            if name not in self._files:
                self._files[name] = self.temporary(name).open("ab" if name in {*self._sizes, *self.names} else "wb")
                self._sizes.setdefault(name, 0)
            start = self._sizes[name]
            self._files[name].write(content)
        except OSError as error:
            raise self._cannot(error) from error
        self._sizes[name] = start + len(content)
        return start

    def size(self, name: str) -> int:
        """Bytes written to a file so far."""
        return self._sizes.get(name, 0)

    def close(self, name: str) -> None:
        """A file is complete: let go of it; it gets its name with the others."""
        try:
            if name in self._files:
                self._files.pop(name).close()
        except OSError as error:
            raise self._cannot(error) from error

    def step(self, done: int, **state: Any) -> None:
        """Everything up to row `done` is written; state: plain data that a writer needs to go on, kept in `state`."""
        self.done = done
        self.state.update(state)
        if time.monotonic() - self._noted >= SECONDS:
            self._write_note()

    def _write_note(self) -> None:
        note = {
            "about": self._about,
            "done": self.done,
            "whole": self._whole,
            "state": self.state,
            "sizes": self._sizes,
            "failures": [[failure.id, failure.reason, failure.key] for failure in self._failures],
        }
        try:
            for file in self._files.values():
                file.flush()
            new = self._note.with_name(self._note.name + ".new")
            new.write_text(json.dumps(note), encoding="utf-8")
            new.replace(self._note)
        except OSError as error:
            raise self._cannot(error) from error
        self._noted = time.monotonic()

    # -- the end ------------------------------------------------------------------------------------------------------

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if error is None:
            self._finish()
            return
        for file in self._files.values():
            try:
                file.close()
            except OSError:
                continue  # the disk is full: the note names what was whole before

    def _finish(self) -> None:
        try:
            if not self._whole:
                self._close_all()
            for name in self._sizes:
                if self.temporary(name).exists():
                    self.temporary(name).replace(self.folder / name)
            self._note.unlink(missing_ok=True)
        except OSError as error:
            raise self._cannot(error) from error

    def _close_all(self) -> None:
        for name in self.names:
            self.write(name, b"")  # a file without rows is there, too
        for file in self._files.values():
            file.flush()
            os.fsync(file.fileno())
            file.close()
        self._files = {}
        self._whole = True
        self._write_note()

    def _cannot(self, error: OSError) -> InputError:
        return InputError(
            f"cannot write to {self.folder}: {error.strerror or error}; what is done so far is kept there under "
            f"temporary names, run the same again to go on"
        )


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else -1
