"""Optuna's own plots of a study, as pictures for the run of the sweep."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.trial import TrialState

# Fewer finished trials tell nothing.
MIN_TRIALS = 4


def write_plots(study: optuna.Study, folder: Path) -> list[Path]:
    """Draw what there is to see of a study; none of a young one.

    Args:
        study: with one objective or several.
        folder: for the pictures (PNG), which is there.
    """
    if len(study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))) < MIN_TRIALS:
        return []
    mpl.use("Agg")
    from matplotlib import pyplot  # noqa: PLC0415 - after its backend

    written = []
    for name, plot in _plots(study).items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            warnings.simplefilter("ignore", UserWarning)
            try:
                plot()
            except (RuntimeError, ValueError):
                # Such as the importance of settings that all trials share, or that few of them have.
                pyplot.close("all")
                continue
        path = folder / f"{name}.png"
        pyplot.savefig(path, dpi=110, bbox_inches="tight")
        pyplot.close("all")
        written.append(path)
    return written


def _plots(study: optuna.Study) -> dict[str, Callable[[], Any]]:
    drawn = optuna.visualization.matplotlib
    if len(study.directions) > 1:
        return {"pareto_front": lambda: drawn.plot_pareto_front(study)}
    importance = optuna.importance.PedAnovaImportanceEvaluator()
    return {
        "history": lambda: drawn.plot_optimization_history(study),
        "importances": lambda: drawn.plot_param_importances(study, evaluator=importance),
        "parallel_coordinates": lambda: drawn.plot_parallel_coordinate(study),
        "slices": lambda: drawn.plot_slice(study),
    }
