"""From a list of videos to a prepared data set: plan, work on the videos in parallel, write."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from wav2pix.data.findings import Findings
from wav2pix.data.folder import check_target
from wav2pix.data.videos.built import Built, VideoSummary
from wav2pix.data.videos.detect import make_detector
from wav2pix.data.videos.listing import Row, read_listing
from wav2pix.data.videos.part import Part
from wav2pix.data.videos.plan import Job, find_videos, make_jobs, name_recordings
from wav2pix.data.videos.pool import run_jobs
from wav2pix.data.videos.settings import BuildSettings
from wav2pix.data.videos.write import write_built
from wav2pix.errors import DataError

__all__ = ["Built", "VideoSummary", "build_dataset"]


def build_dataset(
    listing: Path,
    root: Path,
    settings: BuildSettings | None = None,
    *,
    workers: int | None = None,
    download: bool = False,
    strict: bool = False,
    overwrite: bool = False,
    say: Callable[[str], None] = print,
    progress: Callable[[float, float], None] = lambda _done_s, _total_s: None,
) -> Built:
    """Make a data set from the videos of a list (see :mod:`wav2pix.data.videos.listing`).

    Each finished video is kept in a hidden folder ``.NAME.parts`` beside ``root`` until the data set is there;
    a build that was interrupted goes on with the others. Downloads stay in ``NAME.downloads`` beside the list.

    Args:
        listing: the CSV file.
        root: the folder to make.
        settings: which pairs to take.
        workers: number of processes; None is one for each CPU.
        download: fetch the videos of URLs.
        strict: stop at the first finding instead of skipping the row.
        overwrite: replace a data set that is there already.
        say: receives a line for each finding.
        progress: called with the seconds of video that are done and those of all that was left to do.

    Raises:
        DataError: nothing usable, one identity only, a list that is none, ``root`` cannot be written, another
            build works on it, or a finding under ``strict``.
    """
    settings = settings or BuildSettings()
    check_target(root, overwrite=overwrite)
    make_detector(settings)
    findings = Findings(say, strict=strict)
    rows = read_listing(listing, findings)
    cache = listing.absolute().parent / f"{listing.stem}.downloads"
    videos = find_videos(listing, rows, cache, findings, download=download, say=say)
    with _parts_folder(root) as parts:
        jobs = make_jobs(listing, rows, parts, settings, videos)
        made = _make_parts(jobs, settings, workers or len(os.sched_getaffinity(0)), findings, say, progress)
        summaries = _summarise(rows, jobs, made)
        usable = [(job, part) for job, part in zip(jobs, made, strict=True) if part.times_s]
        return write_built(root, usable, summaries, settings, findings.counts, overwrite=overwrite)


@contextmanager
def _parts_folder(root: Path) -> Iterator[Path]:
    """The folder of the parts, for this build alone; gone once the data set is complete."""
    parts = root.absolute().parent / f".{root.name}.parts"
    try:
        parts.mkdir(exist_ok=True)
        with (parts / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise DataError(
                    f"{root}: another build works on it: wait for it, or choose another --out"
                ) from None
            for left_behind in parts.glob(".*"):
                shutil.rmtree(left_behind, ignore_errors=True)
            yield parts
            shutil.rmtree(parts, ignore_errors=True)
    except OSError as error:
        raise DataError(f"{parts}: cannot be written ({error.strerror or error}): free space there") from None


def _make_parts(
    jobs: list[Job],
    settings: BuildSettings,
    workers: int,
    findings: Findings,
    say: Callable[[str], None],
    progress: Callable[[float, float], None],
) -> list[Part]:
    """The part of each job: those that are finished already, and the others as they get finished."""
    made = {number: part for number, job in enumerate(jobs) if (part := job.folder.read())}
    if made:
        say(f"{len(made)} of {len(jobs)} videos were finished before")
    for number, part in made.items():
        _find(jobs[number], part, findings)
    left = [number for number in range(len(jobs)) if number not in made]
    length_s = [jobs[number].seconds() for number in left]
    done_s = [0.0] * len(left)

    def report(number: int, seconds: float) -> None:
        done_s[number] = min(seconds, length_s[number])
        progress(sum(done_s), sum(length_s))

    with closing(run_jobs([jobs[number] for number in left], settings, workers, report)) as finished:
        for number, part in finished:
            report(number, length_s[number])
            made[left[number]] = part
            _find(jobs[left[number]], part, findings)
    return [made[number] for number in range(len(jobs))]


def _find(job: Job, part: Part, findings: Findings) -> None:
    if part.problem:
        kind, text = part.problem
        findings.skipped(kind, job.video, text)
    elif part.damage:
        findings.changed("damaged", job.video, part.damage, "the rest is used")


def _summarise(rows: list[Row], jobs: list[Job], made: list[Part]) -> tuple[VideoSummary, ...]:
    names = name_recordings(rows)
    by_line = {job.row.line: (job, part) for job, part in zip(jobs, made, strict=True)}
    summaries = []
    for row in rows:
        about = {
            "identity": row.identity,
            "recording": names[row.line],
            "licence": row.licence,
            "gender": row.gender,
        }
        if row.line in by_line:
            job, part = by_line[row.line]
            problem = part.problem[1] if part.problem else part.damage
            summary = VideoSummary(
                name=job.name,
                seconds=part.seconds,
                pairs=len(part.times_s),
                dropped=part.dropped,
                problem=problem,
                **about,
            )
        else:
            summary = VideoSummary(
                name=row.video, seconds=0.0, pairs=0, dropped={}, problem="not downloaded", **about
            )
        summaries.append(summary)
    return tuple(summaries)
