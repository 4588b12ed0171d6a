"""The Ray actor that runs trials, one after the other, in one process."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from typing import Any

from ray import tune

from orchestration.folders import trial_name
from orchestration.lock import hold
from orchestration.session import Context, TrialSession, write_failure
from orchestration.storage import FolderStore

# How long the trial of a killed driver may take to notice.
LOCK_WAIT_S = 60.0
# How long the driver may take to open the run of the sweep, which it does while trials start.
TRACKING_WAIT_S = 180.0


class TrialActor(tune.Trainable):
    """Runs whatever trial Tune gives it; a step is an epoch.

    The session is opened in the first step and not in ``setup``, so that all that can go wrong goes the one
    way that Tune counts as a failure of the trial.
    """

    def setup(self, config: dict[str, Any], context: Context | None = None) -> None:
        """Called once in the life of the process."""
        from orchestration.tracking import MlflowTracker  # noqa: PLC0415 - takes seconds to import

        assert context is not None
        logging.getLogger("ray").setLevel(logging.ERROR)
        self._context = context
        self._store = FolderStore(context.folder.root)
        self._tracker = MlflowTracker(context.target, TRACKING_WAIT_S)
        self._opened = ExitStack()
        self._session: TrialSession | None = None
        self._take(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Another trial in the same process, which spares it the imports."""
        self.cleanup()
        self._take(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """Train one epoch."""
        try:
            if self._session is None:
                self._session = self._open()
            report = self._session.step()
        except Exception as error:
            write_failure(self._store, self._number, error)
            if self._session is not None:
                self._session.keep_error()
            self.cleanup()
            raise
        return {"report": report.dump(), "done": report.is_last}

    def cleanup(self) -> None:
        """Called when the trial is stopped, by the scheduler or by the user."""
        self._session = None
        self._opened.close()

    def _take(self, config: dict[str, Any]) -> None:
        self._number: int = config["number"]
        self._params: dict[str, Any] = config["params"]

    def _open(self) -> TrialSession:
        lock = self._context.folder.trial_lock(self._number)
        # The worker of a killed driver may still be in its last epoch of this very trial.
        self._opened.enter_context(hold(lock, f"trial {trial_name(self._number)}", LOCK_WAIT_S))
        session = TrialSession(
            self._context.work, self._number, self._params, self._store, self._tracker, self._context.scratch
        )
        self._opened.callback(session.close)
        return session
