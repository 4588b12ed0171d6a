"""The table of an evaluation as a paper prints it: LaTeX with booktabs, measures by seconds of speech."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from wav2pix.evaluation import DESCRIPTIONS, Evaluation, Measure
from wav2pix.evaluation_report.result import Result, lengths_of

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
}


def latex_table(result: Result) -> str:
    """A ``table*`` environment, as wide as the page, that needs the package booktabs and no other.

    A column for each length of speech, a row for each measure with its 95 % interval or standard error in
    small print, and a block for each kind of speakers. An arrow says which way is better.
    """
    lengths = sorted({length_s for part in result.parts for length_s in lengths_of(part)})
    lines = [
        "% needs \\usepackage{booktabs}",
        "\\begin{table*}",
        "\\centering",
        "\\footnotesize",
        "\\setlength{\\tabcolsep}{4pt}",
        f"\\caption{{{escape_latex(_caption(result))}}}",
        f"\\begin{{tabular}}{{l{'c' * len(lengths)}}}",
        "\\toprule",
        _row(["Speech", *(f"{length_s:g}\\,s" for length_s in lengths)]),
    ]
    for part in result.parts:
        lines.append("\\midrule")
        if len(result.parts) > 1:
            lines.append(f"\\multicolumn{{{len(lengths) + 1}}}{{l}}{{\\emph{{{result.title(part)}}}}} \\\\")
        lines += _block(part, lengths)
    lines += ["\\bottomrule", "\\end{tabular}", "\\end{table*}"]
    return "\n".join(lines)


def escape_latex(text: str) -> str:
    """Text that LaTeX prints as it is."""
    return "".join(_SPECIAL.get(sign, sign) for sign in text)


def _block(part: Evaluation, lengths: Sequence[float]) -> Iterator[str]:
    by_length = lengths_of(part)
    for name, own in part.measures.items():
        if DESCRIPTIONS[name].reference:  # the same whatever the speech
            yield _row([_label(name), f"\\multicolumn{{{len(lengths)}}}{{c}}{{{_cell(own)}}}"])
        else:
            cells = (by_length.get(length_s, {}).get(name) for length_s in lengths)
            yield _row([_label(name), *map(_cell, cells)])


def _label(name: str) -> str:
    about = DESCRIPTIONS[name]
    arrow = {"higher": " $\\uparrow$", "lower": " $\\downarrow$", None: ""}[about.better]
    indent = "\\quad " if about.beside else ""
    return f"{indent}{escape_latex(about.title)}{arrow}"


def _cell(measure: Measure | None) -> str:
    if measure is None:
        return "--"
    value = _number(measure.value)
    if measure.low is not None and measure.high is not None:
        return f"{value} {{\\scriptsize [{_number(measure.low)}, {_number(measure.high)}]}}"
    if measure.standard_error is not None:
        return f"{value} {{\\scriptsize $\\pm$ {_number(measure.standard_error)}}}"
    return value


def _number(value: float) -> str:
    """Three decimals, more where it is small and fewer where it is large, and a minus that is no hyphen."""
    if not math.isfinite(value):
        return "--"
    size = abs(value)
    text = f"{size:.{4 if 0 < size < 0.01 else 3 if size < 10 else 1}f}"
    return f"${'-' if value < 0 else ''}{text}$"


def _row(cells: Sequence[str]) -> str:
    return " & ".join(cells) + " \\\\"


def _caption(result: Result) -> str:
    sizes = "; ".join(
        f"{part.num_pairs} pairs from {part.num_recordings} recordings of {len(part.identities)} "
        f"{result.title(part)}"
        for part in result.parts
    )
    features = " / ".join(dict.fromkeys(part.features for part in result.parts))
    return (
        f"Measures by seconds of speech, split {result.split}: {sizes}. In brackets 95 % intervals "
        f"over recordings. Features of embeddings, KID and FID: {features}."
    )
