"""The batch scripts of jobs, and their submission to a stand-in for sbatch."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import pytest

from slurm.errors import NoAnswer, SchedulerError
from slurm.profile import Container, ControllerShape
from tests.slurm import bodies
from tests.slurm.stand_ins import StandIns, make

SECRET = "a-token-that-nobody-may-see"  # noqa: S105


def test_the_script_of_a_worker_says_what_the_profile_says(tmp_path: Path) -> None:
    jobs, cluster, folder = make(
        tmp_path,
        account="lab",
        setup=("module load cuda",),
        environment={"GREETING": "it's me"},
        sbatch={"exclude": "node7", "exclusive": True, "overcommit": False, "nice": 10},
    )
    script = jobs.script("worker")
    for option in (
        *(f"--job-name={cluster.job_name('worker')}", "--partition=gpu", "--account=lab", "--time=60"),
        *("--cpus-per-task=3", "--gpus-per-node=2", "--mem=1536M", "--no-requeue", "--signal=USR2@120"),
        *("--exclude=node7", "--exclusive", "--nice=10", f"--chdir={tmp_path}"),
    ):
        assert f"#SBATCH {option}\n" in script
    assert "overcommit" not in script
    assert "wckey" not in script
    lines = script.splitlines()
    order = ("module load cuda", "export GREETING=", f"export PYTHONPATH={tmp_path}/code$", "srun ")
    places = [next(i for i, line in enumerate(lines) if line.startswith(start)) for start in order]
    assert places == sorted(places)
    assert "--cpus-per-task=3" in lines[places[-1]]
    assert str(folder.jobs) in lines[places[-1]]


def test_the_script_of_a_controller_is_small_and_may_be_queued_again(tmp_path: Path) -> None:
    jobs, cluster, _ = make(
        tmp_path,
        controller=ControllerShape(partition="cpu", cpus=1, memory_gb=2, walltime_min=600),
        sbatch={"gres": "gpu:a100:2"},
        constraint="a100",
    )
    script = jobs.script("controller")
    for option in (
        *(f"--job-name={cluster.job_name('controller')}", "--partition=cpu", "--time=600"),
        *("--cpus-per-task=1", "--mem=2048M", "--requeue"),
    ):
        assert f"#SBATCH {option}\n" in script
    assert not {"gpu", "gres", "constraint"} & set(script.replace("-", " ").replace("=", " ").split())
    assert "#SBATCH --gres=gpu:a100:2\n" in jobs.script("worker")
    assert "gpus-per-node" not in jobs.script("worker")


def test_a_worker_runs_in_the_container_also_as_part_of_an_array(tmp_path: Path, commands: StandIns) -> None:
    jobs, cluster, folder = make(
        tmp_path, container=Container(image="/images/it.sif", binds=("/data:/data:ro",)), arrays=True
    )
    assert jobs.submit("worker", bodies.fail, count=3) == ["101_0", "101_1", "101_2"]
    (call,) = commands.calls("sbatch")
    script = Path(call.split()[-1]).read_text()
    assert "#SBATCH --array=0-2%3\n" in script
    assert "apptainer exec --nv" in script
    assert f"--bind {folder.root.parent} " in script
    assert "--bind /data:/data:ro --pwd" in script
    assert "/images/it.sif python3 -u -m submitit" in script
    assert f"{cluster.python} -u -m submitit" in jobs.script("controller")


def test_without_arrays_each_job_is_submitted_by_itself(tmp_path: Path, commands: StandIns) -> None:
    jobs, _, _ = make(tmp_path)
    assert jobs.submit("worker", bodies.fail, count=3) == ["101", "102", "103"]
    assert len(commands.calls("sbatch")) == 3


def test_what_was_submitted_before_a_refusal_is_returned(tmp_path: Path, commands: StandIns) -> None:
    jobs, _, _ = make(tmp_path)
    commands.answer(
        "sbatch",
        f"n=$(wc -l < {commands.folder}/sbatch.calls)\n"
        "[ $n -lt 3 ] && echo Submitted batch job $n && exit 0\n"
        "echo 'sbatch: error: QOSMaxSubmitJobPerUserLimit' >&2; exit 1",
    )
    assert jobs.submit("worker", bodies.fail, count=5) == ["1", "2"]
    with pytest.raises(SchedulerError, match="QOSMaxSubmitJobPerUserLimit") as raised:
        jobs.submit("worker", bodies.fail)
    assert not isinstance(raised.value, NoAnswer)


@pytest.mark.parametrize(
    "shell",
    [
        "sleep 600",
        "echo 'sbatch: error: Socket timed out on send/recv operation' >&2; exit 1",
        "echo something else",
    ],
)
def test_an_sbatch_whose_answer_is_lost_is_told_from_one_that_refuses(
    tmp_path: Path, commands: StandIns, shell: str
) -> None:
    jobs, _, _ = make(tmp_path)
    number = (
        f"n=$(wc -l < {commands.folder}/sbatch.calls)\n[ $n -lt 2 ] && echo Submitted batch job $n && exit 0\n"
    )
    commands.answer("sbatch", number + shell)
    with pytest.raises(NoAnswer) as raised:
        jobs.submit("worker", bodies.fail, count=2)
    assert raised.value.submitted == ["1"]


def test_no_secret_is_in_a_script_a_pickle_or_an_argument_or_handed_to_jobs(
    tmp_path: Path, commands: StandIns, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs, _, folder = make(tmp_path)
    folder.token.write_text(SECRET)
    monkeypatch.setenv("RAY_AUTH_TOKEN", SECRET)
    jobs.submit("worker", partial(bodies.write, folder.root))
    jobs.submit("controller", partial(bodies.write, folder.root))
    written = [path.read_bytes() for path in folder.jobs.iterdir()]
    assert len(written) == 4
    assert not any(SECRET.encode() in content for content in written)
    assert SECRET not in "".join(commands.calls("sbatch"))
    assert SECRET not in commands.environment("sbatch").values()


def test_what_a_surrounding_job_says_of_itself_does_not_reach_the_jobs_it_submits(
    tmp_path: Path, commands: StandIns, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SLURM_JOB_ID", "SLURM_CPU_BIND", "SBATCH_PARTITION", "SQUEUE_FORMAT", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("SLURM_CONF", "/etc/slurm/other.conf")
    monkeypatch.setenv("LANG", "de_DE.UTF-8")
    jobs, _, _ = make(tmp_path)
    jobs.submit("worker", bodies.fail)
    assert jobs.list() == []
    for name in ("sbatch", "squeue"):
        own = commands.environment(name)
        assert not {"SLURM_JOB_ID", "SLURM_CPU_BIND", "SBATCH_PARTITION", "SQUEUE_FORMAT"} & set(own)
        assert "CUDA_VISIBLE_DEVICES" not in own
        assert own["SLURM_CONF"] == "/etc/slurm/other.conf"
    assert commands.environment("sbatch")["LANG"] == "de_DE.UTF-8"
    assert "LC_ALL" not in commands.environment("sbatch") or "LC_ALL" in os.environ
