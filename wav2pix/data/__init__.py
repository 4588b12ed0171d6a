"""Prepared data sets: made from files or synthesised, split by recording, checked, and mapped."""

from wav2pix.data.format import Dataset, open_dataset, write_dataset
from wav2pix.data.pairs import SPLITS, Pairs, Split

__all__ = ["SPLITS", "Dataset", "Pairs", "Split", "open_dataset", "write_dataset"]
