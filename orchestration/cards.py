"""The card of an exported model: what it is, what it is worth, and where it comes from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def card(facts: Mapping[str, Any], model: str) -> str:
    """In Markdown.

    Args:
        facts: what ``export.json`` holds.
        model: what ``--model`` takes.
    """
    metrics = facts["metrics"]
    beside = [
        ("identity_accuracy", "identity_accuracy_ceiling", "of real faces"),
        ("identity_accuracy_shuffled", "identity_accuracy_chance", "by chance"),
        ("l1", "l1_mean_face", "of the mean face of the identity, the baseline"),
    ]
    rows = [
        f"| {name} | {metrics[name]:.4f} | {metrics[other]:.4f} {what} |"
        for name, other, what in beside
        if name in metrics and other in metrics
    ]
    if "kid" in metrics:
        rows.append(f"| kid | {metrics['kid']:.4f} | 0, as real faces |")
    rows += [
        f"| {name} | {metrics[name]:.4f} | 1, as real faces |"
        for name in ("sharpness", "diversity")
        if name in metrics
    ]
    settings = [f"| `{key}` | {value} |" for key, value in facts["settings"].items()]
    return _CARD.format(
        **facts,
        model=model,
        measures="\n".join(["| measure | this model | beside |", "|---|---|---|", *rows]),
        table="\n".join(["| setting | value |", "|---|---|", *settings]),
    )


_CARD = """\
# Wav2Pix: trial {trial} of the sweep {sweep}

Draws a speaker's face from speech. Epoch {epoch} of a training of preset `{preset}`, chosen because {why}.

    wav2pix generate --model {model} speech.wav --out face.png

Measured on held-out recordings of the same speakers:

{measures}

It knows the speakers that it was trained on (`model.json` names them). Of anybody else's voice it draws a
face that tells nothing about that person. `pictures.png` has real faces above generated ones.

{table}

- data: {data}, SHA-256 {data_hash}
- code: {code}
- files: `model.safetensors` (weights), `model.json` (configuration, identities), `export.json` (this card)
"""
