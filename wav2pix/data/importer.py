"""From a folder of face crops and windows of speech to a prepared data set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from wav2pix.audio import resample, to_float32, to_int16
from wav2pix.data.findings import Findings
from wav2pix.data.folder import check_target
from wav2pix.data.format import Dataset, write_dataset
from wav2pix.data.groups import Groups
from wav2pix.data.likeness import near_faces, thumbnails
from wav2pix.data.overlaps import SharedRun, shared_runs
from wav2pix.data.pairs import Pairs
from wav2pix.data.splits import split_pairs
from wav2pix.data.youtubers import Decoded, decode_frames, find_frames, read_recordings
from wav2pix.errors import DataError

SAMPLE_RATE_HZ = 16000
Int = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Imported:
    """A finished import.

    Attributes:
        data: the data set.
        findings: number of findings by kind.
        num_dealt_together: recordings that share samples or a face with another, and so its split.
    """

    data: Dataset
    findings: Counter[str]
    num_dealt_together: int


def import_folder(
    source: Path,
    root: Path,
    *,
    image_size: int = 64,
    swap_red_blue: bool = True,
    recordings: Path | None = None,
    seed: int = 0,
    strict: bool = False,
    overwrite: bool = False,
    say: Callable[[str], None] = print,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Imported:
    """Prepare a data set from the published layout (see :mod:`wav2pix.data.youtubers`).

    The common length of the windows is that of most of them: shorter ones are skipped, longer ones cut. Times
    are nominal, since the layout has none: the publication has a face a second, so the k-th face of a recording
    is at k seconds.

    Args:
        source: the folder of identities.
        root: the folder to make.
        image_size: S, 64 or 128.
        swap_red_blue: the published pictures have these two exchanged; exchange them back.
        recordings: a table that names the recording of each frame; without it, windows that share raw samples
            are in one recording.
        seed: of the split.
        strict: stop at the first finding instead of skipping the file.
        overwrite: replace a data set that is there already.
        say: receives a line for each finding.
        progress: called with the number of decoded frames and of all.

    Raises:
        DataError: nothing usable, one identity only, ``root`` cannot be written, or a finding under ``strict``.
    """
    check_target(root, overwrite=overwrite)
    findings = Findings(say, strict=strict)
    table = read_recordings(recordings) if recordings else None
    decoded = decode_frames(find_frames(source, findings), image_size, findings, progress)
    decoded = _of_the_table(decoded, table, findings)
    decoded = _of_common_length(decoded, findings)
    identity = _check_identities(source, decoded)
    runs = _shared_runs(decoded)
    face, first = _distinct_faces(decoded)
    faces = np.stack([decoded[row].face for row in first])
    recording, names = _recordings(decoded, identity, face, runs, table)
    together = _inseparable(runs, recording, face, faces)
    pairs = Pairs(
        face=face,
        identity=np.array([item.frame.identity for item in decoded]),
        recording=np.array(names)[recording],
        time_s=_nominal_times(recording, face),
        split=split_pairs(identity, recording, seed=seed, inseparable=together),
    )
    data = write_dataset(
        root,
        speech=_speech(decoded, findings),
        faces=np.ascontiguousarray(faces[..., ::-1]) if swap_red_blue else faces,
        pairs=pairs,
        sample_rate_hz=SAMPLE_RATE_HZ,
        source={
            "kind": "imported",
            "folder": source.resolve().name,
            "image_size": image_size,
            "swap_red_blue": swap_red_blue,
            "recordings": "overlaps" if recordings is None else recordings.name,
            "seed": seed,
            "findings": dict(sorted(findings.counts.items())),
        },
        overwrite=overwrite,
    )
    return Imported(data, findings.counts, len({recording for pair in together for recording in pair}))


def _of_the_table(
    decoded: list[Decoded], table: dict[tuple[str, int], str] | None, findings: Findings
) -> list[Decoded]:
    if table is None:
        return decoded
    kept = []
    for item in decoded:
        if (item.frame.identity, item.frame.number) in table:
            kept.append(item)
        else:
            findings.skipped("not in the table", item.frame.speech, "the table of recordings has no such frame")
    return kept


def _of_common_length(decoded: list[Decoded], findings: Findings) -> list[Decoded]:
    """Those of at least the length that most windows have."""
    lengths = Counter(_num_samples(item) for item in decoded)
    if not lengths:
        raise DataError("not a single pair of a face and speech could be read: no data set was written")
    common = max(lengths, key=lambda length: (lengths[length], length))
    kept = []
    for item in decoded:
        length = _num_samples(item)
        if length < common:
            found, most = (f"{n / SAMPLE_RATE_HZ:g} s" for n in (length, common))
            findings.skipped("shorter window", item.frame.speech, f"{found} of speech where most have {most}")
        else:
            kept.append(item)
    return kept


def _num_samples(item: Decoded) -> int:
    """Length at the rate of the data set."""
    return round(len(item.speech) * SAMPLE_RATE_HZ / item.sample_rate_hz)


def _speech(decoded: list[Decoded], findings: Findings) -> npt.NDArray[np.int16]:
    """(N, T) int16 at the rate of the data set, saying what had to be changed."""
    common = min(_num_samples(item) for item in decoded)
    speech = np.zeros((len(decoded), common), np.int16)
    for row, item in enumerate(decoded):
        path, rate_hz = item.frame.speech, item.sample_rate_hz
        if item.num_channels > 1:
            findings.changed("averaged", path, f"{item.num_channels} channels", "averaged to one")
        if rate_hz != SAMPLE_RATE_HZ:
            findings.changed("resampled", path, f"{rate_hz} Hz", f"resampled to {SAMPLE_RATE_HZ} Hz")
        if _num_samples(item) > common:
            length, most = (f"{n / SAMPLE_RATE_HZ:g} s" for n in (_num_samples(item), common))
            findings.changed("cut", path, f"{length} of speech where most have {most}", f"cut to {most}")
        samples = to_int16(resample(to_float32(item.speech), rate_hz, SAMPLE_RATE_HZ))[:common]
        speech[row, : len(samples)] = samples
    return speech


def _check_identities(source: Path, decoded: list[Decoded]) -> Int:
    names, identity = np.unique([item.frame.identity for item in decoded], return_inverse=True)
    if len(names) < 2:
        raise DataError(
            f"{source}: '{names[0]}' is the only identity with usable pairs, and training needs faces "
            "of another one for its wrong pairs: add a second identity"
        )
    return identity.astype(np.int64)


def _shared_runs(decoded: list[Decoded]) -> list[SharedRun]:
    """Between windows of the same rate, as they were before any resampling."""
    runs = []
    for rate in sorted({item.sample_rate_hz for item in decoded}):
        rows = [row for row, item in enumerate(decoded) if item.sample_rate_hz == rate]
        found = shared_runs([decoded[row].speech for row in rows])
        runs += [run._replace(first=rows[run.first], second=rows[run.second]) for run in found]
    return runs


def _distinct_faces(decoded: Sequence[Decoded]) -> tuple[Int, list[int]]:
    """The number of the face of each pair, and for each face the pair that has it first."""
    known: dict[tuple[str, bytes], int] = {}
    first = []
    face = np.empty(len(decoded), np.int64)
    for row, item in enumerate(decoded):
        key = item.frame.identity, item.fingerprint
        if key not in known:
            known[key] = len(known)
            first.append(row)
        face[row] = known[key]
    return face, first


def _recordings(
    decoded: list[Decoded],
    identity: Int,
    face: Int,
    runs: list[SharedRun],
    table: dict[tuple[str, int], str] | None,
) -> tuple[Int, list[str]]:
    """The recording of each pair and the names of the recordings."""
    if table is not None:
        by_pair = [table[item.frame.identity, item.frame.number] for item in decoded]
        names, recording = np.unique(by_pair, return_inverse=True)
        return recording.astype(np.int64), names.tolist()
    groups = Groups(len(decoded))
    for run in runs:
        if identity[run.first] == identity[run.second]:
            groups.join(run.first, run.second)
    first_with: dict[int, int] = {}
    for row, number in enumerate(face.tolist()):
        groups.join(first_with.setdefault(number, row), row)
    recording = groups.labels()
    (
        _,
        first,
    ) = np.unique(recording, return_index=True)
    counts: Counter[str] = Counter()
    found = []
    for row in first.tolist():
        name = decoded[row].frame.identity
        found.append(f"{name}-{counts[name]:03d}")
        counts[name] += 1
    return recording, found


def _inseparable(
    runs: list[SharedRun], recording: Int, face: Int, faces: npt.NDArray[np.uint8]
) -> list[tuple[int, int]]:
    """Pairs of recordings that share raw samples, a face, or nearly a face."""
    found = {(int(recording[run.first]), int(recording[run.second])) for run in runs}
    with_face: dict[int, set[int]] = {}
    for number, one in zip(face.tolist(), recording.tolist(), strict=True):
        with_face.setdefault(number, set()).add(one)
    for sharing in with_face.values():
        found |= {(min(sharing), other) for other in sharing}
    for i, j, _ in near_faces(thumbnails(faces), np.arange(len(faces))):
        found.add((min(with_face[i]), min(with_face[j])))
    return sorted((one, other) for one, other in found if one != other)


def _nominal_times(recording: Int, face: Int) -> npt.NDArray[np.float64]:
    """The rank of the face of each pair among those of its recording, in seconds."""
    seen: dict[int, dict[int, int]] = {}
    times = []
    for one, number in zip(recording.tolist(), face.tolist(), strict=True):
        faces = seen.setdefault(one, {})
        times.append(float(faces.setdefault(number, len(faces))))
    return np.array(times)
