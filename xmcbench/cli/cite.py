"""`xmcbench cite NAME…`: BibTeX for what was used."""

from __future__ import annotations

from typing import Annotated

import typer

from xmcbench import __version__

OWN = """@software{{xmcbench,
  title = {{xmcbench: extreme multi-label classification, compared honestly}},
  author = {{{{The xmcbench developers}}}},
  version = {{{version}}}
}}"""


def cite(
    names: Annotated[list[str] | None, typer.Argument(help="Methods, data sets and metrics that were used.")] = None,
) -> None:
    """Print BibTeX for what was used and for xmcbench itself."""
    from xmcbench.escaping import clean_lines

    entries = [OWN.format(version=__version__)]
    for name in names or []:
        entries += _entries(name)
    typer.echo("\n\n".join(clean_lines(entry) for entry in dict.fromkeys(entries)))


def _entries(name: str) -> list[str]:
    """What to cite for one name; a comment where there is nothing, or no BibTeX."""
    from xmcbench.cli.names import look_up

    found = look_up(name)
    texts = [d.citation for d in found.metric]
    if found.method is not None:
        texts.append(found.method.info.citation)
    if found.dataset is not None:
        texts += _parts(found.dataset.citation)
    texts = [text.strip() for text in texts if text.strip()]
    if not texts:
        return [f"% {name}: nothing to cite is on record"]
    return [text if text.startswith("@") else f"% {name}: {text}" for text in texts]


def _parts(bibtex: str) -> list[str]:
    """The entries of a text that holds several, so that those shared by two data sets are printed once."""
    starts = [i for i, c in enumerate(bibtex) if c == "@" and (i == 0 or bibtex[i - 1] == "\n")]
    return [bibtex[a:b] for a, b in zip(starts, [*starts[1:], len(bibtex)], strict=True)] or [bibtex]
