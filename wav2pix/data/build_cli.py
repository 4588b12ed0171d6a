"""``wav2pix data build``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

if TYPE_CHECKING:
    from wav2pix.data.videos.built import Built


def build_command(
    listing: Annotated[
        Path,
        typer.Argument(
            metavar="VIDEOS.CSV",
            help="identity,video[,start,end,gender,licence]: video is a path, relative to the list, or a URL.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder of the data set to make.", show_default=False)
    ],
    image_size: Annotated[
        Literal["64", "128"], typer.Option(help="Height and width of a face in pixels.")
    ] = "128",
    window: Annotated[float, typer.Option(help="Seconds of speech around a face.")] = 4.0,
    every: Annotated[float, typer.Option(help="Seconds from one face to the next.")] = 1.0,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Videos worked on at once.", show_default="one for each CPU")
    ] = None,
    download: Annotated[
        bool,
        typer.Option("--download", help="Fetch the videos of URLs; they stay in a folder beside the list."),
    ] = False,
    margin: Annotated[
        float, typer.Option(help="Room around the found face, on each side, as a share of its width.")
    ] = 0.0,
    min_face: Annotated[int, typer.Option(metavar="PX", help="Width of the smallest face in the video.")] = 40,
    min_sharpness: Annotated[
        float, typer.Option(help="Of a face at 64 px, the variance of its Laplacian; 0 takes any.")
    ] = 40.0,
    min_confidence: Annotated[
        float | None,
        typer.Option(
            help="Of a face that counts: windows that agree (cascade), score (YuNet).",
            show_default="10 for the cascade, 0.8 for YuNet",
        ),
    ] = None,
    largest_face: Annotated[
        bool, typer.Option("--largest-face", help="Of several faces take the largest, instead of none.")
    ] = False,
    voice_activity: Annotated[
        bool, typer.Option("--voice-activity", help="Leave out silence, noise and held tones.")
    ] = False,
    yunet: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.onnx", help="Find faces with YuNet, not with the cascade.", show_default=False
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the split.")] = 0,
    strict: Annotated[
        bool, typer.Option("--strict", help="Stop at the first bad video, do not skip it.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the data set that is there already.")
    ] = False,
) -> None:
    """Make a data set from videos of people who talk. Interrupted, the same command goes on.

    At every sampled second: one face that is sure, large and sharp enough, and the speech around it.
    """
    from wav2pix.data.videos.build import build_dataset
    from wav2pix.data.videos.settings import BuildSettings

    settings = BuildSettings(
        image_size=int(image_size),
        window_s=window,
        every_s=every,
        margin=margin,
        min_face_px=min_face,
        min_sharpness=min_sharpness,
        min_confidence=min_confidence,
        largest_face=largest_face,
        voice_activity=voice_activity,
        yunet=yunet,
        seed=seed,
    )
    try:
        with _progress() as (progress, say):
            built = build_dataset(
                listing,
                out,
                settings,
                workers=workers,
                download=download,
                strict=strict,
                overwrite=overwrite,
                say=say,
                progress=progress,
            )
    except KeyboardInterrupt:
        typer.echo("Stopped: the videos that are finished are kept, and the same command goes on", err=True)
        raise typer.Exit(130) from None
    for line in _summary(built):
        typer.echo(line)


def _summary(built: Built) -> Iterator[str]:
    from collections import Counter

    from wav2pix.data.pairs import SPLITS

    for kind, count in sorted(built.findings.items()):
        yield f"{kind}: {count}"
    dropped: Counter[str] = Counter()
    for video in built.videos:
        dropped.update(video.dropped)
    if dropped:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in dropped.most_common())
        yield f"instants without a pair: {reasons}"
    data = built.data
    splits = ", ".join(f"{len(data.indices(split)):,} {split}" for split in SPLITS)
    minutes, seconds = divmod(int(sum(video.seconds for video in built.videos)), 60)
    yield (
        f"{data.root}: {len(data):,} pairs ({splits}) of {len(data.recordings):,} recordings of "
        f"{len(data.identities):,} identities, from {minutes}:{seconds:02d} of video"
    )
    yield f"Report: {data.root / 'report.html'}"


class _Rate(ProgressColumn):
    """How many times faster than real time."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.0f} x real time" if task.speed else "")


@contextmanager
def _progress() -> Iterator[tuple[Callable[[float, float], None], Callable[[str], None]]]:
    """A bar of seconds of video on the error stream, and a way to print lines above it."""
    columns = (TextColumn("Watching"), BarColumn(), TaskProgressColumn(), _Rate(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("Watching", total=None)

        def update(done_s: float, total_s: float) -> None:
            bar.update(task, completed=done_s, total=total_s)

        def say(line: str) -> None:
            bar.console.print(line, markup=False, highlight=False, soft_wrap=True)

        yield update, say
