"""The report of an evaluation: ``report.html`` in a folder of its own, with every picture inside."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from wav2pix.data import Dataset
from wav2pix.errors import DataError
from wav2pix.evaluation import DESCRIPTIONS, Description, Evaluation, Measure
from wav2pix.evaluation_report.charts import Point, curve, distributions
from wav2pix.evaluation_report.faces import between_voices, by_identity, extremes
from wav2pix.evaluation_report.result import Result, interval, lengths_of, number
from wav2pix.files import write_atomically
from wav2pix.html import Html, cards, definitions, escape, figure, heading, joined, page, paragraph, table
from wav2pix.models import Wav2Pix

REPORT = "report.html"
TITLE = "Evaluation of a Wav2Pix model"
# What the paper reports by length of speech, and what tells a good face; the table has the rest.
CURVES = ("identity_accuracy", "recall_at_1", "cosine_to_real", "detection_rate", "landmarks_rate", "kid", "l1")


def check_report_folder(folder: Path) -> None:
    """Raise unless a report may be written there; called before the long work starts.

    Raises:
        DataError: something else is there than an older report, or it cannot be read.
    """
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise DataError(f"{folder}: exists and is no folder: choose another --report")
    try:
        names = sorted(path.name for path in folder.iterdir()) if folder.exists() else []
        if strange := [name for name in names if name != REPORT]:
            raise DataError(f"{folder}: holds '{strange[0]}', so it is left alone: choose another --report")
        if names and f"<title>{TITLE}</title>" not in (folder / REPORT).read_text(errors="replace")[:1000]:
            raise DataError(f"{folder / REPORT}: is no report of an evaluation: choose another --report")
    except OSError as error:
        raise _refused(folder, "read", error) from None


def write_report(folder: Path, result: Result, model: Wav2Pix, data: Dataset) -> Path:
    """Write the report of an evaluation, in place of an older one.

    Args:
        folder: is made if it is not there.
        model: draws the faces between two voices.
        data: the data set that was measured on.

    Returns:
        The file written.

    Raises:
        DataError: as :func:`check_report_folder`, or the disk refuses.
    """
    check_report_folder(folder)
    body = joined([_about(result)] + [_part(result, part, model, data) for part in result.parts])
    try:
        write_atomically(folder / REPORT, page(TITLE, body).encode())
    except OSError as error:
        raise _refused(folder, "written", error) from None
    return folder / REPORT


def _about(result: Result) -> Html:
    rows = [
        ("model", result.model),
        ("data", f"{result.data}, content {result.data_hash[:16]}"),
        ("split", result.split),
    ]
    for part in result.parts:
        sizes = (
            f"{part.num_pairs} pairs from {part.num_recordings} recordings of {len(part.identities)} speakers"
        )
        rows.append((result.title(part), f"{sizes}: {', '.join(part.identities)}"))
    features = " / ".join(dict.fromkeys(part.features for part in result.parts))
    rows.append(("features of embeddings, KID and FID", features))
    notes = dict.fromkeys(note for part in result.parts for note in part.notes)
    return joined([table(("", ""), rows), *(paragraph(note, soft=True) for note in notes)])


def _part(result: Result, part: Evaluation, model: Wav2Pix, data: Dataset) -> Html:
    of = f" of {result.title(part)}" if len(result.parts) > 1 else ""
    sections = [
        heading(f"Measures{of}"),
        paragraph(f"At {part.length_s:g} s of speech. In brackets 95 % intervals over recordings."),
        _measures(part),
    ]
    if len(lengths_of(part)) > 1:
        sections += [heading(f"Lengths of speech{of}"), cards(_curves(part)), _lengths(part)]
    sections += [
        heading(f"Best and worst faces{of}"),
        paragraph(
            "Real left, generated right, and the cosine of their embeddings; at most two of a recording."
        ),
        extremes(part.cases, data),
        heading(f"Faces at random{of}"),
        by_identity(part.cases, data),
    ]
    if len(part.identities) > 1:
        sections += [
            heading(f"Between two voices{of}"),
            paragraph("The embedding of the speech goes from one voice to the other in even steps."),
            between_voices(model, part.cases, data),
        ]
    return joined([*sections, heading(f"Likeness{of}"), _likeness(part)])


def _measures(part: Evaluation) -> Html:
    rows = [
        (_title(name), number(measure.value), interval(measure), DESCRIPTIONS[name].better or "")
        for name, measure in part.measures.items()
    ]
    numbers = table(("measure", "value", "95 % interval", "better"), rows, numbers=(1, 2))
    meanings = [_meaning(DESCRIPTIONS[name]) for name in part.measures]
    return joined([numbers, definitions("What each measure means", meanings)])


def _lengths(part: Evaluation) -> Html:
    by_length = lengths_of(part)
    rows = [
        (_title(name), *(_with_interval(measures.get(name)) for measures in by_length.values()))
        for name in part.measures
        if not DESCRIPTIONS[name].reference
    ]
    head = ("measure", *(f"{length_s:g} s" for length_s in by_length))
    return table(head, rows, numbers=range(1, len(head)))


def _curves(part: Evaluation) -> Iterator[Html]:
    for name in CURVES:
        measured = {
            length_s: measures
            for length_s, measures in lengths_of(part).items()
            if name in measures and math.isfinite(measures[name].value)
        }
        if len(measured) > 1:
            points = [_point(length_s, measures[name]) for length_s, measures in measured.items()]
            title = DESCRIPTIONS[name].title
            yield figure(curve(title, points, _levels(name, list(measured.values()))), title)


def _levels(name: str, measured: Sequence[Mapping[str, Measure]]) -> dict[str, list[float]]:
    """The references that stand beside a measure, at each of the lengths."""
    levels = {}
    for other, about in DESCRIPTIONS.items():
        if about.beside == name and all(other in measures for measures in measured):
            values = [measures[other].value for measures in measured]
            if all(map(math.isfinite, values)):
                levels[about.title] = values
    return levels


def _point(length_s: float, measure: Measure) -> Point:
    low, high = measure.low, measure.high
    if low is None and measure.standard_error is not None:
        low, high = measure.value - measure.standard_error, measure.value + measure.standard_error
    return Point(f"{length_s:g} s", measure.value, low, high)


def _likeness(part: Evaluation) -> Html:
    groups = {
        "generated and real": part.cosines.generated,
        "real, one speaker": part.cosines.same,
        "real, two speakers": part.cosines.different,
    }
    caption = "Cosine similarity of the embeddings of two faces: how often, each kind by its own highest bar."
    return figure(distributions("cosine similarity", groups), caption)


def _with_interval(measure: Measure | None) -> str:
    return f"{number(measure.value)} {interval(measure)}" if measure else "-"


def _title(name: str) -> Html:
    title = escape(DESCRIPTIONS[name].title)
    return Html(f"&emsp;{title}") if DESCRIPTIONS[name].beside else title


def _meaning(about: Description) -> tuple[str, str]:
    """A title that can stand alone, and what it means."""
    title = f"{DESCRIPTIONS[about.beside].title}, {about.title}" if about.beside else about.title
    return title, about.meaning


def _refused(path: Path, what: str, error: OSError) -> DataError:
    return DataError(f"{path}: cannot be {what} ({error.strerror or error}): choose another --report")
