"""The results of a batch as a table: CSV for programs, HTML for people."""

from __future__ import annotations

import csv
import html
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem; color-scheme: light dark; }
table { border-collapse: collapse; }
th, td { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid #8884; }
img { max-height: 8rem; display: block; }
"""


@dataclass
class RowResult:
    """What became of a row: its job, status, seconds, pictures (below the batch's folder), and the error."""

    values: Sequence[Any]
    job: str = ""
    status: str = "not sent"
    seconds: float | None = None
    pictures: list[str] = field(default_factory=list)
    error: str = ""


def write_tables(folder: Path, titles: Sequence[str], results: Sequence[RowResult]) -> None:
    """Writes results.csv and results.html, each whole or not at all."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow([*titles, "status", "seconds", "pictures", "job", "error"])
    for each in results:
        values = [value.name if isinstance(value, Path) else value for value in each.values]
        seconds = "" if each.seconds is None else f"{each.seconds:.2f}"
        writer.writerow([*values, each.status, seconds, " ".join(each.pictures), each.job, each.error])
    _replace(folder / "results.csv", text.getvalue())
    _replace(folder / "results.html", _page(folder.name, titles, results))


def _page(name: str, titles: Sequence[str], results: Sequence[RowResult]) -> str:
    heads = "".join(f"<th>{html.escape(title)}</th>" for title in [*titles, "status", "seconds", "pictures"])
    lines = []
    for each in results:
        cells = [html.escape(v.name if isinstance(v, Path) else str(v)) for v in each.values]
        cells += [html.escape(f"{each.status} {each.error}".strip())]
        cells += ["" if each.seconds is None else f"{each.seconds:.1f}"]
        shown = (
            f'<a href="{quote(p)}"><img loading="lazy" src="{quote(p)}" alt=""></a>' for p in each.pictures
        )
        cells += ["".join(shown)]
        lines.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    title = html.escape(name)
    body = f"<h1>{title}</h1>\n<table>\n<tr>{heads}</tr>\n" + "\n".join(lines) + "\n</table>"
    head = f'<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<title>{title}</title>\n'
    return f"{head}<style>{STYLE}</style>\n{body}\n</html>\n"


def _replace(path: Path, text: str) -> None:
    part = path.with_suffix(path.suffix + ".part")
    part.write_text(text, "utf-8", newline="")
    os.replace(part, path)
