"""Working on videos in several processes, each on one video at a time and with one thread."""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from multiprocessing.connection import wait as wait_for_end
from typing import Any

from wav2pix.data.videos.detect import Detector, make_detector
from wav2pix.data.videos.part import Part, make_part
from wav2pix.data.videos.plan import Job
from wav2pix.data.videos.settings import BuildSettings
from wav2pix.errors import DataError

_POLL_S = 0.2
_REPORT_S = 1.0  # of video


def run_jobs(
    jobs: Sequence[Job], settings: BuildSettings, workers: int, progress: Callable[[int, float], None]
) -> Generator[tuple[int, Part]]:
    """Make the part of each job; its number and part as they are finished.

    One worker is this process itself. Ending the iteration early stops the others at their next frame.

    Args:
        jobs: what to do.
        settings: of the build.
        workers: number of processes.
        progress: called with the number of a job and the seconds of it that are done.

    Raises:
        DataError: the disk refuses, or a process dies.
    """
    try:
        if min(workers, len(jobs)) <= 1:
            detector = make_detector(settings)
            for number, job in enumerate(jobs):
                yield number, _work(job, settings, detector, _every_second(number, job, progress))
        else:
            yield from _in_processes(jobs, settings, min(workers, len(jobs)), progress)
    except BrokenProcessPool:
        raise DataError(
            "a process that worked on a video died, perhaps for lack of memory: what is finished is kept, and "
            "the same command goes on; fewer --workers need less memory"
        ) from None
    except OSError as error:
        place = jobs[0].folder.root.parent
        raise DataError(f"{place}: cannot be written ({error.strerror or error}): free space there") from None


def _work(job: Job, settings: BuildSettings, detector: Detector, progress: Callable[[float], None]) -> Part:
    return make_part(job.video, job.stretch, job.folder.root, settings, detector, progress)


def _every_second(number: int, job: Job, report: Callable[[int, float], None]) -> Callable[[float], None]:
    last = 0.0

    def progress(time_s: float) -> None:
        nonlocal last
        if time_s - job.row.start_s >= last + _REPORT_S:
            last = time_s - job.row.start_s
            report(number, last)

    return progress


def _in_processes(
    jobs: Sequence[Job], settings: BuildSettings, workers: int, progress: Callable[[int, float], None]
) -> Iterator[tuple[int, Part]]:
    context = multiprocessing.get_context("spawn")
    reports, stop = context.Queue(), context.Event()
    with ProcessPoolExecutor(workers, context, _start_worker, (settings, reports, stop)) as pool:
        waiting = {pool.submit(_work_in_process, number, job): number for number, job in enumerate(jobs)}
        try:
            while waiting:
                done, _ = wait(waiting, _POLL_S, FIRST_COMPLETED)
                with suppress(queue.Empty):
                    while True:
                        progress(*reports.get_nowait())
                yield from [(waiting.pop(future), future.result()) for future in _in_order(done)]
        finally:
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)


def _in_order(done: set[Future[Part]]) -> list[Future[Part]]:
    """Failures first: nothing else matters then."""
    return sorted(done, key=lambda future: future.exception() is None)


class _Stopped(Exception):
    """The build ends before this video does."""


# What a worker process has for all its videos.
_settings: BuildSettings
_detector: Detector
_reports: Any
_stop: Any


def _start_worker(settings: BuildSettings, reports: Any, stop: Any) -> None:
    global _settings, _detector, _reports, _stop  # noqa: PLW0603  # the way of a pool's initialiser
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which stops the workers
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _settings, _reports, _stop = settings, reports, stop
    _detector = make_detector(settings)


def _end_with_parent() -> None:
    """A killed parent leaves no orphan at work."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait_for_end([parent.sentinel])
    os._exit(1)


def _work_in_process(number: int, job: Job) -> Part:
    def report(number: int, seconds: float) -> None:
        if _stop.is_set():
            raise _Stopped
        _reports.put((number, seconds))

    return _work(job, _settings, _detector, _every_second(number, job, report))
