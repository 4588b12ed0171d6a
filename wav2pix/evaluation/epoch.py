"""What a run reports of its model after an epoch."""

from __future__ import annotations

from wav2pix.data import Dataset
from wav2pix.evaluation.evaluate import evaluate
from wav2pix.evaluation.interfaces import Embedder, FaceFinder
from wav2pix.evaluation.names import measure_names
from wav2pix.models import Wav2Pix


def measure_epoch(model: Wav2Pix, data: Dataset, embedder: Embedder) -> tuple[dict[str, float], float]:
    """A quick look at the validation split: no intervals, and of the measures those that the settings name.

    Returns:
        The measures by name, those of :func:`wav2pix.evaluation.measure_names` but for what the split is
        too small for, and the spread of the pictures (see :class:`wav2pix.evaluation.Evaluation`).

    Raises:
        DataError: as :func:`wav2pix.evaluation.evaluate.evaluate`.
    """
    config = model.config.evaluation
    report = evaluate(
        model,
        data,
        "validation",
        embedder,
        max_pairs=config.max_pairs,
        lengths=config.lengths,
        num_bootstrap=0,
        detector=_detector() if "detection_rate" in config.costly else None,
        fid="fid" in config.costly,
    )
    values = report.metrics()
    return {name: values[name] for name in measure_names(config) if name in values}, report.spread


def _detector() -> FaceFinder:
    # OpenCV is imported only where a run asks for this measure.
    from wav2pix.evaluation.detection import HaarDetector  # noqa: PLC0415

    return HaarDetector()
