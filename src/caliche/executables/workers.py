"""Runs of an executable, some at a time, by a contract of folders.

For every member there is a folder `member_MMM` with `parameters.json`. The command runs there and
leaves `outputs.json` (a list of numbers) or `outputs.csv` (one number a line), in the order of the
observations. An exit code other than 0, too long a run, a number too few and no number where there
is an observation are failed members. What is done is never run again.
"""

from __future__ import annotations

import csv
import json
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Lock
from typing import Any

import numpy as np

from caliche.errors import InputError
from caliche.executables.config import DriveConfig
from caliche.executables.outputs import kind_of, outputs_of
from caliche.executables.processes import end_all, marked
from caliche.files.manifest import read_json
from caliche.files.whole_file import write_text
from caliche.runtime import outside

LAST_WORDS = 200  # characters of stderr that a reason quotes


@dataclass(frozen=True)
class Batch:
    """Members that are run together.

    place : the folder of their folders.  iteration : what `parameters.json` calls it.
    names, members : (P,) and (k, P) values of the parameters, in physical units.
    """

    place: Path
    iteration: int
    names: Sequence[str]
    members: np.ndarray


class Workers:
    """Runs of the command, some at a time, all of them ended when this is left."""

    def __init__(self, config: DriveConfig, number: int) -> None:
        self._config, self._n, self.number = config, len(config.observed), number
        self._pool = ThreadPoolExecutor(number)
        self._live: dict[subprocess.Popen, str] = {}
        self._lock, self._stopping = Lock(), Event()

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        with self._lock:
            for process, mark in self._live.items():
                end_all(process, mark)
        self._pool.shutdown(wait=True, cancel_futures=True)

    def run(
        self, batch: Batch, told: Callable[[bool, int], None] | None = None
    ) -> tuple[np.ndarray, list[str]]:
        """Outputs (k, n) of the members asked for, NaN where one failed, and why those did.

        told : called after each member with whether it failed, and how many there are.

        Raises
        ------
        InputError : a command that cannot be started.
        """
        members = batch.members
        outputs = np.full((len(members), self._n), np.nan)
        futures = {}
        for k, values in enumerate(members):
            content = {
                "iteration": batch.iteration,
                "member": k,
                "parameters": dict(zip(batch.names, values.tolist(), strict=True)),
            }
            place = batch.place / f"member_{k:03d}"
            futures[self._pool.submit(self._member, place, content)] = k
        why = []
        for future in as_completed(futures):
            found, reason = future.result()
            if reason:
                why.append(reason)
            else:
                outputs[futures[future]] = found
            if told is not None:
                told(bool(reason), len(members))
        return outputs, why

    def _member(self, folder: Path, content: dict[str, Any]) -> tuple[list[float], str]:
        """Outputs of one member, and why it failed; run only if that was not done before."""
        text = json.dumps(content, indent=1) + "\n"
        asked, status = folder / "parameters.json", folder / "status.json"
        known = read_json(status)
        if not (
            known
            and isinstance(known.get("reason"), str)
            and asked.is_file()
            and asked.read_bytes() == text.encode()
        ):
            folder.mkdir(parents=True, exist_ok=True)
            for name in ("outputs.json", "outputs.csv", "status.json"):
                (folder / name).unlink(missing_ok=True)
            asked.write_text(text, "utf-8")
            began = time.monotonic()
            reason = self._execute(folder)
            if self._stopping.is_set():  # stopped from outside: nothing is known of this member
                return [], "stopped"
            known = {"reason": reason, "seconds": round(time.monotonic() - began, 3)}
            if not reason:
                known["reason"] = _read_outputs(folder, self._config)[1]
            write_text(status, json.dumps(known) + "\n")
        if known["reason"]:
            return [], str(known["reason"])
        return _read_outputs(folder, self._config)

    def _execute(self, folder: Path) -> str:
        """Run the command in a folder; why it failed, or nothing. No process of it is left."""
        environment, mark = marked(outside())
        with open(folder / "stdout.txt", "wb") as out, open(folder / "stderr.txt", "wb") as err:
            try:
                with self._lock:
                    if self._stopping.is_set():
                        return "stopped"
                    process = subprocess.Popen(
                        self._config.command,
                        cwd=folder,
                        env=environment,
                        stdin=subprocess.DEVNULL,
                        stdout=out,
                        stderr=err,
                        start_new_session=True,
                    )
                    self._live[process] = mark
            except OSError as error:
                raise InputError(
                    "a command that can be started",
                    f"{' '.join(self._config.command)}: {error.strerror}",
                    "check command in [model]; {here} is the configuration's folder",
                ) from None
            try:
                code = process.wait(self._config.timeout)
            except subprocess.TimeoutExpired:
                return f"took longer than {self._config.timeout:g} s"
            finally:
                end_all(process, mark)
                with self._lock:
                    self._live.pop(process, None)
        if code:
            said = (folder / "stderr.txt").read_text("utf-8", "replace").strip().splitlines()
            ended = f"ended by signal {-code}" if code < 0 else f"exit code {code}"
            return f"{ended}: {said[-1][:LAST_WORDS]}" if said else ended
        return ""


def _read_outputs(folder: Path, config: DriveConfig) -> tuple[list[float], str]:
    """What a run left, and what is wrong with it."""
    path = folder / "outputs.json"
    if not path.is_file():
        path = folder / "outputs.csv"
    if not path.is_file():
        return [], "left neither outputs.json nor outputs.csv"
    try:
        values = outputs_of(path, config.missing)
    except (OSError, ValueError, csv.Error) as error:
        return [], f"left {path.name} that cannot be read: {error}"[:LAST_WORDS]
    if len(values) != len(config.observed):
        return [], f"left {len(values)} outputs where {len(config.observed)} are observed"
    # What nobody observed may be missing.
    if not np.isfinite(np.array(values)[np.isfinite(config.observed)]).all():
        return [], "left outputs that are not finite"
    return values, ""


def counted(reasons: Iterable[str]) -> Counter[str]:
    """How often each reason was given; those that differ by numbers alone are one."""
    first: dict[str, str] = {}
    return Counter(first.setdefault(kind_of(reason), reason) for reason in reasons)
