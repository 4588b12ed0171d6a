"""Variables that jobs read from a private file, and that no scheduler is told."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import psutil
import pytest

from orchestration import submission
from orchestration.clusters import load_profile
from orchestration.credentials import give_to_jobs, service_variables
from orchestration.folders import SweepFolder
from slurm import controller
from slurm.controller import autoscaling_config
from slurm.errors import SlurmError
from slurm.handover import forget, hand_over, take_over
from slurm.local_record import load_record
from slurm.private import write_private
from tests.slurm import bodies
from tests.slurm.stand_ins import StandIns, make

pytest.register_assert_rewrite("tests.slurm.job_suite")
from tests.slurm.job_suite import Place, wait_for, wait_until  # noqa: E402

SECRET = "a-token-that-nobody-may-see"  # noqa: S105
SECRETS = {
    "AWS_SECRET_ACCESS_KEY": SECRET,
    "MLFLOW_TRACKING_PASSWORD": SECRET,
    "HF_TOKEN": SECRET,
    "HTTPS_PROXY": f"http://me:{SECRET}@proxy:3128",
}
OPEN = {"MLFLOW_TRACKING_URI": "http://tracking:5000", "AWS_ENDPOINT_URL": "http://store:8085"}


@pytest.fixture(autouse=True)
def environment() -> Iterator[None]:
    """That of this process, put back after a test that was a job."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    for name, value in (SECRETS | OPEN).items():
        monkeypatch.setenv(name, value)
    return SECRETS | OPEN


