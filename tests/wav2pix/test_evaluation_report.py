"""What people read of an evaluation: the tables, the LaTeX, the JSON and the report."""

from __future__ import annotations

import base64
import dataclasses
import io
import json
import math
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from wav2pix.config import make_config
from wav2pix.data import Dataset, open_dataset
from wav2pix.errors import DataError
from wav2pix.evaluation import DESCRIPTIONS, Cases, Cosines, Evaluation, Measure
from wav2pix.evaluation_report.faces import interpolate
from wav2pix.evaluation_report.latex import escape_latex, latex_table
from wav2pix.evaluation_report.page import check_report_folder, write_report
from wav2pix.evaluation_report.result import Result, as_tree
from wav2pix.evaluation_report.terminal import print_tables
from wav2pix.html import bars, escape, joined, page, paragraph, picture, table
from wav2pix.models import Wav2Pix

NASTY = 'r&d_50% <script>alert("x")</script> $a^2~{b}\\'


@pytest.fixture(scope="module")
def data(tiny_data: Path) -> Dataset:
    return open_dataset(tiny_data)


@pytest.fixture(scope="module")
def model(data: Dataset) -> Wav2Pix:
    small = {"encoder.channels": [8, 8, 16, 16], "generator.channels": [32, 16, 16, 8, 8]}
    return Wav2Pix(make_config("small", small), data.identities)


def evaluation(data: Dataset, **changes: object) -> Evaluation:
    """Measures of faces that are the real ones turned upside down, made up but for the pictures."""
    rows = data.indices("test")
    real = data.faces[data.face[rows]]
    likeness = np.linspace(-0.5, 0.9, len(rows))
    measures = {
        "identity_accuracy": Measure(0.62345, 0.5, 0.75, 0.06),
        "identity_accuracy_chance": Measure(1 / 3),
        "kid": Measure(-0.00123, standard_error=0.0004),
        "fid": Measure(123.456),
        "l1": Measure(0.2, 0.19, 0.21, 0.005),
    }
    shorter = measures | {"identity_accuracy": Measure(0.41, 0.3, 0.5), "fid": Measure(math.nan)}
    made = Evaluation(
        measures=measures,
        by_length={0.3: shorter},
        length_s=1.0,
        num_pairs=len(rows),
        num_recordings=3,
        speakers="known",
        identities=data.identities,
        unknown_identities=(),
        features="made up",
        notes=("4 s of speech is longer than the windows of the data.",),
        spread=0.1,
        cases=Cases(
            rows=rows,
            identity=data.identity[rows],
            recording=data.recording[rows],
            real=real,
            generated=real[:, ::-1].copy(),
            scores={"cosine_to_real": likeness},
        ),
        cosines=Cosines(generated=likeness, same=np.full(50, 0.9), different=np.linspace(-0.9, 0.3, 50)),
    )
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]


def result(data: Dataset, *parts: Evaluation, model: str = "runs/first") -> Result:
    return Result(model, data.root, data.content_hash, "test", parts or (evaluation(data),))


def printed(given: Result) -> str:
    file = io.StringIO()
    print_tables(given, Console(width=160, file=file))
    return file.getvalue()


def test_the_terminal_shows_each_measure_with_its_interval_and_every_length(data: Dataset) -> None:
    text = printed(result(data))
    assert re.search(r"identity_accuracy +│ 0\.6234 +│ \[0\.5000, 0\.7500\] +│ higher", text)
    assert re.search(r"kid +│ -0\.0012 +│ ± 0\.0004 +│ lower", text)
    assert re.search(r"identity_accuracy +│ 0\.4100 +│ 0\.6234", text)
    assert re.search(r"fid +│ - +│ 123\.46 +│", text)


def test_markup_in_the_name_of_a_model_is_no_markup(data: Dataset) -> None:
    assert "[red]mine[/red]" in printed(result(data, model="[red]mine[/red]"))


def test_the_features_are_named_and_nothing_that_a_reader_must_know_is_left_out(data: Dataset) -> None:
    *_, features, note = printed(result(data)).splitlines()
    assert features.endswith(": made up")
    assert note == "4 s of speech is longer than the windows of the data."


def test_speakers_that_were_left_out_are_named_with_the_way_to_measure_them(data: Dataset) -> None:
    *_, last = printed(result(data, evaluation(data, unknown_identities=("ada", "bob")))).splitlines()
    assert last == "Left out, never seen by the model: ada, bob; --hold-out-identities measures them"


