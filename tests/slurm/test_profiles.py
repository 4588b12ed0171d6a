"""A mistake in a cluster profile is found before anything is submitted, and its line is named."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from orchestration.clusters import SHIPPED, load_profile, profile_names
from slurm.errors import ProfileError, SlurmError
from slurm.folder import Cluster, ClusterFolder
from slurm.profile import (
    CommonProfile,
    Container,
    ControllerShape,
    LocalProfile,
    Part,
    Ports,
    SlurmProfile,
    WorkerCount,
    WorkerShape,
)

GOOD = """\
scheduler: slurm
worker: {cpus: 4, gpus: 1, memory_gb: 24}
workers:
  min: 1
  max: 4
partition: gpu
walltime_min: 60
drain_s: 120
controller: {partition: cpu}
environment: {GREETING: hello}
sbatch: {gres: "gpu:a100:1"}
container:
  image: /images/it.sif
"""

MISTAKES = {
    ("partition: gpu", "partion: gpu"): "6: no field 'partion'; did you mean 'partition'?",
    ("gpus: 1", "gpu: 1"): "2: no field 'gpu'; did you mean 'gpus'?",
    ("  max: 4", "  most: 4"): "5: no field 'most'; there are min, max",
    ("controller: {partition", "controller: {partition: x, queue"): "9: no field 'queue'; there are partition,",
    ("  image:", "  imgae:"): "13: no field 'imgae'; did you mean 'image'?",
    ("scheduler: slurm", "scheduler: slrum"): "1: no scheduler 'slrum'; there are slurm, local",
    ("scheduler: slurm\n", ""): "1: the file lacks 'scheduler'",
    ("scheduler: slurm", "scheduler: local"): "6: no field 'partition'; there are worker, workers,",
    ("walltime_min: 60\n", ""): "1: the file lacks 'walltime_min'",
    (", memory_gb: 24", ""): "2: worker lacks 'memory_gb'",
    ("cpus: 4", "cpus: many"): "2: worker.cpus cannot be 'many'",
    ("cpus: 4", "cpus: 0"): "2: worker.cpus cannot be 0",
    ("min: 1", "min: 5"): "4: 'min' must not be above 'max'",
    ("walltime_min: 60", "walltime_min: 2"): "8: 'drain_s' is 120 s, the walltime only 120 s",
    ("{partition: cpu}", "{walltime_min: 1}"): "8: 'drain_s' is 120 s, the walltime only 60 s",
    ("gres: ", "time: "): "11: 'time' has a field of its own: write 'walltime_min'",
    ("gres: ", "cpus-per-task: "): "11: 'cpus-per-task' has a field of its own: write 'worker.cpus'",
    ("gres: ", "output: "): "11: 'output' cannot be chosen",
    ("sbatch: {", "sbatch:\n  nice: 1\n  --hold: true\n  # {"): "13: '--hold' cannot be chosen",
    ("GREETING", "MY GREETING"): "10: 'MY GREETING' is no name of a variable",
    ("partition: gpu", 'partition: "gpu\\nrm -r ~"'): "6: partition cannot be 'gpu\\nrm -r ~': one line",
    ("drain_s: 120", "ports: {low: 2000, high: 1999}"): "8: 'low' must be below 'high'",
    ("drain_s: 120", "ports: {low: 80, high: 1999}"): "8: ports.low cannot be 80",
    ("drain_s: 120", "max_jobs: 1"): "8: max_jobs cannot be 1",
    ("partition: gpu", "partition: gpu\npartition: cpu"): "7: 'partition' stands here and in line 6",
    ("partition: gpu", "partition: [gpu"): "not valid YAML",
}


def load(tmp_path: Path, text: str) -> SlurmProfile | LocalProfile:
    path = tmp_path / "x.yaml"
    path.write_text(text)
    return load_profile(str(path))


def test_a_good_profile_loads(tmp_path: Path) -> None:
    profile = load(tmp_path, GOOD)
    assert isinstance(profile, SlurmProfile)
    assert profile.workers == WorkerCount(min=1, max=4)
    assert profile.controller.memory_gb == 4


@pytest.mark.parametrize(
    ("change", "message"), MISTAKES.items(), ids=lambda item: item if isinstance(item, str) else ""
)
def test_a_mistake_is_named_with_its_line(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    assert change[0] in GOOD
    with pytest.raises(ProfileError) as raised:
        load(tmp_path, GOOD.replace(*change, 1))
    assert f"{tmp_path / 'x.yaml'}:" in str(raised.value)
    assert message in str(raised.value)


def test_several_mistakes_are_all_reported_in_the_order_of_the_file(tmp_path: Path) -> None:
    with pytest.raises(ProfileError) as raised:
        load(tmp_path, GOOD.replace("cpus: 4", "cpu: 4").replace("drain_s", "drain"))
    lines = str(raised.value).splitlines()
    assert [re.sub(r".*yaml:(\d+).*", r"\1", line) for line in lines] == ["2", "8"]


def test_a_file_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match=r"nowhere\.yaml: no such file$"):
        load_profile(str(tmp_path / "nowhere.yaml"))


def test_an_empty_file_says_what_is_expected(tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match="expected settings such as 'scheduler: slurm'"):
        load(tmp_path, "# nothing\n")


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's own profiles."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    folder = tmp_path / "wav2pix" / "clusters"
    folder.mkdir(parents=True)
    return folder


def test_an_unknown_name_has_a_hint_and_the_place_for_own_profiles(own: Path) -> None:
    with pytest.raises(ProfileError) as raised:
        load_profile("sinlge-gpu")
    assert "no cluster profile 'sinlge-gpu'; did you mean 'single-gpu'?" in str(raised.value)
    assert str(own) in str(raised.value)


def test_a_profile_of_the_user_comes_before_one_of_the_package(own: Path) -> None:
    (own / "single-gpu.yaml").write_text(GOOD)
    (own / "mine.yaml").write_text(GOOD)
    assert load_profile("single-gpu").workers.min == 1
    assert load_profile("mine").workers.min == 1
    assert list(profile_names())[-1] == "mine"


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_profiles_of_the_package_are_valid(path: Path) -> None:
    assert load_profile(path.stem) == load_profile(str(path))


def test_the_package_has_a_profile_for_each_occasion() -> None:
    names = {path.stem for path in SHIPPED.glob("*.yaml")}
    assert names == {"local", "debug", "single-gpu", "multi-gpu", "preemptible"}


def test_one_profile_explains_every_field() -> None:
    words = set(re.findall(r"\w+", (SHIPPED / "single-gpu.yaml").read_text()))
    parts: tuple[type[Part], ...] = (
        *(SlurmProfile, CommonProfile, ControllerShape, Container, WorkerShape, WorkerCount, Ports),
    )
    fields = {name for part in parts for name in part.model_fields}
    assert fields <= words


def test_what_is_commented_out_in_it_is_valid_too(tmp_path: Path) -> None:
    text = (SHIPPED / "single-gpu.yaml").read_text()
    # Examples begin with a field, or go on with an item of a list; prose does neither.
    text = re.sub(r"^# (controller: .*)$", "", text, flags=re.MULTILINE)
    examples = re.compile(r"^# (\w+:.*|  - .*)$", re.MULTILINE)
    assert len(examples.findall(text)) >= 12
    profile = load(tmp_path, examples.sub(r"\1", text))
    assert isinstance(profile, SlurmProfile)
    assert profile.container is not None
    assert len(profile.setup) == 2


def test_a_cluster_is_saved_for_its_user_alone_and_loaded_as_it_was(tmp_path: Path) -> None:
    folder = ClusterFolder(tmp_path / "sweep" / "cluster")
    cluster = Cluster.new("sweep", load(tmp_path, GOOD), code=None, cwd=tmp_path)
    cluster.save(folder)
    assert Cluster.load(folder) == cluster
    assert re.fullmatch("[0-9a-f]{8}", cluster.id)
    assert folder.record.stat().st_mode & 0o777 == 0o600
    assert folder.root.stat().st_mode & 0o777 == 0o700


def test_a_sweep_that_was_never_submitted_says_so(tmp_path: Path) -> None:
    with pytest.raises(SlurmError, match="sweep: not submitted to a cluster; wav2pix sweep submit does it"):
        Cluster.load(ClusterFolder(tmp_path / "sweep" / "cluster"))


def test_workers_and_controller_together_stay_below_the_cap_of_the_site(tmp_path: Path) -> None:
    assert load(tmp_path, GOOD).most_workers == 4
    assert load(tmp_path, GOOD + "max_jobs: 3\n").most_workers == 2
