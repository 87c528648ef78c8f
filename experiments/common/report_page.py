"""The report of a run: one HTML page with its tables, texts, figures and settings."""

import base64
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from string import Template

from experiments.common.console import Printed

PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
:root { color-scheme: light dark; --line: #d0d0d0; --quiet: #5a5a5a; --back: #fff;
  --text: #1a1a1a; --card: #f6f6f6; }
@media (prefers-color-scheme: dark) { :root { --line: #444; --quiet: #a8a8a8;
  --back: #161616; --text: #e8e8e8; --card: #222; } }
body { margin: 0 auto; padding: 1rem; max-width: 62rem; background: var(--back);
  color: var(--text); font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; overflow-wrap: anywhere; }
h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .8rem .25rem 0; border-bottom: 1px solid var(--line);
  text-align: right; white-space: nowrap; vertical-align: top; }
th:first-child, td:first-child, .pairs td { text-align: left; white-space: normal; }
th { font-weight: 600; }
p.term { margin: .2rem 0; color: var(--quiet); font-size: .9rem; }
pre { background: var(--card); padding: .8rem; white-space: pre-wrap;
  overflow-wrap: anywhere; font: .9rem/1.45 ui-monospace, monospace; }
figure { margin: 1rem 0; }
img { max-width: 100%; height: auto; background: #fff; padding: .5rem;
  box-sizing: border-box; }
figcaption, summary { color: var(--quiet); }
</style>
</head>
<body>
<h1>$title</h1>
$body
</body>
</html>
""")


def report_page(
    title: str,
    printed: Iterable[Printed],
    figures: Mapping[str, Path],
    settings: Mapping[str, str],
    changed: Iterable[str],
) -> str:
    """The page, which needs no other file.

    Args:
      title: of the page.
      printed: the tables and texts of the run, in their order.
      figures: caption -> a PNG.
      settings: name -> value.
      changed: the names of the settings that have not their default.
    """
    body = [_section(item) for item in printed]
    body += ["<h2>Figures</h2>"] if figures else []
    body += [_figure(caption, path) for caption, path in figures.items()]
    given = [(name, settings[name]) for name in sorted(changed) if name in settings]
    if given:
        body.append(f"<h2>Settings other than the defaults</h2>\n{_table((), given)}")
    rows = _table((), sorted(settings.items()))
    body.append(f"<h2>Settings</h2>\n<details><summary>All</summary>\n{rows}</details>")
    return PAGE.substitute(title=escape(title), body="\n".join(body))


def _section(item: Printed) -> str:
    title = f"<h2>{escape(item.title)}</h2>\n" if item.title else ""
    if item.text and not title and "\n" not in item.text:
        return f"<p>{escape(item.text)}</p>"
    if item.text:
        return f"{title}<pre>{escape(item.text)}</pre>"
    terms = "".join(f'<p class="term">{escape(line)}</p>\n' for line in item.terms)
    return f"{title}{_table(item.header, item.rows)}{terms}"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = f"<tr>{_cells('th', header)}</tr>\n" if header else ""
    body = "".join(f"<tr>{_cells('td', row)}</tr>\n" for row in rows)
    kind = "" if header else ' class="pairs"'
    return f'<div class="wide"><table{kind}>\n{head}{body}</table></div>\n'


def _cells(tag: str, cells: Sequence[str]) -> str:
    return "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells)


def _figure(caption: str, path: Path) -> str:
    data = base64.b64encode(path.read_bytes()).decode()
    text = escape(caption)
    return (
        f'<figure><img src="data:image/png;base64,{data}" alt="{text}">'
        f"<figcaption>{text}</figcaption></figure>"
    )
