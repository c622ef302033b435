"""Work done side by side in several processes, which end with the one that asked for it."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
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
    if accelerator != "cpu" and torch.accelerator.is_available():
        return 1
    return max(1, min(os.cpu_count() or 1, jobs, MOST_WORKERS))


def side_by_side(
    task: Callable[[_Job], object],
    jobs: Sequence[_Job],
    *,
    threads: int,
    what: str,
    again: str,
    tell: Callable[[], None] = lambda: None,
) -> None:
    """Do each job in a process of its own, all at the same time.

    The processes are spawned, so a script that asks for them needs the usual
    ``if __name__ == "__main__":``. None outlives this one, however it ends.

    Parameters
    ----------
    task
        What is done with a job; both are sent to the process, so jobs should be small.
    jobs
        One for each process.
    threads
        How many each process may use.
    what, again
        What they are processes of, and how it is gone on with if one is killed, for the error.
    tell
        Called about once a second while they work.

    Raises
    ------
    CorroscopeError
        The first that a task has raised.
    OutputError
        If a process cannot be started or ended otherwise, as for want of memory.
    """
    context = multiprocessing.get_context("spawn")
    workers: list[tuple[SpawnProcess, Connection]] = []
    try:
        for job in jobs:
            ours, theirs = context.Pipe(duplex=False)
            worker = context.Process(
                target=_take_part, args=(task, job, threads, theirs), daemon=True
            )
            workers.append((worker, ours))
            _start(worker, what)
            theirs.close()
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
        started = [worker for worker, _ in workers if worker.pid is not None]
        for worker in started:
            worker.terminate()
        for worker in started:
            worker.join()


def _start(worker: SpawnProcess, what: str) -> None:
    """Start a process that leaves Ctrl-C to this one, which ends it then."""
    ours = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGINT, signal.SIG_IGN) if ours else None
    try:
        worker.start()
    except OSError as error:
        raise OutputError(
            f"a process of {what} could not be started ({error.strerror or error}); close other "
            "programs, or give fewer --workers"
        ) from error
    finally:
        if before is not None:
            signal.signal(signal.SIGINT, before)


def _raise_what_it_said(exitcode: int | None, said: Connection, what: str, again: str) -> None:
    try:
        error = said.recv()
    except EOFError:
        error = None
    if isinstance(error, CorroscopeError):
        raise error
    if exitcode != 0:
        raise OutputError(
            f"a process of {what} ended with code {exitcode}: killed, out of memory, or broken as "
            f"told above; {again} goes on where it was, with fewer --workers if it was memory"
        )


def _take_part(task: Callable[[_Job], object], job: _Job, threads: int, said: Connection) -> None:
    """What each process does."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()
    torch.set_num_threads(threads)
    try:
        task(job)
    except CorroscopeError as error:
        said.send(error)
    except KeyboardInterrupt:
        os._exit(1)


def threads_each(workers: int) -> int:
    """How many threads fall to each of several processes.

    Parameters
    ----------
    workers
        How many processes share the cores.

    Returns
    -------
    int
        At least 1.
    """
    return max(1, (os.cpu_count() or 1) // workers)


def _end_with(sentinel: int) -> None:
    """A process that outlived the command would go on unseen."""
    wait([sentinel])
    os._exit(1)
