"""The Ray actor that runs trials, one after the other, in one process."""

from __future__ import annotations

import logging
import time
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any

from ray import tune

from orchestration.books import open_tracker
from orchestration.errors import SweepError, TrialFailed, TrialLost, TrialTurnedAway
from orchestration.folders import trial_name
from orchestration.lock import hold
from orchestration.losses import explain
from orchestration.session import TrialSession
from orchestration.storage import ArtifactStore, StagedStore, open_store
from orchestration.tracking.journal import Journal
from orchestration.tracking.run_log import RunLog
from orchestration.tracking.sender import Sender
from orchestration.trial_log import SILENT, trial_log
from orchestration.work import Context
from slurm.leaving import is_leaving, node_folder

# How long the trial of a killed driver, or of a node that was cut off, may take to notice.
LOCK_WAIT_S = 120.0
# Time for Ray to hear that a node takes no more trials.
LEAVING_PAUSE_S = 2.0
# What is not sent by then is left for the driver.
FLUSH_S = 5.0


class TrialActor(tune.Trainable):
    """Runs whatever trial Tune gives it; a step is an epoch.

    The session is opened in the first step and not in ``setup``, so that all that can go wrong goes the one
    way that ends in a verdict on the trial.
    """

    def setup(self, config: dict[str, Any], context: Context | None = None) -> None:
        """Called once in the life of the process."""
        assert context is not None
        logging.getLogger("ray").setLevel(logging.ERROR)
        self._context = context
        self._tracker = None if context.target.offline else open_tracker(context.target)
        self._opened = ExitStack()
        self._log = SILENT
        self._session: TrialSession | None = None
        self._take(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Another trial in the same process, which spares it the imports."""
        # What is left of a trial that is over must not end the next one.
        with suppress(Exception):
            self.cleanup()
        self._take(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """Train one epoch.

        Raises:
            TrialLost: this is no place to go on.
            TrialFailed: stands for any exception of the trial.
        """
        try:
            self._leave_if_told()
            if self._session is None:
                self._session = self._open()
            report = self._session.step()
        except TrialLost as error:
            if self._session is None:
                self._log.info("does not start: %s", error)
            else:
                self._session.close(f"leaves: {error}")
            self.cleanup()
            raise
        except Exception as error:
            if self._session is None:
                self._log.exception("failed to start")
            else:
                self._session.fail()
            self.cleanup()
            raise TrialFailed(explain(error)) from error
        return {"report": report.dump(), "done": report.is_last}

    def cleanup(self) -> None:
        """Called when the trial is stopped, by the scheduler or by the user."""
        self._session = None
        self._log = SILENT
        self._opened.close()

    def _take(self, config: dict[str, Any]) -> None:
        self._number: int = config["number"]
        self._params: dict[str, Any] = config["params"]

    def _leave_if_told(self) -> None:
        """Between epochs all is saved, so the trial can go on elsewhere and nothing is lost."""
        if not is_leaving():
            return
        if self._session is None:
            time.sleep(LEAVING_PAUSE_S)
            raise TrialTurnedAway("its node is about to end")
        raise TrialLost("its node is about to end")

    def _open(self) -> TrialSession:
        folder = self._context.folder
        self._log = self._opened.enter_context(trial_log(folder.trial_log(self._number)))
        lock = folder.trial_lock(self._number)
        # The worker of a killed driver may still be in its last epoch of this very trial.
        try:
            self._opened.enter_context(hold(lock, f"trial {trial_name(self._number)}", LOCK_WAIT_S))
        except SweepError as error:
            raise TrialLost(str(error)) from None
        store = self._open_store()
        run = self._open_run()
        # The lock is held until what was logged is sent, or left for the driver to send.
        self._opened.callback(run.close, FLUSH_S)
        if self._context.work.spec.tracking.system_metrics:
            from orchestration.tracking.system import SystemSampler  # noqa: PLC0415 - imports mlflow

            self._opened.callback(SystemSampler(run.log_system).close)
        session = TrialSession(
            self._context.work, self._number, self._params, store, run, self._scratch(), self._log
        )
        self._opened.callback(session.close)
        return session

    def _open_store(self) -> ArtifactStore:
        target = self._context.target
        # Offline, what is kept stays in the sweep's folder too.
        artifacts = None if target.offline else self._context.work.spec.artifacts
        store = open_store(self._context.folder, artifacts, target.sweep_id, background=True, log=self._log)
        if isinstance(store, StagedStore):
            self._opened.callback(store.close, FLUSH_S)
        return store

    def _open_run(self) -> RunLog:
        journal = Journal(self._context.folder.trial_journal(self._number))
        tracker = self._tracker
        return RunLog(journal, Sender(journal, partial(tracker.open, self._number)) if tracker else None)

    def _scratch(self) -> Path | None:
        """A folder on this node's own disk that somebody removes in the end, if there is one."""
        folder = node_folder() or self._context.scratch
        return folder if folder.is_dir() else None
