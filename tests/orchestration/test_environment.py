"""What a run says of the machine, packages and job that it ran in."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from orchestration import environment
from orchestration.environment import installed_packages, this_environment


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    this_environment.cache_clear()
    yield
    this_environment.cache_clear()


def package(site: Path, folder: str, metadata: str, **files: str) -> None:
    (site / folder).mkdir(parents=True)
    (site / folder / "METADATA").write_text(metadata)
    for name, content in files.items():
        (site / folder / name.replace("__", ".")).write_text(content)


def test_the_environment_names_python_torch_host_and_packages() -> None:
    found = this_environment()
    assert found.host == socket.gethostname()
    assert found.torch == torch.__version__
    assert any(line.startswith("torch==") for line in found.packages)
    assert list(found.packages) == sorted(
        found.packages, key=lambda line: line.split("==")[0].lower().replace("_", "-").replace(".", "-")
    )
    assert found.values["python"].count(".") == 2


def test_where_a_package_came_from_is_not_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = '{"url": "https://me:hunter2-password@host/own.git"}'
    package(tmp_path, "own_tool-1.0.dist-info", "Name: own_tool\nVersion: 1.0+local\n", direct_url__json=url)
    monkeypatch.syspath_prepend(tmp_path)
    assert "own_tool==1.0+local" in installed_packages()
    assert "hunter2" not in "".join(installed_packages())


def test_of_two_versions_the_one_that_is_imported_is_told_and_broken_packages_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package(tmp_path / "behind", "a_tool-1.dist-info", "Name: a-tool\nVersion: 1\n")
    package(tmp_path / "first", "a_tool-2.dist-info", "Name: a_tool\nVersion: 2\n")
    package(tmp_path / "first", "broken-3.dist-info", "")
    for folder in ("behind", "first"):
        monkeypatch.syspath_prepend(tmp_path / folder)
    found = installed_packages()
    assert [line for line in found if line.startswith(("a_tool", "a-tool"))] == ["a_tool==2"]
    assert not any("broken" in line for line in found)


def test_a_job_of_slurm_is_told_and_nothing_else_of_its_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (
        ("SLURM_JOB_ID", "17"),
        ("SLURMD_NODENAME", "gpu3"),
        ("SLURM_JWT", "a-token-that-nobody-may-see"),
    ):
        monkeypatch.setenv(name, value)
    found = this_environment()
    assert found.values["slurm.job_id"] == "17"
    assert found.values["slurm.node"] == "gpu3"
    assert "nobody" not in repr(found)


def test_the_files_hold_the_packages_as_pip_reads_them_and_the_rest_as_json(tmp_path: Path) -> None:
    about, packages = this_environment().write(tmp_path)
    assert json.loads(about.read_text())["torch"] == torch.__version__
    assert tuple(packages.read_text().splitlines()) == this_environment().packages


@pytest.mark.parametrize(
    ("shell", "told"),
    [
        ("echo 570.1; echo 570.1", "570.1"),
        ("exec sleep 60", "unknown: nvidia-smi has not answered within 0.5 s"),
        ("exit 9", "unknown: nvidia-smi failed"),
        ("true", "unknown: nvidia-smi said nothing"),
        ("", "unknown: no nvidia-smi"),
    ],
)
def test_the_driver_is_told_or_why_it_is_not_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shell: str, told: str
) -> None:
    if shell:
        (tmp_path / "nvidia-smi").write_text(f"#!/bin/sh\n{shell}\n")
        (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin" if shell else str(tmp_path))
    monkeypatch.setattr(environment, "DRIVER_S", 0.5)
    assert environment._driver().startswith(told)


def test_without_a_gpu_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert this_environment().values["gpus"] == "none"
    assert this_environment().driver == "no GPU"


def test_a_broken_driver_is_told_and_fails_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(index: int) -> str:
        raise RuntimeError("CUDA driver initialization failed\nmore")

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_name", fail)
    assert this_environment().values["gpus"] == "unknown: CUDA driver initialization failed"
