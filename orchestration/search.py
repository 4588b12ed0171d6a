"""The searcher that Tune asks for trials: a thin door to the study."""

from __future__ import annotations

from typing import Any

from ray.tune.search import Searcher

from orchestration.ledger import Ledger


class StudySearcher(Searcher):
    """Hands out the study's trials and tells it how they end.

    Tune's own snapshots of a searcher are empty: a driver that starts again finds everything in the study.
    """

    def __init__(self, ledger: Ledger, num_trials: int) -> None:
        super().__init__()
        self._ledger = ledger
        self._num_left = num_trials

    def suggest(self, trial_id: str) -> Any:
        """The configuration of the next trial, or the word that there is none."""
        if self._num_left <= 0:
            return Searcher.FINISHED
        self._num_left -= 1
        assignment = self._ledger.start(trial_id)
        return {"number": assignment.number, "params": assignment.params}

    def on_trial_complete(
        self,
        trial_id: str,
        result: dict[str, Any] | None = None,
        error: bool = False,
    ) -> None:
        """The trial has ended: by itself, pruned, or for good by a failure."""
        if error:
            self._ledger.give_up(trial_id)
        elif result and "report" in result:
            self._ledger.end(trial_id, result["report"])

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore."""

    def save_to_dir(self, checkpoint_dir: str, session_str: str = "default") -> None:
        """Nothing to save."""