def test_what_services_and_secrets_need_is_handed_over_and_nothing_else(
    given: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (
        ("SSL_CERT_FILE", "/etc/ca.pem"),
        ("WAV2PIX_ARTIFACTS", "s3://bucket/sweeps"),
        ("SLURM_JWT", SECRET),
        ("RAY_AUTH_TOKEN", SECRET),
        ("LANG", "C.UTF-8"),
        ("HTTP_PROXY", "http://proxy:3128"),
        ("no_token_here_count", "3"),
    ):
        monkeypatch.setenv(name, value)
    found = service_variables()
    assert given.items() <= found.items()
    assert {"SSL_CERT_FILE", "WAV2PIX_ARTIFACTS"} <= found.keys()
    assert not {"SLURM_JWT", "RAY_AUTH_TOKEN", "LANG", "HTTP_PROXY", "PATH", "PWD"} & found.keys()


def test_a_job_sets_what_was_handed_over_unless_the_profile_says_otherwise(
    tmp_path: Path, given: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, cluster, folder = make(tmp_path, environment={"AWS_ENDPOINT_URL": "http://inside:1", "OWN_TOKEN": "own"})
    give_to_jobs(folder)
    assert stat.S_IMODE(folder.variables.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.root.stat().st_mode) == 0o700
    for name in given:
        monkeypatch.delenv(name)
    # As the job's script has set it, and as another shell had set it.
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://inside:1")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://old:1")
    monkeypatch.delenv("OWN_TOKEN", raising=False)
    take_over(cluster, folder)
    found = service_variables()
    assert (SECRETS | {"MLFLOW_TRACKING_URI": OPEN["MLFLOW_TRACKING_URI"]}).items() <= found.items()
    assert found["AWS_ENDPOINT_URL"] == "http://inside:1"
    assert {"OWN_TOKEN": "own"}.items() <= found.items()


def test_the_next_submission_hands_over_its_own_variables_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, cluster, folder = make(tmp_path)
    for name in SECRETS:
        monkeypatch.delenv(name, raising=False)
    hand_over(folder, {"AWS_SECRET_ACCESS_KEY": "old", "HF_TOKEN": "old"})
    hand_over(folder, {"AWS_SECRET_ACCESS_KEY": "new"})
    take_over(cluster, folder)
    assert {"AWS_SECRET_ACCESS_KEY": "new"}.items() <= service_variables().items()
    assert "HF_TOKEN" not in service_variables()
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    forget(folder)
    forget(folder)
    take_over(cluster, folder)
    assert "AWS_SECRET_ACCESS_KEY" not in service_variables()


@pytest.mark.parametrize("content", [f'{{"HF_TOKEN": "{SECRET}"', f'{{"HF_TOKEN": ["{SECRET}"]}}'])
def test_a_damaged_file_is_named_and_its_content_is_not_shown(tmp_path: Path, content: str) -> None:
    _, cluster, folder = make(tmp_path)
    folder.variables.write_text(content)
    with pytest.raises(SlurmError, match=r"variables\.json: is damaged; submit the sweep again") as raised:
        take_over(cluster, folder)
    assert SECRET not in str(raised.value)
    assert raised.value.__suppress_context__


def test_sbatch_its_scripts_and_pickles_and_the_autoscaler_get_no_secret(
    tmp_path: Path, commands: StandIns, given: dict[str, str]
) -> None:
    jobs, cluster, folder = make(tmp_path, environment={"OWN_TOKEN": SECRET, "GREETING": "hello"})
    give_to_jobs(folder)
    jobs.submit("controller", partial(bodies.write, folder.root))
    jobs.submit("worker", partial(bodies.write, folder.root), count=2)
    jobs.list()
    for name in ("sbatch", "squeue"):
        own = commands.environment(name)
        assert SECRET not in " ".join(own.values())
        assert own["MLFLOW_TRACKING_URI"] == given["MLFLOW_TRACKING_URI"]
        assert SECRET not in "".join(commands.calls(name))
    written = list(folder.jobs.iterdir())
    assert len(written) == 6
    assert not any(SECRET.encode() in path.read_bytes() for path in written)
    assert any(b"export GREETING=hello" in path.read_bytes() for path in written)
    assert SECRET not in repr(autoscaling_config(cluster, folder))


def test_a_local_job_starts_without_secrets_and_has_them_once_it_has_read_the_file(
    tmp_path: Path, given: dict[str, str]
) -> None:
    place = Place(tmp_path, load_profile("local"))
    jobs, folder = place.jobs(), place.folder()
    give_to_jobs(folder)
    out = tmp_path / "environment"
    (id,) = jobs.submit("worker", partial(bodies.tell_what_it_took_over, folder.root, out))
    wait_until(out.exists)
    record = load_record(folder.jobs, id)
    assert record is not None
    assert record.keeper is not None
    keeper = psutil.Process(record.keeper)
    for process in (keeper, *keeper.children(recursive=True)):
        assert SECRET not in " ".join(process.environ().values())
        assert SECRET not in " ".join(process.cmdline())
    assert given.items() <= dict(line.split("=", 1) for line in out.read_text().splitlines()).items()
    jobs.cancel([id])
    wait_for(jobs, id, "ended")
    written = [path for path in folder.jobs.rglob("*") if path.is_file()]
    assert written
    assert not any(SECRET.encode() in path.read_bytes() for path in written)


def test_a_sweep_that_was_cancelled_keeps_no_variables(tmp_path: Path) -> None:
    place = Place(tmp_path, load_profile("local"))
    place.cluster()
    hand_over(place.folder(), SECRETS)
    assert submission.cancel(SweepFolder(tmp_path / "sweep")) == []
    assert not place.folder().variables.exists()


@pytest.mark.slow
def test_a_task_on_a_worker_has_the_secrets_and_no_command_line_log_or_file_of_ray_does(
    tmp_path: Path, given: dict[str, str]
) -> None:
    # Short enough for the names of Ray's sockets.
    with tempfile.TemporaryDirectory(prefix="w", dir="/tmp", ignore_cleanup_errors=True) as scratch:
        profile = load_profile("local").model_copy(update={"scratch": Path(scratch)})
        place, out = Place(tmp_path, profile), tmp_path / "environment"
        jobs, folder = place.jobs(), place.folder()
        write_private(folder.token, SECRET[::-1].encode() * 3)
        give_to_jobs(folder)
        work = partial(bodies.ask_a_worker, folder.root, out)
        (id,) = jobs.submit("controller", partial(controller.run, folder.root, work))
        try:
            wait_until(lambda: out.exists() or jobs.list()[0].state == "ended", 120)
            found = dict(line.split("=", 1) for line in out.read_text().splitlines() if "=" in line)
            assert given.items() <= found.items()
            own = [process for process in psutil.process_iter() if scratch in " ".join(_words(process))]
            assert {"raylet", "gcs_server"} <= {process.name() for process in own}
            assert not any(SECRET in word for process in psutil.process_iter() for word in _words(process))
            written = [path for root in (tmp_path, Path(scratch)) for path in root.rglob("*") if path.is_file()]
            told = {path for path in written if SECRET.encode() in path.read_bytes()}
            assert told == {folder.variables, out}
            assert sum("session_" in str(path) for path in written) > 20
            out.with_suffix(".done").touch()
            assert wait_for(jobs, id, "ended").ending == "completed"
            assert not folder.variables.exists(), "nobody needs it any more"
        finally:
            for job in jobs.list():
                jobs.cancel([job.id])
            for job in jobs.list():
                wait_for(jobs, job.id, "ended")


def _words(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []
