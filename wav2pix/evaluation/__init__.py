"""Measures of generated faces, each beside the ceiling, the chance or the baseline that gives it meaning.

This module holds what a measurement comes to; ``wav2pix.evaluation.evaluate.evaluate`` makes one.
Importing it takes no torch.
"""

from wav2pix.evaluation.names import DESCRIPTIONS, Description, measure_names
from wav2pix.evaluation.result import Cases, Cosines, Evaluation, Measure, Speakers

__all__ = [
    "DESCRIPTIONS",
    "Cases",
    "Cosines",
    "Description",
    "Evaluation",
    "Measure",
    "Speakers",
    "measure_names",
]
