"""The tables of an evaluation for a terminal."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from wav2pix.evaluation import DESCRIPTIONS, Evaluation
from wav2pix.evaluation_report.result import Result, interval, lengths_of, number


def print_tables(result: Result, console: Console) -> None:
    """For each kind of speakers the measures with their intervals and by length of speech; then notes."""
    for part in result.parts:
        console.print(_measures(result, part))
        if len(lengths_of(part)) > 1:
            console.print(_lengths(result, part))
    for features in dict.fromkeys(part.features for part in result.parts):
        console.print(f"Features of embeddings, KID and FID: {features}", markup=False, highlight=False)
    for note in dict.fromkeys(note for part in result.parts for note in part.notes):
        console.print(note, markup=False, highlight=False)
    known = next((part for part in result.parts if part.speakers == "known"), None)
    if known and known.unknown_identities and len(result.parts) == 1:
        names = ", ".join(known.unknown_identities)
        console.print(
            f"Left out, never seen by the model: {names}; --hold-out-identities measures them",
            markup=False,
            highlight=False,
        )


def _measures(result: Result, part: Evaluation) -> Table:
    title = (
        f"{result.model}, {part.length_s:g} s of speech: {part.num_pairs} pairs from {part.num_recordings} "
        f"recordings ({result.split}) of {len(part.identities)} {result.title(part)}"
    )
    table = Table("measure", "value", "95 % interval", "better", title=escape(title), title_justify="left")
    for name, measure in part.measures.items():
        better = DESCRIPTIONS[name].better or ""
        table.add_row(name, number(measure.value), escape(interval(measure)), better)
    return table


def _lengths(result: Result, part: Evaluation) -> Table:
    by_length = lengths_of(part)
    title = f"By seconds of speech: {result.title(part)}"
    table = Table("measure", *(f"{length_s:g} s" for length_s in by_length), title=title, title_justify="left")
    for name in (name for name in part.measures if not DESCRIPTIONS[name].reference):
        cells = (measures.get(name) for measures in by_length.values())
        table.add_row(name, *(number(measure.value) if measure else "-" for measure in cells))
    return table
