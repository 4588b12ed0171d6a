"""Pictures of an evaluation: cases by score, some of each identity, and the way from one voice to another."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import torch

from wav2pix.batches import centre_windows, tensor_to_faces
from wav2pix.data import Dataset
from wav2pix.evaluation import Cases
from wav2pix.html import Html, cards, figure, joined, picture, subheading
from wav2pix.models import Wav2Pix
from wav2pix.pictures import Faces, grid

# What cases are sorted by.
SCORE = "cosine_to_real"
NUM_CASES = 8
NUM_OF_RECORDING = 2
NUM_COLUMNS = 8
NUM_STEPS = 8
NUM_VOICES = 4
MAX_IDENTITIES = 12


def extremes(cases: Cases, data: Dataset) -> Html:
    """The pairs that came out best and worst by likeness: real face left, generated right."""
    upwards = np.argsort(cases.scores[SCORE], kind="stable")
    parts = []
    for title, order in (("Best cases", upwards[::-1]), ("Worst cases", upwards)):
        chosen = _different(order, cases, data)[:NUM_CASES]
        parts += [subheading(title), cards(_case(cases, data, place) for place in chosen)]
    return joined(parts)


def by_identity(cases: Cases, data: Dataset) -> Html:
    """Pairs drawn at random for each identity: real faces above, generated ones below."""
    rng = np.random.default_rng(0)
    parts = []
    for one in np.unique(cases.identity)[:MAX_IDENTITIES]:
        places = np.flatnonzero(cases.identity == one)
        places = np.sort(rng.permutation(places)[:NUM_COLUMNS])
        faces = np.concatenate([cases.real[places], cases.generated[places]])
        name = data.identities[one]
        mosaic = picture(grid(faces, len(places)), f"faces of {name}, real above generated")
        parts.append(figure(mosaic, f"{name}: real above, generated below"))
    return joined(parts)


def between_voices(model: Wav2Pix, cases: Cases, data: Dataset) -> Html:
    """Faces along the way from the voice of one identity to that of the next."""
    # Of each identity the moment that was drawn best.
    chosen = [
        cases.rows[places[np.argmax(cases.scores[SCORE][places])]]
        for one in np.unique(cases.identity)[:NUM_VOICES]
        for places in [np.flatnonzero(cases.identity == one)]
    ]
    parts = []
    for start, end in pairwise(chosen):
        names = tuple(data.identities[data.identity[row]] for row in (start, end))
        faces = interpolate(model, data, int(start), int(end), NUM_STEPS)
        mosaic = picture(grid(faces, NUM_STEPS), f"faces from the voice of {names[0]} to that of {names[1]}")
        parts.append(figure(mosaic, f"from the voice of {names[0]} to that of {names[1]}"))
    return joined(parts)


@torch.no_grad()
def interpolate(model: Wav2Pix, data: Dataset, start: int, end: int, steps: int) -> Faces:
    """(steps, S, S, 3) faces along the straight way between the speech embeddings of two pairs.

    The length of the embedding goes evenly from one's to the other's, since an encoder may give all the
    same length and the generator then knows no other.
    """
    was_training = model.training
    model.eval()
    device = next(model.parameters()).device
    speech = centre_windows(data, np.array([start, end]), model.window_samples)
    ends = model.embed(torch.from_numpy(np.array(speech)).to(device))
    share = torch.linspace(0, 1, steps, device=device)[:, None]
    way = ends[:1].lerp(ends[1:], share)
    lengths = ends.norm(dim=1, keepdim=True)
    way = way / way.norm(dim=1, keepdim=True).clamp_min(1e-12) * lengths[:1].lerp(lengths[1:], share)
    faces = tensor_to_faces(model.generator(way).float().cpu())
    model.train(was_training)
    return faces


def _different(order: npt.NDArray[np.int64], cases: Cases, data: Dataset) -> list[int]:
    """Places in order, each real face once and few of a recording, whose moments are nearly the same case."""
    faces: set[int] = set()
    recordings: Counter[int] = Counter()
    chosen = []
    for place in order.tolist():
        face, recording = int(data.face[cases.rows[place]]), int(cases.recording[place])
        if face not in faces and recordings[recording] < NUM_OF_RECORDING:
            chosen.append(place)
            faces.add(face)
            recordings[recording] += 1
    return chosen


def _case(cases: Cases, data: Dataset, place: int) -> Html:
    row = cases.rows[place]
    pair: npt.NDArray[np.uint8] = np.stack([cases.real[place], cases.generated[place]])
    name, recording = data.identities[cases.identity[place]], data.recordings[cases.recording[place]]
    where = recording if name in recording else f"{name}, {recording}"
    image = picture(grid(pair, 2), f"{name}: real face left, generated right")
    return figure(image, f"{cases.scores[SCORE][place]:.3f}  {where} at {data.time_s[row]:.1f} s")
