"""What ended a trial: its own doing, which counts, or a node that went, which does not."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from ray.exceptions import (
    ActorDiedError,
    ActorPlacementGroupRemoved,
    ActorUnavailableError,
    ActorUnschedulableError,
    NodeDiedError,
    OutOfMemoryError,
    RayActorError,
    RaySystemError,
    RayTaskError,
)
from watching import Latest

from orchestration.errors import SweepError, TrialFailed, TrialLost, TrialTurnedAway
from orchestration.ledger import MAX_LOSSES_WITHOUT_PROGRESS, Ledger
from orchestration.losses import (
    KILLED,
    ActorEnded,
    Failure,
    Fate,
    Judge,
    Loss,
    Nodes,
    OneMachine,
    Silence,
    Waiting,
    classify,
    explain,
)
from orchestration.records import Progress, Report
from orchestration.snapshot import SnapshotKeeper
from orchestration.spec import SweepSpec
from orchestration.study import Study
from wav2pix.errors import TrainingDiverged

ACTOR = "75a586ab77a2c001cdb6f5a801000000"


def raised(cause: Exception) -> RayTaskError:
    """As Ray hands an exception of a trial to the driver."""
    error = RayTaskError("step", f"Traceback\n{type(cause).__name__}: {cause}", cause)
    back = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert isinstance(back, RayTaskError)
    return back


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (raised(TrialFailed("ValueError: the disk is full")), Failure("ValueError: the disk is full")),
        (raised(ValueError("before the first step")), Failure("ValueError: before the first step")),
        (raised(SweepError("one of ours")), Failure("one of ours")),
        (raised(TrialLost("its node is about to end")), Loss("its node is about to end")),
        (raised(TrialTurnedAway("its node is about to end")), Loss("its node is about to end", counts=False)),
        (raised(NodeDiedError("gone")), Loss("NodeDiedError: gone")),
        (ActorDiedError(raised(ImportError("no torch"))), Failure("ImportError: no torch")),
        (
            ActorDiedError(raised(LookupError("no table\n(Background on this error at: https://sqlalche.me)"))),
            Failure("LookupError: no table"),
        ),
        (ActorDiedError(), Silence(None)),
        (ActorUnavailableError("no answer", bytes.fromhex(ACTOR)), Silence(ACTOR)),
        (RayActorError(preempted=True), Loss("its node was preempted")),
        (
            ActorEnded(OutOfMemoryError("95 % used")),
            Failure("Ray ended its process, because its node was nearly out of memory"),
        ),
        (ActorEnded(ActorUnschedulableError("no such node")), Loss("ActorUnschedulableError: no such node")),
        (ActorEnded(ActorPlacementGroupRemoved()), Loss("ActorPlacementGroupRemoved: ")),
        (RaySystemError("no worker"), Loss("RaySystemError: no worker")),
        (RuntimeError("Tune's own"), Failure("RuntimeError: Tune's own")),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_exception_says_whether_the_trial_did_it(error: Exception, verdict: object) -> None:
    found = classify(error)
    if isinstance(verdict, Loss) and isinstance(found, Loss):
        assert found.reason.startswith(verdict.reason.split(":")[0])
        assert found.counts == verdict.counts
    else:
        assert found == verdict


class OneNode(Nodes):
    """A node of which the test says what became of it."""

    def __init__(self, fate: Fate) -> None:
        self.now = fate

    def fate(self, actor_id: str | None) -> Fate:
        assert actor_id == ACTOR
        return self.now


class Clock:
    """Time as the test has it."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def silent(nodes: OneNode, clock: Clock) -> tuple[Judge, Waiting]:
    judge = Judge(nodes, clock)
    case = judge.hear(ActorDiedError(), ACTOR)
    assert isinstance(case, Waiting)
    return judge, case


def test_a_silent_death_waits_for_what_becomes_of_its_node() -> None:
    nodes, clock = OneNode("died"), Clock()
    judge, case = silent(nodes, clock)
    clock.now += Nodes.grace_s - 1
    assert judge.look(case) == case
    nodes.now = "lost"
    assert judge.look(case) == Loss("its node is gone")


def test_a_process_that_died_alone_has_failed() -> None:
    nodes, clock = OneNode("died"), Clock()
    judge, case = silent(nodes, clock)
    clock.now += Nodes.grace_s
    assert judge.look(case) == Failure(KILLED)


def test_a_process_that_nobody_can_reach_is_no_failure() -> None:
    nodes, clock = OneNode("unreachable"), Clock()
    judge, case = silent(nodes, clock)
    clock.now += Nodes.grace_s
    assert judge.look(case) == Loss("its node does not answer")


def test_on_one_machine_there_is_nothing_to_wait_for() -> None:
    assert Judge(OneMachine(), Clock()).hear(ActorDiedError(), ACTOR) == Failure(KILLED)


def test_an_exception_is_told_with_its_kind_unless_it_is_ours() -> None:
    assert explain(MemoryError("no room")) == "MemoryError: no room"
    diverged = TrainingDiverged(3, "loss_l1", "not finite")
    assert explain(diverged) == "training diverged in epoch 3: loss_l1: not finite"


SPEC = SweepSpec.model_validate(
    {
        "name": "s",
        "data": "data",
        "preset": "small",
        "search": {"batch_size": {"type": "integer", "low": 2, "high": 64}},
        "objective": {"metric": "l1", "direction": "minimize"},
        "trials": 3,
        "epochs": 9,
        "max_failures": 2,
    }
)


class NoBooks:
    """Runs that nobody keeps."""

    def check(self) -> None:
        """Nothing is wrong."""

    def settle(self, number: int, outcome: str, reason: str) -> None:
        """Nobody is told."""


def open_ledger(tmp_path: Path) -> tuple[Ledger, Study]:
    study = Study(SPEC, f"sqlite:///{tmp_path / 'study.db'}")
    study.start()
    keeper = SnapshotKeeper(tmp_path / "trials.json", lambda: (study.records(), study.num_left))
    return Ledger(study, NoBooks(), Latest(), keeper, SPEC.max_failures), study


def test_failures_are_counted_across_drivers(tmp_path: Path) -> None:
    first, _ = open_ledger(tmp_path)
    first.start("a")
    assert first.failed("a", "one")
    assert first.failed("a", "two")
    second, study = open_ledger(tmp_path)
    assert second.start("b").number == 0
    assert not second.failed("b", "three")
    second.give_up("b")
    assert study.record(0).state == "failed"
    assert study.record(0).reason == "three"
    assert study.record(0).failures == ("one", "two", "three")


def test_losses_are_no_failures_as_long_as_epochs_are_finished_in_between(tmp_path: Path) -> None:
    ledger, study = open_ledger(tmp_path)
    ledger.start("a")
    for epoch in range(1, 9):
        ledger.report("a", Report(Progress(epoch, epoch, (0.1,)), {epoch: 0.1}).dump())
        assert ledger.lost("a", "its node is gone")
        assert ledger.lost("a", "its node is gone")
    assert (study.record(0).losses, study.record(0).failures) == (16, ())


def test_a_trial_that_only_ever_loses_its_nodes_has_failed(tmp_path: Path) -> None:
    ledger, study = open_ledger(tmp_path)
    ledger.start("a")
    for _ in range(MAX_LOSSES_WITHOUT_PROGRESS - 1):
        assert ledger.lost("a", "its node is gone")
    assert not ledger.lost("a", "its node is gone")
    ledger.give_up("a")
    expected = "lost 5 times in a row before it finished an epoch, which may be its own doing: its node is gone"
    assert (study.record(0).state, study.record(0).reason) == ("failed", expected)