def test_unseen_speakers_have_tables_of_their_own(data: Dataset) -> None:
    unseen = evaluation(data, speakers="unseen", by_length={}, identities=("stranger",))
    text = printed(result(data, evaluation(data), unseen))
    assert "speakers of the training" in text and "speakers never seen in training" in text


def test_json_holds_every_number_and_null_for_what_is_none(data: Dataset) -> None:
    unseen = evaluation(data, speakers="unseen")
    tree = json.loads(json.dumps(as_tree(result(data, evaluation(data), unseen)), allow_nan=False))
    assert tree["known"]["measures"]["identity_accuracy"] == {
        "value": 0.62345,
        "low": 0.5,
        "high": 0.75,
        "standard_error": 0.06,
    }
    assert tree["known"]["by_length"]["0.3"]["fid"]["value"] is None
    assert tree["unseen"]["num_pairs"] == len(data.indices("test"))
    assert tree["data_hash"] == data.content_hash and tree["known"]["features"] == "made up"


def test_the_latex_table_has_a_row_for_each_measure_and_a_column_for_each_length(data: Dataset) -> None:
    text = latex_table(result(data))
    assert "\\begin{tabular}{lcc}" in text and "Speech & 0.3\\,s & 1\\,s \\\\" in text
    rows = [line for line in text.splitlines() if line.endswith("\\\\")]
    assert len(rows) == 1 + len(evaluation(data).measures)
    assert "identity accuracy $\\uparrow$ & $0.410$ {\\scriptsize [$0.300$, $0.500$]} & $0.623$ {" in text
    assert "\\quad by chance & \\multicolumn{2}{c}{$0.333$} \\\\" in rows
    assert "KID $\\downarrow$ & $-0.0012$ {\\scriptsize $\\pm$ $0.0004$} & " in text
    assert "FID $\\downarrow$ & -- & $123.5$ \\\\" in rows


def test_a_length_that_was_measured_for_some_speakers_only_leaves_a_dash(data: Dataset) -> None:
    text = latex_table(result(data, evaluation(data), evaluation(data, speakers="unseen", by_length={})))
    assert "\\multicolumn{3}{l}{\\emph{speakers never seen in training}} \\\\" in text
    below = text.split("never seen in training}}")[1]
    assert "identity accuracy $\\uparrow$ & -- & $0.623$" in below


def test_latex_prints_what_comes_from_outside_as_it_is(data: Dataset) -> None:
    assert escape_latex(NASTY).startswith(r"r\&d\_50\% \textless{}script\textgreater{}")
    text = latex_table(result(data, evaluation(data, features=NASTY)))
    bare = re.sub(r"\\[a-zA-Z]+|\\[&%$#_{}\\,]", "", text.split("\n", 1)[1])
    assert bare.count("{") == bare.count("}")
    assert not re.search(r"[#%^~_]", bare)
    for name in ("table*", "tabular"):
        assert text.count(f"\\begin{{{name}}}") == text.count(f"\\end{{{name}}}") == 1


