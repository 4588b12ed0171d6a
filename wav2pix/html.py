"""Reports in one HTML file: no script, no outside link, pictures inside, good in the dark and on a phone.

Plain strings that are handed to these functions come from outside and are escaped; :class:`Html` is text that
is markup already, which is what all of them return::

    body = joined([heading("Faces"), picture(faces, "faces of ada"), table(("measure", "value"), rows)])
    path.write_text(page("Evaluation", body), encoding="utf-8")
"""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image


class Html(str):
    """Text that is markup already: it is never escaped again."""

    __slots__ = ()


STYLE = """
:root{color-scheme:light dark;--back:#fff;--text:#1b1f24;--soft:#5b6470;--line:#d9dee4;--box:#f5f7f9;
--one:#1f6fb2;--two:#c4501b;--three:#3d8b4a}
@media(prefers-color-scheme:dark){:root{--back:#14171b;--text:#e6e9ed;--soft:#9aa4b0;--line:#323a43;--box:#1c2127;
--one:#6db3ee;--two:#f0935f;--three:#7fcb8b}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:68rem;padding:1rem 1rem 4rem;background:var(--back);color:var(--text);
font:16px/1.5 system-ui,sans-serif;overflow-wrap:anywhere}
h1{font-size:1.6rem;line-height:1.2;margin:1rem 0 .3rem}
h2{font-size:1.2rem;margin:2.2rem 0 .4rem;padding-top:.6rem;border-top:1px solid var(--line)}
h3{font-size:1rem;margin:1.2rem 0 .3rem}
p{margin:.4rem 0;max-width:46rem}
.soft,figcaption,caption{color:var(--soft);font-size:.9rem}
.wide{overflow-x:auto;margin:.8rem 0}
table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:.92rem;overflow-wrap:normal}
th,td{text-align:left;vertical-align:top;padding:.25rem .9rem .25rem 0;border-bottom:1px solid var(--line)}
th{color:var(--soft);font-weight:600}
td.num,th.num{text-align:right;white-space:nowrap}
figure{margin:.6rem 0}
img,svg{max-width:100%;height:auto;display:block;border-radius:3px}
.cards{display:flex;flex-wrap:wrap;gap:.8rem 1rem}
.cards>figure{margin:0;width:min-content;min-width:10rem}
.cards img,.cards svg{max-width:calc(100vw - 2rem)}
.bars{display:grid;grid-template-columns:minmax(6rem,max-content) 1fr max-content;gap:.25rem .8rem;
max-width:46rem;font-size:.92rem;align-items:center}
.bars i{display:block;height:.8rem;min-width:1px;background:var(--one);border-radius:2px}
.bars b{font-weight:400;text-align:right;font-variant-numeric:tabular-nums}
svg text{fill:var(--soft);font:12px system-ui,sans-serif}
dl{max-width:46rem;font-size:.92rem}
dt{font-weight:600;margin-top:.5rem}
dd{margin:0 0 0 1rem}
summary{cursor:pointer;color:var(--one)}
"""


def page(title: str, body: Html) -> Html:
    """A whole document."""
    return Html(
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width,initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style></head>\n"
        f"<body>\n<h1>{escape(title)}</h1>\n{body}\n</body></html>\n"
    )


def escape(text: object) -> Html:
    """Text made safe to stand anywhere in a page; :class:`Html` stays as it is."""
    return text if isinstance(text, Html) else Html(html.escape(str(text)))


def joined(parts: Iterable[str]) -> Html:
    """Parts one after the other."""
    return Html("\n".join(escape(part) for part in parts))


def heading(text: str) -> Html:
    """The heading of a section."""
    return Html(f"<h2>{escape(text)}</h2>")


def subheading(text: str) -> Html:
    """The heading of a part of a section."""
    return Html(f"<h3>{escape(text)}</h3>")


def paragraph(text: str, *, soft: bool = False) -> Html:
    """A paragraph; ``soft`` in the colour of what may be skipped."""
    return Html(f"<p{' class=soft' if soft else ''}>{escape(text)}</p>")


def table(head: Sequence[str], rows: Iterable[Sequence[object]], numbers: Iterable[int] = ()) -> Html:
    """A table, which scrolls by itself where the screen is narrow.

    Args:
        numbers: the columns that are set to the right, counted from 0.
    """
    right = set(numbers)

    def line(tag: str, cells: Sequence[object]) -> str:
        marks = [" class=num" if index in right else "" for index in range(len(cells))]
        inner = (f"<{tag}{mark}>{escape(cell)}</{tag}>" for mark, cell in zip(marks, cells, strict=True))
        return f"<tr>{''.join(inner)}</tr>"

    lines = "\n".join(line("td", row) for row in rows)
    return Html(
        f"<div class=wide><table><thead>{line('th', head)}</thead>\n<tbody>{lines}</tbody></table></div>"
    )


def definitions(summary: str, rows: Iterable[tuple[str, str]]) -> Html:
    """Terms with their meanings, folded up under a line that says what they are."""
    lines = "\n".join(f"<dt>{escape(term)}</dt><dd>{escape(meaning)}</dd>" for term, meaning in rows)
    return Html(f"<details><summary>{escape(summary)}</summary><dl>{lines}</dl></details>")


def picture(pixels: npt.NDArray[np.uint8], text: str, width: int | None = None) -> Html:
    """An image with its pixels in the page.

    Args:
        pixels: (H, W, 3) RGB.
        text: what it shows, for those who cannot see it.
        width: in CSS pixels; None: as wide as it is.
    """
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", optimize=True)
    coded = base64.b64encode(buffer.getvalue()).decode()
    wide = pixels.shape[1] if width is None else width
    high = round(pixels.shape[0] * wide / pixels.shape[1])
    return Html(
        f'<img src="data:image/png;base64,{coded}" width="{wide}" height="{high}" alt="{escape(text)}">'
    )


def figure(content: Html, caption: str) -> Html:
    """A picture or chart with its caption."""
    return Html(f"<figure>{content}<figcaption>{escape(caption)}</figcaption></figure>")


def cards(figures: Iterable[Html]) -> Html:
    """Figures side by side, as many in a line as fit."""
    return Html(f"<div class=cards>{joined(figures)}</div>")


def bars(rows: Sequence[tuple[str, float]], unit: str = "") -> Html:
    """Horizontal bars in the order given, the longest as wide as there is room.

    Args:
        rows: label and length of each, none below 0.
        unit: written behind each number.
    """
    longest = max((value for _, value in rows), default=0) or 1
    lines = (
        f'<span>{escape(label)}</span><span><i style="width:{100 * value / longest:.1f}%"></i></span>'
        f"<b>{value:g}{escape(unit)}</b>"
        for label, value in rows
    )
    return Html(f"<div class=bars>{''.join(lines)}</div>")
