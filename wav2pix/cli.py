"""The trainer's commands: ``wav2pix train``, ``evaluate``, ``generate``, ``checkpoint`` and ``data``.

Functions parse, call and print. torch is imported when a command runs, so that help is quick.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
import yaml
from rich.console import Console

from wav2pix.config import make_config
from wav2pix.data.cli import app as data_app
from wav2pix.errors import ConfigError
from wav2pix.model_sources import model_folder

if TYPE_CHECKING:
    from wav2pix.evaluation_report.result import Result
    from wav2pix.train import Epoch

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Faces from voices.")
checkpoint_app = typer.Typer(no_args_is_help=True, help="Checkpoints of other programs.")
app.add_typer(data_app, name="data", help="Prepare, synthesise, check and describe data sets.")
app.add_typer(checkpoint_app, name="checkpoint")

DataOption = Annotated[Path, typer.Option("--data", help="Folder of a prepared data set.")]
ModelOption = Annotated[
    str, typer.Option("--model", help="A run, a checkpoint, an exported model, or models:/NAME@champion.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def train(
    data: DataOption,
    out: Annotated[Path, typer.Option(help="Folder of the run.")],
    preset: Annotated[str, typer.Option(help="paper, modern or small.")] = "small",
    epochs: Annotated[int | None, typer.Option(min=1, help="Instead of the preset's.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a setting; repeatable.")
    ] = None,
    hold_out_identities: Annotated[
        str | None,
        typer.Option(metavar="NAME,NAME", help="Speakers not to learn, to be measured as unseen ones later."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the newest checkpoint.")] = False,
) -> None:
    """Train a model; Ctrl-C stops it, the same command with --resume goes on."""
    chosen = parse_settings(settings or [])
    if hold_out_identities is not None:
        chosen["hold_out_identities"] = [name.strip() for name in hold_out_identities.split(",")]
    config = make_config(preset, chosen if epochs is None else chosen | {"epochs": epochs})
    from wav2pix.data import open_dataset
    from wav2pix.run import RunFolder, train_in_folder

    console = Console()
    try:
        for epoch in train_in_folder(config, open_dataset(data), out, resume=resume):
            console.print(_epoch_line(epoch, config.epochs), highlight=False)
    except KeyboardInterrupt:
        kept = RunFolder(out).newest_checkpoint()
        what = f"kept {kept}; go on with --resume" if kept else "no epoch was finished, nothing is kept"
        console.print(f"Stopped: {what}")
        raise typer.Exit(130) from None
    console.print(f"Model, metrics and pictures: {out}")


@app.command()
def evaluate(
    model: ModelOption,
    data: DataOption,
    split: Annotated[
        Literal["train", "validation", "test", "all"], typer.Option(help="Which recordings to use.")
    ] = "test",
    hold_out_identities: Annotated[
        bool, typer.Option("--hold-out-identities", help="Measure speakers that the model never saw as well.")
    ] = False,
    lengths: Annotated[
        str, typer.Option(metavar="S,S,...", help="Seconds of speech to measure at; '' for the model's own.")
    ] = "0.3,0.7,1,4",
    embedder: Annotated[
        Path | None, typer.Option(metavar="ONNX", help="A face embedder, in place of the data set's own.")
    ] = None,
    landmarks: Annotated[
        Path | None, typer.Option(metavar="ONNX", help="A model of 68 landmarks, to look for faces with.")
    ] = None,
    max_pairs: Annotated[int | None, typer.Option(min=8, help="At most so many pairs.")] = None,
    report: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write report.html there, with faces and charts.")
    ] = None,
    as_json: JsonOption = False,
    as_latex: Annotated[bool, typer.Option("--latex", help="Print a table for a paper.")] = False,
) -> None:
    """Measure a model on held-out recordings; with 95 % intervals over recordings."""
    if as_json and as_latex:
        raise ConfigError("latex", "--json or --latex: choose one")
    seconds = parse_lengths(lengths)
    from wav2pix.checkpoint import load_model
    from wav2pix.data import open_dataset
    from wav2pix.evaluation_report.measuring import measure
    from wav2pix.evaluation_report.page import check_report_folder, write_report

    if report:
        check_report_folder(report)
    opened = open_dataset(data)
    with model_folder(model) as folder:
        loaded = load_model(folder)
    result = measure(
        model,
        loaded,
        opened,
        split,
        unseen=hold_out_identities,
        embedder=embedder,
        landmarks=landmarks,
        lengths=seconds,
        max_pairs=max_pairs,
    )
    _print_result(result, as_json=as_json, as_latex=as_latex)
    if report:
        typer.echo(f"Report: {write_report(report, result, loaded, opened)}", err=as_json or as_latex)


@app.command()
def generate(
    model: ModelOption,
    speech: Annotated[list[Path], typer.Argument(help="Sound files of any format, rate and length.")],
    out: Annotated[Path, typer.Option(help="A .png file, or a folder.")],
) -> None:
    """Draw faces from speech, one a second."""
    from wav2pix.checkpoint import load_model
    from wav2pix.generate import draw_file, save_drawings

    with model_folder(model) as folder:
        loaded = load_model(folder)
    for path in save_drawings([draw_file(loaded, file) for file in speech], out):
        typer.echo(path)


@checkpoint_app.command("import")
def import_checkpoint(
    generator: Annotated[Path, typer.Argument(help="State dict of the original generator (.pth).")],
    out: Annotated[Path, typer.Option(help="Folder of the model to write.")],
    discriminator: Annotated[Path | None, typer.Argument(help="State dict of its discriminator.")] = None,
    speech_quantisation: Annotated[
        Literal["none", "one_bit"],
        typer.Option(help="The original's integer division leaves one bit of speech under Python 2."),
    ] = "one_bit",
) -> None:
    """Take over weights that the original implementation trained."""
    from wav2pix.original import import_original

    import_original(generator, discriminator, out, speech_quantisation=speech_quantisation)
    typer.echo(out)


def parse_settings(items: list[str]) -> dict[str, Any]:
    """Settings by dotted path, from ``KEY=VALUE`` each.

    Raises:
        ConfigError: one is not of that form.
    """
    settings: dict[str, Any] = {}
    for item in items:
        key, separator, value = item.partition("=")
        if not separator:
            raise ConfigError(item, f"--set {item}: write KEY=VALUE")
        settings[key] = _parse_value(key, value)
    return settings


def _print_result(result: Result, *, as_json: bool, as_latex: bool) -> None:
    from wav2pix.evaluation_report.latex import latex_table
    from wav2pix.evaluation_report.result import as_tree
    from wav2pix.evaluation_report.terminal import print_tables

    if as_json:
        typer.echo(json.dumps(as_tree(result), indent=1))
    elif as_latex:
        typer.echo(latex_table(result))
    else:
        print_tables(result, Console())


def parse_lengths(text: str) -> tuple[float, ...]:
    """Seconds of speech, ascending, from numbers with commas between them.

    Raises:
        ConfigError: one is no positive number.
    """
    lengths = set()
    for item in filter(None, (part.strip() for part in text.split(","))):
        try:
            length_s = float(item)
        except ValueError:
            length_s = math.nan
        if not 0 < length_s < math.inf:
            raise ConfigError("lengths", f"--lengths {text}: '{item}' is no number of seconds")
        lengths.add(length_s)
    return tuple(sorted(lengths))


def _parse_value(key: str, text: str) -> Any:
    """YAML, and numbers as people write them: YAML 1.1 takes 1e-4 for a string."""
    try:
        return float(text) if "e" in text.lower() else yaml.safe_load(text)
    except ValueError:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        raise ConfigError(key, f"--set {key}={text}: not a value") from None


def _epoch_line(epoch: Epoch, epochs: int) -> str:
    measures = epoch.metrics
    speed = f"{measures['epoch_s']:.0f} s  {measures['pairs_per_second']:.0f} pairs/s"
    line = f"epoch {epoch.number}/{epochs}  {speed}"
    if "l1" in measures:
        line += (
            f"  identity {measures['identity_accuracy']:.3f}"
            f" (real {measures['identity_accuracy_ceiling']:.3f},"
            f" shuffled {measures['identity_accuracy_shuffled']:.3f})"
            f"  L1 {measures['l1']:.3f} (mean face {measures['l1_mean_face']:.3f})"
            f"  sharpness {measures['sharpness']:.2f}  diversity {measures['diversity']:.2f}"
        )
    return line