@pytest.mark.slow
def test_latex_compiles(data: Dataset, tmp_path: Path) -> None:
    if not (tex := shutil.which("pdflatex")):
        pytest.skip("no LaTeX on this machine")
    text = latex_table(result(data, evaluation(data, features=NASTY), evaluation(data, speakers="unseen")))
    document = f"\\documentclass{{article}}\\usepackage{{booktabs}}\\begin{{document}}{text}\\end{{document}}"
    (tmp_path / "t.tex").write_text(document.replace("% needs \\usepackage{booktabs}\n", ""))
    command = [tex, "-interaction=nonstopmode", "-halt-on-error", "t.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout[-2000:]


class Reader(HTMLParser):
    """Tags, links to elsewhere and pictures of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.links: list[str] = []
        self.pictures: list[str] = []
        self.unbalanced: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)
        for name, value in attrs:
            if name == "src":
                self.pictures.append(value or "")
            if name in ("href", "src") and not (value or "").startswith("data:"):
                self.links.append(value or "")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.unbalanced.append(tag)


@pytest.fixture(scope="module")
def report(data: Dataset, model: Wav2Pix, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("report") / "deep" / "report"
    unseen = evaluation(data, speakers="unseen", by_length={}, features="<i>others</i>")
    given = result(data, evaluation(data), unseen, model=NASTY)
    path = write_report(folder, given, model, data)
    assert [file.name for file in folder.iterdir()] == ["report.html"]
    return path.read_text()


def test_the_report_is_one_whole_page_without_scripts_or_links_to_elsewhere(report: str) -> None:
    reader = Reader(report)
    assert reader.unbalanced == [] and reader.open == []
    assert "script" not in reader.tags and "i" not in reader.tags
    assert reader.links == [] and "url(" not in report and "@import" not in report
    assert 'name="viewport"' in report and "prefers-color-scheme:dark" in report


def test_the_report_shows_numbers_with_intervals_and_what_they_mean(report: str, data: Dataset) -> None:
    assert "[0.5000, 0.7500]" in report and DESCRIPTIONS["identity_accuracy"].meaning in report
    assert "speakers never seen in training" in report
    assert data.content_hash[:16] in report and "made up" in report
    assert "4 s of speech is longer than the windows of the data." in report
    assert report.count('aria-label="distributions of cosine similarity"') == 2
    assert 'aria-label="identity accuracy by seconds of speech"' in report


def test_the_report_shows_the_faces_that_came_out_best_and_worst(report: str, data: Dataset) -> None:
    best, worst = (report.split(f"<h3>{title} cases</h3>")[1] for title in ("Best", "Worst"))
    row = data.indices("test")[-1]
    where = f"{data.recordings[data.recording[row]]} at {data.time_s[row]:.1f} s"
    assert f"<figcaption>0.900  {where}<" in best.split("</figure>")[0]
    assert "<figcaption>-0.500" in worst.split("</figure>")[0]
    shown = Reader(best.split("</figure>")[0]).pictures[0].removeprefix("data:image/png;base64,")
    with Image.open(io.BytesIO(base64.b64decode(shown))) as image:
        pixels = np.asarray(image)
    real = data.faces[data.face[row]]
    assert (pixels[:, :64] == real).all() and (pixels[:, -64:] == real[::-1]).all()


def test_a_report_takes_the_place_of_an_older_one_and_of_nothing_else(
    data: Dataset, model: Wav2Pix, tmp_path: Path
) -> None:
    folder = tmp_path / "report"
    write_report(folder, result(data, model="first"), model, data)
    write_report(folder, result(data, model="second"), model, data)
    assert "<td>second</td>" in (folder / "report.html").read_text()
    (folder / "thesis.txt").write_text("mine")
    with pytest.raises(DataError, match=r"holds 'thesis.txt', so it is left alone: choose another --report"):
        write_report(folder, result(data), model, data)
    assert "<td>second</td>" in (folder / "report.html").read_text()


def test_another_page_of_the_same_name_and_a_file_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text("<title>My data</title>")
    with pytest.raises(DataError, match="is no report of an evaluation"):
        check_report_folder(tmp_path)
    with pytest.raises(DataError, match="exists and is no folder"):
        check_report_folder(tmp_path / "report.html")


def test_the_way_between_two_voices_starts_and_ends_with_their_own_faces(data: Dataset, model: Wav2Pix) -> None:
    model.train()
    faces = interpolate(model, data, 0, len(data) - 1, steps=5)
    assert model.training
    model.eval()
    for row, face in ((0, faces[0]), (len(data) - 1, faces[-1])):
        alone = interpolate(model, data, row, row, steps=2)[0]
        assert np.abs(face.astype(int) - alone).max() <= 1
    assert not (faces[0] == faces[-1]).all()


def test_a_page_escapes_what_comes_from_outside() -> None:
    text = page(NASTY, joined([paragraph(NASTY), table([NASTY], [[NASTY]]), bars([(NASTY, 1.0)], unit=NASTY)]))
    reader = Reader(text)
    assert "script" not in reader.tags and reader.unbalanced == []
    assert text.count("&lt;script&gt;") == 7
    shown = picture(np.zeros((2, 4, 3), np.uint8), '" onerror="x')
    assert 'alt="&quot; onerror=&quot;x"' in shown and 'width="4" height="2"' in shown


def test_markup_is_escaped_once() -> None:
    assert escape(paragraph("a & b")) == "<p>a &amp; b</p>"


def test_the_longest_bar_is_as_wide_as_there_is_room() -> None:
    drawn = bars([("few", 1), ("many", 4), ("none", 0)])
    assert re.findall(r"width:([\d.]+)%", drawn) == ["25.0", "100.0", "0.0"]
    assert re.findall(r"width:([\d.]+)%", bars([("none", 0)])) == ["0.0"]
