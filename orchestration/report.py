"""What a sweep leaves for people: a table of its trials, and the faces of the best one."""

from __future__ import annotations

import csv
import io
import tempfile
from pathlib import Path

from orchestration.folders import SweepFolder, checkpoint_key
from orchestration.records import TrialRecord
from orchestration.results import compare
from orchestration.spec import SweepSpec
from orchestration.storage import ArtifactStore, MissingArtifact
from wav2pix.files import write_atomically

# Of an epoch, beside its checkpoint.
PICTURES = "pictures.png"


def keep_best_picture(store: ArtifactStore, record: TrialRecord, folder: SweepFolder) -> bool:
    """Copy the faces of a trial's best epoch to ``best.png``; False if somebody removed them."""
    key = checkpoint_key(record.number, record.progress.epoch)
    with tempfile.TemporaryDirectory(prefix="wav2pix-") as temporary:
        kept = Path(temporary) / "epoch"
        try:
            store.get(key, kept, only=(PICTURES,))
        except MissingArtifact:
            return False
        write_atomically(folder.best_picture, (kept / PICTURES).read_bytes())
    return True


def write_table(folder: SweepFolder, records: list[TrialRecord], spec: SweepSpec) -> Path:
    """All trials, best first, as CSV."""
    rows = compare(records, spec.goals)
    params = list(dict.fromkeys(key for row in rows for key in row.params))
    metrics = list(dict.fromkeys(key for row in rows for key in {**row.values, **row.metrics}))
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["trial", "state", "epoch", "epochs", "seconds", *metrics, *params, "reason"])
    for row in rows:
        values = {**row.metrics, **row.values}
        writer.writerow(
            [row.trial, row.state, row.epoch, row.epochs, row.seconds]
            + [values.get(key, "") for key in metrics]
            + [row.params.get(key, "") for key in params]
            + [row.reason]
        )
    write_atomically(folder.table, text.getvalue().encode())
    return folder.table
