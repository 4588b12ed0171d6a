"""``wav2pix data``: build, import, synth, check, info."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from wav2pix.data.build_cli import build_command
from wav2pix.data.check import find_leaks, is_unchanged, summarise
from wav2pix.data.format import Dataset, open_dataset
from wav2pix.data.importer import import_folder
from wav2pix.data.pairs import SPLITS
from wav2pix.data.synth import SynthArguments, synthesise

app = typer.Typer(help="Prepare and check data sets.", no_args_is_help=True)
app.command("build")(build_command)

_MAX_LEAKS = 20

Out = Annotated[Path, typer.Option(metavar="DIR", help="Folder of the data set to make.", show_default=False)]
Folder = Annotated[
    Path, typer.Argument(metavar="DIR", help="Folder of a prepared data set.", show_default=False)
]
ImageSize = Annotated[Literal["64", "128"], typer.Option(help="Height and width of a face in pixels.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the data set that is there already.")]


@app.command("import")
def import_command(
    source: Annotated[
        Path, typer.Argument(metavar="SRC", help="Folder with a folder for each identity.", show_default=False)
    ],
    out: Out,
    image_size: ImageSize = "64",
    swap_red_blue: Annotated[
        bool,
        typer.Option(
            "--swap-red-blue/--keep",
            help="The published pictures have red and blue exchanged: exchange them back, or keep them.",
        ),
    ] = True,
    recordings: Annotated[
        Path | None,
        typer.Option(
            help="CSV table identity,frame,recording; else windows that share raw samples are one recording."
        ),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Stop at the first bad file, do not skip it.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the split.")] = 0,
    overwrite: Overwrite = False,
) -> None:
    """Prepare a data set from face crops and windows of speech in the layout that Wav2Pix published.

    SRC/<identity>/cropped_face_frame_<n>.png and SRC/<identity>/preprocessed_frame_<n>.wav
    """
    with _progress("Reading") as (progress, say):
        imported = import_folder(
            source,
            out,
            image_size=int(image_size),
            swap_red_blue=swap_red_blue,
            recordings=recordings,
            seed=seed,
            strict=strict,
            overwrite=overwrite,
            say=say,
            progress=progress,
        )
    for kind, count in sorted(imported.findings.items()):
        typer.echo(f"{kind}: {count}")
    if imported.num_dealt_together:
        typer.echo(f"{imported.num_dealt_together} recordings share samples or faces and stay in one split")
    _echo_counts(imported.data)


@app.command()
def synth(
    out: Out,
    identities: Annotated[int, typer.Option(min=2, help="Number of speakers.")] = 10,
    recordings: Annotated[int, typer.Option(min=3, help="Recordings of each speaker.")] = 6,
    seconds: Annotated[int, typer.Option(min=1, help="Length of a recording; a pair for each second.")] = 20,
    seed: Annotated[int, typer.Option(min=0, help="Another seed makes other people.")] = 0,
    image_size: ImageSize = "64",
    exist_ok: Annotated[
        bool, typer.Option("--exist-ok", help="Do nothing if the same data set is there already.")
    ] = False,
    overwrite: Overwrite = False,
    videos: Annotated[
        bool,
        typer.Option("--videos", help="Make videos of them instead, and the list for 'wav2pix data build'."),
    ] = False,
) -> None:
    """Make a data set of synthetic speakers: the same arguments make the same bytes on any machine."""
    if videos:
        _synth_videos(out, identities, recordings, seconds, seed, overwrite=overwrite, exist_ok=exist_ok)
        return
    arguments = SynthArguments(identities, recordings, seconds, seed, int(image_size))
    with _progress("Synthesising") as (progress, _):
        data = synthesise(out, arguments, overwrite=overwrite, exist_ok=exist_ok, progress=progress)
    _echo_counts(data)


def _synth_videos(
    out: Path, identities: int, recordings: int, seconds: int, seed: int, *, overwrite: bool, exist_ok: bool
) -> None:
    from wav2pix.data.synth_videos import VideoArguments, synthesise_videos

    arguments = VideoArguments(identities, recordings, seconds, seed)
    with _progress("Filming") as (progress, _):
        listing = synthesise_videos(out, arguments, overwrite=overwrite, exist_ok=exist_ok, progress=progress)
    typer.echo(f"{listing}: {identities * recordings} videos of {identities} speakers, {seconds} s each")


@app.command()
def check(folder: Folder) -> None:
    """Prove that the splits share no recording, no raw samples and no face; else list the pairs and exit 1."""
    data = open_dataset(folder)
    leaks = find_leaks(data)
    unchanged = is_unchanged(data)
    for leak in leaks[:_MAX_LEAKS]:
        typer.echo(leak.describe(data))
    if len(leaks) > _MAX_LEAKS:
        typer.echo(f"... and {len(leaks) - _MAX_LEAKS} more")
    if not unchanged:
        typer.echo(f"{folder}: the content is not what was written: its hash differs from that in dataset.json")
    if leaks:
        kinds = Counter(leak.kind for leak in leaks)
        typer.echo(
            f"{len(leaks)} leaks between splits: " + ", ".join(f"{n} {kind}" for kind, n in kinds.items())
        )
    if leaks or not unchanged:
        raise typer.Exit(1)
    typer.echo(f"{folder}: the splits share no recording, no samples and no face ({len(data):,} pairs)")


@app.command()
def info(
    folder: Folder,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """What a data set holds: counts by identity and split, durations, hash."""
    summary = summarise(open_dataset(folder))
    if as_json:
        typer.echo(json.dumps(summary, indent=2))
        return
    table = Table("identity", *SPLITS, "recordings", "faces", "speech", title="Pairs in each split")
    for name, counts in summary["identities"].items():
        pairs = (f"{counts['splits'][split]['pairs']:,}" for split in SPLITS)
        table.add_row(
            name, *pairs, f"{counts['recordings']:,}", f"{counts['faces']:,}", _minutes(counts["speech_s"])
        )
    table.add_section()
    totals = (f"{summary['splits'][split]:,}" for split in SPLITS)
    table.add_row(
        "all", *totals, f"{summary['recordings']:,}", f"{summary['faces']:,}", _minutes(summary["speech_s"])
    )
    Console().print(table)
    typer.echo(
        f"a pair: {summary['window_s']:g} s of speech at {summary['sample_rate_hz']} Hz, "
        f"a face of {summary['image_size']} px"
    )
    # The list of all videos is for --json.
    brief = {key: len(value) if isinstance(value, list) else value for key, value in summary["source"].items()}
    typer.echo(f"source  {json.dumps(brief)}")
    typer.echo(f"content {summary['content_hash']}")


def _minutes(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def _echo_counts(data: Dataset) -> None:
    parts = ", ".join(f"{len(data.indices(split)):,} {split}" for split in SPLITS)
    typer.echo(
        f"{data.root}: {len(data):,} pairs ({parts}), {len(data.faces):,} faces, "
        f"{len(data.recordings):,} recordings of {len(data.identities):,} identities"
    )


@contextmanager
def _progress(title: str) -> Iterator[tuple[Callable[[int, int], None], Callable[[str], None]]]:
    """A bar on the error stream, and a way to print lines above it."""
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=None)

        def update(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        def say(line: str) -> None:
            bar.console.print(line, markup=False, highlight=False, soft_wrap=True)

        yield update, say
