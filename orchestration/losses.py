"""Failure or loss: whether a trial did something wrong, or its place was taken from it.

An exception in a trial is a failure, and so is a process that dies while its node lives on: a segmentation
fault, or the kernel that was out of memory. A node that is gone, or is about to go, is a loss. When a process
dies it takes Ray a while to notice that its node did too, so the verdict on a silent death has to wait.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import ray
from ray._private import state
from ray.core.generated import common_pb2
from ray.exceptions import OutOfMemoryError, RayActorError, RayError, RayTaskError

from orchestration.errors import OrchestrationError, TrialLost, TrialTurnedAway
from wav2pix.errors import Wav2PixError

KILLED = "its process was killed, or ran out of memory"
Fate = Literal["lost", "died", "unreachable"]
_NODE_DIED = common_pb2.ActorDiedErrorContext.NODE_DIED  # type: ignore[attr-defined]  # ray has it generated


@dataclass(frozen=True)
class Failure:
    """The trial's own doing."""

    reason: str


@dataclass(frozen=True)
class Loss:
    """Not the trial's doing. One that does not count says nothing at all about the trial."""

    reason: str
    counts: bool = True


@dataclass(frozen=True)
class Silence:
    """The trial's process is gone without a word; its actor's id, as far as it is known."""

    actor_id: str | None


class ActorEnded(RayActorError):
    """Stands for whatever else Ray raises about an actor that it ended or could not start.

    Attributes:
        cause: what Ray raised.
    """

    def __init__(self, cause: Exception) -> None:
        super().__init__(error_msg=str(cause))
        self.cause = cause


def classify(error: BaseException) -> Failure | Loss | Silence:  # noqa: PLR0911 - a table
    """What an exception of Tune's trial says, without looking at any node."""
    match error:
        case ActorEnded():
            return classify(error.cause)
        case RayTaskError():
            return _raised_in_trial(error)
        case RayActorError() if error.actor_init_failed:
            return Failure(_last_line(error))
        case RayActorError() if error.preempted:
            return Loss("its node was preempted")
        case RayActorError():
            return Silence(error.actor_id)
        case OutOfMemoryError():
            return Failure("Ray ended its process, because its node was nearly out of memory")
        case RayError():
            # It could not start: the place set apart for it is gone, or the node cannot start processes.
            return Loss(f"{type(error).__name__}: {str(error).strip().splitlines()[0]}")
        case _:
            return Failure(explain(error))


def _raised_in_trial(error: RayTaskError) -> Failure | Loss | Silence:
    cause = error.cause
    match cause:
        case TrialTurnedAway():
            return Loss(str(cause), counts=False)
        case TrialLost():
            return Loss(str(cause))
        case RayError() if type(cause) is not RayError:
            return classify(cause)
        case BaseException():
            return Failure(explain(cause))
        case _:
            return Failure(_last_line(error))


def explain(error: BaseException) -> str:
    """An exception in a line or more: one of ours says all in its message."""
    known = isinstance(error, Wav2PixError | OrchestrationError)
    return str(error) if known else f"{type(error).__name__}: {error}"


def _last_line(error: BaseException) -> str:
    """Kind and message of the innermost exception of a traceback in text."""
    text = str(error).strip()
    told = re.findall(r"^(?:\w+\.)*([A-Z]\w*: .+)$", text, re.MULTILINE)
    return str(told[-1]) if told else text.splitlines()[-1]


class OneMachine:
    """Its only node is the driver's own, which lives."""

    grace_s = 0.0

    def fate(self, actor_id: str | None) -> Fate:
        """What became of an actor that does not answer."""
        del actor_id
        return "died"


class Nodes:
    """The nodes of a Ray cluster that come and go.

    Attributes:
        grace_s: how long a node may take to be found dead after a process on it died.
    """

    # Ray finds a node dead after five failed checks, three seconds apart.
    grace_s = 30.0

    def fate(self, actor_id: str | None) -> Fate:
        """What became of an actor that does not answer: its node went, it died alone, or neither is known."""
        actor = state.actors(actor_id) if actor_id else {}
        if not actor:
            return "unreachable"
        death = actor["DeathCause"].actor_died_error_context
        if death.reason == _NODE_DIED:
            return "lost"
        living = {node["NodeID"] for node in ray.nodes() if node["Alive"]}
        draining = state.state.get_draining_nodes()
        if actor["Address"]["NodeID"] not in living - set(draining):
            return "lost"
        return "died" if actor["State"] == "DEAD" else "unreachable"


@dataclass(frozen=True)
class Waiting:
    """A silence that is still to be explained, and until when."""

    actor_id: str | None
    deadline: float


class Judge:
    """Gives verdicts, at once or as soon as it is known what became of a trial's node.

    Args:
        nodes: where the trials run.
        clock: seconds.
    """

    def __init__(self, nodes: Nodes | OneMachine, clock: Callable[[], float]) -> None:
        self._nodes = nodes
        self._clock = clock

    def hear(self, error: BaseException, actor_id: str | None) -> Failure | Loss | Waiting:
        """The verdict on an exception of a trial.

        Args:
            error: what Ray raised.
            actor_id: the trial's actor, if it had started.
        """
        found = classify(error)
        if not isinstance(found, Silence):
            return found
        return self.look(Waiting(found.actor_id or actor_id, self._clock() + self._nodes.grace_s))

    def look(self, case: Waiting) -> Failure | Loss | Waiting:
        """The verdict on a silence, or that it has to wait on."""
        fate = self._nodes.fate(case.actor_id)
        if fate == "lost":
            return Loss("its node is gone")
        if self._clock() < case.deadline:
            return case
        return Failure(KILLED) if fate == "died" else Loss("its node does not answer")
