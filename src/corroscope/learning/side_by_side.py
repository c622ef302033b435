"""Work done side by side in several processes, which end with the one that asked for it."""

import multiprocessing
import os
import threading
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, wait
from typing import Final, TypeVar

import torch

from corroscope.errors import CorroscopeError, OutputError

POLL_S: Final = 1.0
"""How often a waiting process looks whether there is news."""

MOST_WORKERS: Final = 8

_Job = TypeVar("_Job")


def worker_count(accelerator: str, jobs: int) -> int:
    """How many processes to use where nobody has said.

    Parameters
    ----------
    accelerator
        As Lightning's Trainer understands it.
    jobs
        How much there is to do.

    Returns
    -------
    int
        One for each core, but at most `MOST_WORKERS`; 1 on a GPU, which they would share.
    """
    if accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available():
        return 1
    return max(1, min(os.cpu_count() or 1, jobs, MOST_WORKERS))


def side_by_side(
    task: Callable[[_Job], object],
    jobs: Sequence[_Job],
    *,
    what: str,
    again: str,
    tell: Callable[[], None] = lambda: None,
) -> None:
    """Do each job in a process of its own, all at the same time.

    The processes share the cores. They are spawned, so a script that asks for them needs the
    usual ``if __name__ == "__main__":``. None outlives this one, however it ends.

    Parameters
    ----------
    task
        What is done with a job; both must be such as can be sent to another process.
    jobs
        One for each process.
    what, again
        What they are processes of, and how it is gone on with if one is killed, for the error.
    tell
        Called about once a second while they work.

    Raises
    ------
    CorroscopeError
        The first that a task has raised.
    OutputError
        If a process ended otherwise, as for want of memory.
    """
    context = multiprocessing.get_context("spawn")
    workers = []
    for job in jobs:
        ours, theirs = context.Pipe(duplex=False)
        arguments = (task, job, len(jobs), theirs)
        worker = context.Process(target=_take_part, args=arguments, daemon=True)
        worker.start()
        theirs.close()
        workers.append((worker, ours))
    try:
        waiting = list(workers)
        while waiting:
            ended = wait([worker.sentinel for worker, _ in waiting], timeout=POLL_S)
            for worker, ours in waiting:
                if worker.sentinel in ended:
                    worker.join()  # before that it has no exit code
                    _raise_what_it_said(worker.exitcode, ours, what, again)
            waiting = [(worker, ours) for worker, ours in waiting if worker.sentinel not in ended]
            tell()
    finally:
        for worker, _ in workers:
            worker.terminate()
        for worker, _ in workers:
            worker.join()


def _raise_what_it_said(exitcode: int | None, said: Connection, what: str, again: str) -> None:
    try:
        error = said.recv()
    except EOFError:
        error = None
    if isinstance(error, CorroscopeError):
        raise error
    if exitcode != 0:
        raise OutputError(
            f"a process of {what} ended with code {exitcode}: killed, or out of memory; {again} "
            "goes on where it was, with fewer --workers if it was memory"
        )


def _take_part(task: Callable[[_Job], object], job: _Job, processes: int, said: Connection) -> None:
    """What each process does."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // processes))
    try:
        task(job)
    except CorroscopeError as error:
        said.send(error)
    except KeyboardInterrupt:
        os._exit(1)


def _end_with(sentinel: int) -> None:
    """A process that outlived the command would go on unseen."""
    wait([sentinel])
    os._exit(1)
