"""`xmcbench cite NAME…`: print BibTeX for methods, data sets and metrics."""

from __future__ import annotations

from typing import Annotated

import typer

from xmcbench import __version__

XMCBENCH_ENTRY = """@software{{xmcbench,
  title = {{xmcbench: extreme multi-label classification, compared honestly}},
  author = {{{{The xmcbench developers}}}},
  version = {{{version}}}
}}"""


def cite(
    names: Annotated[list[str] | None, typer.Argument(help="Methods, data sets and metrics that were used.")] = None,
) -> None:
    """Print BibTeX for methods, data sets and metrics, and for xmcbench itself."""
    from xmcbench.escaping import clean_lines

    entries = [XMCBENCH_ENTRY.format(version=__version__)]
    for name in names or []:
        entries += _entries(name)
    typer.echo("\n\n".join(clean_lines(entry) for entry in dict.fromkeys(entries)))


def _entries(name: str) -> list[str]:
    """The citations for one name; a BibTeX comment if there is none, or if it isn't BibTeX."""
    from xmcbench.cli.names import look_up

    meanings = look_up(name)
    texts = [d.citation for d in meanings.metric]
    if meanings.method is not None:
        texts.append(meanings.method.info.citation)
    if meanings.dataset is not None:
        texts += _parts(meanings.dataset.citation)
    texts = [text.strip() for text in texts if text.strip()]
    if not texts:
        return [f"% {name}: no citation is known"]
    return [text if text.startswith("@") else f"% {name}: {text}" for text in texts]


def _parts(bibtex: str) -> list[str]:
    """Split a text into BibTeX entries, so that an entry shared by two data sets is printed once."""
    starts = [i for i, c in enumerate(bibtex) if c == "@" and (i == 0 or bibtex[i - 1] == "\n")]
    return [bibtex[a:b] for a, b in zip(starts, [*starts[1:], len(bibtex)], strict=True)] or [bibtex]
