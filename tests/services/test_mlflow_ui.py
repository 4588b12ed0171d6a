"""A sweep as its owner sees it in MLflow's pages, by a real browser.

With WAV2PIX_SCREENSHOTS=docs the sweep is that of sweeps/quick.yaml, which takes minutes, and the tests leave
screenshots of what they look at in that folder.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from mlflow.entities import Run
from mlflow.tracking import MlflowClient
from PIL import Image
from selenium.webdriver.common.keys import Keys

from deploy.local import Services
from orchestration.tracking import client as _settings  # noqa: F401  # before mlflow is used
from tests.services.browser import Browser, install, obstacle
from wav2pix.data import open_dataset
from wav2pix.data.synth import SynthArguments, synthesise

pytestmark = pytest.mark.slow

SCREENSHOTS = os.environ.get("WAV2PIX_SCREENSHOTS")
QUICK = Path(__file__).parents[2] / "sweeps" / "quick.yaml"
# Of what sweeps/quick.yaml searches.
SEARCHED = ("optimizer.lr_generator", "loss.identity", "loss.adversarial")
# The value by which trials are compared, that of their best epoch.
OBJECTIVE = "best_objective"
# The second trial, so that every setting has more than one value.
OTHER = {
    "optimizer.lr_generator": 2e-3,
    "optimizer.lr_discriminator": 5e-4,
    "loss.identity": 2.0,
    "loss.adversarial": "least_squares",
    "loss.real_label": 0.9,
}
# What makes it take seconds, on the data of other tests.
SMALL: dict[str, Any] = {"scheduler": "none", "trials": 4, "epochs": 2, "pictures_every": 1}


@dataclass(frozen=True)
class Sweep:
    """A finished sweep whose best trial is registered.

    Attributes:
        data: its data set.
        page: the address of its runs.
        trials: runs by the names that the pages show.
        best: the name of the best trial.
    """

    name: str
    data: Path
    url: str
    page: str
    client: MlflowClient
    trials: dict[str, Run]
    best: str


def wav2pix(services: Services, *arguments: str | Path) -> str:
    command = [sys.executable, "-m", "orchestration", *arguments]
    environment = {**os.environ, **services.env, "OMP_NUM_THREADS": "1"}
    limit = 1500 if SCREENSHOTS else 240
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=limit, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def chromium() -> None:
    """See that there is one, before a sweep is run to be looked at."""
    if why_not := obstacle():
        if os.environ.get("CI") == "true":
            pytest.fail(why_not)
        pytest.skip(why_not)
    install()


@pytest.fixture(scope="module")
def sweep(
    chromium: None, services: Services, tiny_data: Path, tmp_path_factory: pytest.TempPathFactory
) -> Sweep:
    """Run it, and export and register its best trial."""
    root = tmp_path_factory.mktemp("seen")
    spec, data = yaml.safe_load(QUICK.read_text()) | {"start_with": ["default", OTHER]}, root / "quick"
    if SCREENSHOTS:
        synthesise(data, SynthArguments(identities=4, recordings=6, seconds=16, seed=0, image_size=64))
    else:
        spec, data = spec | SMALL | {"name": f"seen-{secrets.token_hex(4)}"}, tiny_data
    file = root / "sweep.yaml"
    file.write_text(json.dumps(spec | {"data": str(data), "storage": str(root / "runs")}))
    wav2pix(services, "sweep", "run", file)
    kept = ("--storage", root / "runs")
    wav2pix(services, "sweep", "export", spec["name"], *kept, "--out", root / "best")
    best = json.loads(wav2pix(services, "sweep", "best", spec["name"], *kept, "--json"))["best"][0]
    return read_sweep(spec["name"], data, services.mlflow.url, f"trial-{best['trial']:04d}")


def read_sweep(name: str, data: Path, url: str, best: str) -> Sweep:
    client = MlflowClient(url)
    experiment = client.get_experiment_by_name(name)
    assert experiment is not None
    runs = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    del runs[name]
    page = f"{url}/#/experiments/{experiment.experiment_id}/runs?workflowType=machine_learning"
    return Sweep(name, data, url, page, client, runs, best)


@pytest.fixture
def browser(chromium: None) -> Iterator[Browser]:
    """A window in which nobody has been to MLflow before."""
    with Browser.start() as browser:
        # The chat that opens itself on a first visit stays closed.
        browser.remember(
            **{
                "mlflow.assistant.fab.autoOpenedOnFirstLoad_v1": "true",
                "mlflow.assistant.panelOpen_v1": "false",
            }
        )
        yield browser


def keep(browser: Browser, name: str) -> None:
    if SCREENSHOTS:
        browser.save(Path(SCREENSHOTS) / f"mlflow-{name}.png")


def shown_runs(browser: Browser) -> list[str]:
    links = browser.all("//*[@role='row']//a[contains(@href, '/runs/')]")
    return [link.text for link in links if link.is_displayed()]


def unfold(browser: Browser, sweep: Sweep) -> None:
    """Show the trials below their sweep."""
    browser.open(sweep.page)
    browser.click(f"//*[@role='gridcell'][.//a[normalize-space()='{sweep.name}']]//button")
    wanted = {sweep.name, *sweep.trials}
    browser.wait(lambda: set(shown_runs(browser)) == wanted, f"table of {sorted(wanted)}")


def compare(browser: Browser, sweep: Sweep, trials: list[str]) -> None:
    """Select trials in the table and go to their comparison."""
    unfold(browser, sweep)
    for trial in trials:
        row = f"//*[@role='row'][.//a[normalize-space()='{trial}']]"
        browser.click(f"{row}//input[contains(@aria-label, 'toggle row selection')]")
    browser.click("//button[normalize-space()='Compare']")
    browser.see(f"Comparing {len(trials)} Runs from 1 Experiment")


def choose(browser: Browser, label: str, name: str) -> None:
    """Choose a name in one of the fields beside the plot."""
    browser.find(f"//*[text()='{label}']")
    (field, *_) = browser.all(f"//*[text()='{label}']/following::input[@role='combobox']")
    field.send_keys(name)
    browser.click(f"//*[@title='{name}']")
    field.send_keys(Keys.TAB)


def drawn_texts(browser: Browser) -> list[str]:
    return [text.text for text in browser.all("//*[name()='svg']//*[name()='text']")]


def test_the_trials_of_a_sweep_stand_under_it(browser: Browser, sweep: Sweep) -> None:
    browser.open(sweep.page)
    browser.see(f"{len(sweep.trials) + 1} matching runs")
    assert shown_runs(browser) == [sweep.name]

    unfold(browser, sweep)
    names = shown_runs(browser)
    assert names[0] == sweep.name
    assert len(names) == len(sweep.trials) + 1
    left = {name: browser.find(f"//a[normalize-space()='{name}']").rect["x"] for name in names}
    assert {left[trial] > left[sweep.name] for trial in sweep.trials} == {True}


def test_charts_show_how_every_trial_went(browser: Browser, sweep: Sweep) -> None:
    unfold(browser, sweep)
    browser.open(f"{sweep.page}&compareRunsMode=CHART")
    search = browser.find("//input[@placeholder='Search metric charts']")
    search.send_keys("^(best_objective|l1|identity_accuracy)$")
    for trial in sweep.trials:
        browser.see(f"{trial} ({OBJECTIVE})")
    keep(browser, "charts")


def test_two_trials_are_selected_and_compared(browser: Browser, sweep: Sweep) -> None:
    pair = sorted(sweep.trials)[:2]
    compare(browser, sweep, pair)
    assert {browser.find(f"//*[normalize-space(text())='{trial}']").text for trial in pair} == set(pair)
    for param in SEARCHED:
        row = browser.find(f"//tr[th[normalize-space()='{param}']]")
        values = row.text.removeprefix(param).split()
        assert sorted(values) == sorted(sweep.trials[trial].data.params[param] for trial in pair)


def test_parallel_coordinates_show_what_was_searched(browser: Browser, sweep: Sweep) -> None:
    compare(browser, sweep, sorted(sweep.trials))
    browser.click("//button[normalize-space()='Clear All']")
    for param in SEARCHED:
        choose(browser, "Parameters:", param)
    choose(browser, "Metrics:", OBJECTIVE)
    titles = [*SEARCHED, OBJECTIVE]
    browser.wait(lambda: [text for text in drawn_texts(browser) if text in titles] == titles, f"axes {titles}")

    runs = sweep.trials.values()
    ends = [run.data.metrics[OBJECTIVE] for run in runs]
    for param in ("optimizer.lr_generator", "loss.identity"):
        ends += [float(run.data.params[param]) for run in runs]
    for values in np.split(np.array(ends), 3):
        assert {f"{values.min():.5f}", f"{values.max():.5f}"} <= set(drawn_texts(browser))
    assert "hinge" in drawn_texts(browser)
    keep(browser, "parallel-coordinates")

    axes = [browser.find(f"//*[name()='text' and text()='{title}']").rect for title in titles]
    top, left, right = round(axes[0]["y"]) + 50, round(axes[0]["x"]) + 80, round(axes[-1]["x"])
    plot = browser.screenshot()[top : top + 300, left:right].astype(int)
    assert (np.ptp(plot, axis=2) > 80).sum() > 300  # Lines have colours, all else is grey.


def test_a_picture_of_a_trial_has_faces_of_its_speakers(browser: Browser, sweep: Sweep, tmp_path: Path) -> None:
    run_id = sweep.trials[sweep.best].info.run_id
    files = [file.path for file in sweep.client.list_artifacts(run_id, "images") if file.path.endswith(".png")]
    last = max(files, key=lambda path: int(path.split("+")[2]))
    browser.open(sweep.page.replace("/runs?", f"/runs/{run_id}/artifacts?"))
    browser.click("//*[text()='images']")
    browser.click(f"//*[text()='{Path(last).name}']")
    shown = browser.pixels(browser.find(f"//img[@alt='{last}']"))
    browser.run("for (const each of document.querySelectorAll('*')) each.scrollLeft = 0")
    keep(browser, "faces")

    with Image.open(sweep.client.download_artifacts(run_id, last, str(tmp_path))) as logged:
        assert np.array_equal(shown, np.asarray(logged.convert("RGB")))
    data = open_dataset(sweep.data)
    corner = shown[: data.image_size, : data.image_size]
    assert (data.faces == corner).all(axis=(1, 2, 3)).any()


def test_the_best_trial_is_the_champion_of_the_registered_model(browser: Browser, sweep: Sweep) -> None:
    browser.open(f"{sweep.url}/#/models?workflowType=machine_learning")
    browser.click("//button[normalize-space()='Try it now']")  # A first visit's notice of what is new.
    browser.click(f"//a[normalize-space()='wav2pix-{sweep.name}']")
    browser.see("champion")
    browser.click("//a[normalize-space()='Version 1']")
    browser.see("champion", sweep.best, f"trial {int(sweep.best[-4:])} of the sweep {sweep.name}")
    browser.see("Inputs (1)", "Outputs (1)")
    keep(browser, "model")
