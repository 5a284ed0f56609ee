"""Several processes on one collection: each takes its share of the batches.

They need no word from each other: a share follows from the number of the process alone, and
results meet in the run folder. JAX's coordinator is used, where asked for, only to find out who is
who and which devices belong to whom; after that everybody works alone, so that a process that dies
takes nobody with it.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax

from caliche.errors import InputError


@dataclass(frozen=True)
class Share:
    """The batches of process number `process` out of `processes`."""

    process: int = 0
    processes: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.process < self.processes:
            raise InputError(
                "a process number from 0 up to the number of processes less 1",
                f"process {self.process} of {self.processes}",
                "count from 0",
            )

    def of(self, n_batches: int) -> list[int]:
        """Numbers of its batches, dealt in turn."""
        return list(range(self.process, n_batches, self.processes))


def join(
    processes: int | None = None,
    process: int | None = None,
    coordinator: str | None = None,
    detect: bool = False,
) -> Share:
    """The share of this process; call it after `caliche.configure` and before JAX computes.

    Parameters
    ----------
    processes, process : how many there are, and which one this is, from 0.
    coordinator : HOST:PORT of process 0, to agree through JAX on the devices of each. Without it
        the processes never meet, as in an array of jobs.
    detect : take all three from Slurm (or another launcher that JAX knows).

    Raises
    ------
    InputError : numbers that do not fit or are missing, or a coordinator that cannot be reached.
    """
    if (processes is None) != (process is None) or (coordinator and processes is None):
        raise InputError(
            "--processes and --process together",
            "only part of them",
            "give both, or --distributed to take them from Slurm",
        )
    if detect and processes is not None:
        raise InputError(
            "either --distributed or --processes and --process", "both", "leave one out"
        )
    if processes is not None and process is not None:
        share = Share(process, processes)
        if coordinator is None:
            return share
    elif not detect:
        return Share()
    try:
        jax.distributed.initialize(coordinator, processes, process)
        jax.local_devices()  # the processes exchange what they have
        share = Share(jax.process_index(), jax.process_count())
        jax.distributed.shutdown()
    except (RuntimeError, ValueError, OSError) as error:
        raise InputError(
            f"all processes to meet at {coordinator or 'the address that the launcher gives'}",
            str(error).strip().splitlines()[0],
            "start all of them with the same address, or leave the coordinator out",
        ) from None
    return share
