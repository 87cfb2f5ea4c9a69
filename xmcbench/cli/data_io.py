"""`xmcbench data import` and `xmcbench data export`: import user files, export data sets."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xmcbench.cli import completion
from xmcbench.cli.options import LARGEST_SEED, PROPENSITY, AsJson, DatasetView, Offline, propensity_of
from xmcbench.cli.terminal import say
from xmcbench.errors import UsageError, counted, unknown

if TYPE_CHECKING:
    from xmcbench.data.imported import Imported

EPILOG = """
Examples:

  xmcbench data import --name tickets --texts tickets.jsonl

    one line {"text": "no dial tone", "labels": ["phone", "line"]} per row; a fifth becomes the test split

  xmcbench data import --name tickets --texts t.csv --text-column body --labels-column tags

  xmcbench data import --name comments --texts train.csv --text-column comment --one-hot toxic,rude

  xmcbench data import --name laws --texts x.txt --labels y.txt --test-texts tx.txt --test-labels ty.txt

  xmcbench data import --name mine --features train.txt --test-features test.txt

    XMC text, which contains features and labels

  xmcbench data import --name lf --texts trn.json.gz --test-texts tst.json.gz --label-texts lbl.json.gz
    --text-column title,content --labels-column target_ind

  xmcbench data import --name mine --from folder

    with X.trn.npz, Y.trn.npz, X.tst.npz, Y.tst.npz, and optionally X.trn.txt, output-items.txt
"""
File = Path | None
Texts = Annotated[File, typer.Option(help="Training texts: one per line, or .jsonl, .json, .csv, .tsv, .parquet.")]
Labels = Annotated[File, typer.Option(help="Training labels: one row per line, a table as for texts, npz, XMC text.")]
Features = Annotated[File, typer.Option(help="Training features: npz (scipy CSR) or XMC text.")]
ForTest = Annotated[File, typer.Option(help="The same for the test split.")]
ForDev = Annotated[File, typer.Option(help="The same for a development split.")]
Folder = Annotated[File, typer.Option("--from", help="A folder of `data export`, PECOS, or an LF data set.")]
LabelTexts = Annotated[File, typer.Option(help="Label texts: text of label i in line i, or lines NAME<TAB>TEXT.")]
Pairs = Annotated[File, typer.Option(help="Pairs `row label` to ignore in evaluation.")]
Separator = Annotated[str, typer.Option(help="tab, bar, semicolon, comma, newline, space, none, or characters.")]
Delimiter = Annotated[str, typer.Option(help="Of csv columns: comma, tab, semicolon, bar; default: found in line 1.")]
ColumnNames = Annotated[str, typer.Option("--columns", help="Column names of csv or tsv without a header: a,b,c.")]
IdColumn = Annotated[str, typer.Option(help="Column by which a table of labels is joined to the table of texts.")]
Long = Annotated[bool, typer.Option("--long", help="The labels file has one line per row id and label.")]
OneHot = Annotated[str, typer.Option(help="Label columns of 0 and 1, as in toxic,rude; * for all others.")]
Missing = Annotated[str, typer.Option(help="Cells equal to this, such as NA, are empty.")]
Literal = Annotated[bool, typer.Option("--literal", help="NA, nan, 3.0, TRUE and ['a'] are names as they are.")]
TextColumn = Annotated[str, typer.Option(help="Column or key of the text; or several, as in title,content.")]
OneBased = Annotated[str, typer.Option(help="Ids that start at 1: features, labels (and filters), or both.")]


def import_(
    name: Annotated[str, typer.Option(help="Name of the new data set: lower case letters, digits, dashes.")],
    texts: Texts = None,
    labels: Labels = None,
    features: Features = None,
    test_texts: ForTest = None,
    test_labels: ForTest = None,
    test_features: ForTest = None,
    dev_texts: ForDev = None,
    dev_labels: ForDev = None,
    dev_features: ForDev = None,
    folder: Folder = None,
    label_texts: LabelTexts = None,
    train_filter: Pairs = None,
    test_filter: Pairs = None,
    label_separator: Separator = "",
    delimiter: Delimiter = "",
    columns: ColumnNames = "",
    text_column: TextColumn = "text",
    labels_column: Annotated[str, typer.Option(help="Column or key of the labels.")] = "labels",
    id_column: IdColumn = "",
    long: Long = False,
    one_hot: OneHot = "",
    missing: Missing = "",
    literal: Literal = False,
    one_based: OneBased = "",
    test_share: Annotated[float, typer.Option(help="Share of test rows if no test files are given.")] = 0.2,
    seed: Annotated[int, typer.Option(min=0, max=LARGEST_SEED, help="Seed of that split.")] = 0,
    propensity: Annotated[str, typer.Option(help="Propensity constants A,B of Jain et al. 2016.")] = PROPENSITY,
    replace: Annotated[bool, typer.Option("--replace", help="Replace an imported data set of that name.")] = False,
    as_json: AsJson = False,
) -> None:
    """Import a data set from your files. Every command can then use it by its name.

    Labels may be names: they get ids in sorted order over all splits. Texts without features get a view `bow` (tf-idf
    of words, fitted on training texts) in addition to `text`. All files are checked; nothing is imported on an error.
    The page docs/files.md says how each form of file is read.
    """
    from xmcbench.data.importing import Plan, import_files
    from xmcbench.data.label_cells import CellRules
    from xmcbench.data.table_columns import Reading
    from xmcbench.data.user_files import SplitFiles

    reading = Reading(
        separator=label_separator,
        text_column=text_column,
        labels_column=labels_column,
        one_based=one_based_of(one_based),
        delimiter=delimiter,
        columns=tuple(name.strip() for name in columns.split(",")) if columns else (),
        id_column=id_column,
        long=long,
        one_hot=one_hot,
        cells=CellRules(missing, literal),
    )
    plan = Plan(
        train=SplitFiles(texts, labels, features),
        test=SplitFiles(test_texts, test_labels, test_features),
        dev=SplitFiles(dev_texts, dev_labels, dev_features),
        label_texts=label_texts,
        train_filter=train_filter,
        test_filter=test_filter,
        reading=reading,
        test_share=test_share,
        seed=seed,
        propensity=propensity_of(propensity),
    )
    if folder is not None:
        if plan.train or plan.test or plan.dev or label_texts or train_filter or test_filter:
            raise UsageError("--from can't be combined with single files", "Give one or the other.")
        plan = plan.of_folder(folder)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        imported = import_files(name, plan, replace=replace)
    for warning in caught:
        say(f"note: {warning.message}", err=True)
    _print_imported(imported, as_json)


def one_based_of(text: str) -> frozenset[str]:
    """ "features", "labels" or "both" → a set of the first two; "" → the empty set."""
    choices = {"": (), "features": ("features",), "labels": ("labels",), "both": ("features", "labels")}
    if text not in choices:
        raise UsageError(f"--one-based {text!r}", "One of features, labels, both.")
    return frozenset(choices[text])


def _print_imported(imported: Imported, as_json: bool) -> None:
    if as_json:
        from msgspec.structs import asdict

        fields = {name: value for name, value in asdict(imported).items() if name not in ("format", "files", "seal")}
        typer.echo(json.dumps({**fields, "folder": str(imported.folder)}))
        return
    c = imported.counts
    say(
        f"{imported.name}: {c['n_train']:,} training and {c['n_test']:,} test rows, {c['n_labels']:,} labels, "
        f"{c['n_features']:,} features; views {', '.join(imported.views)}"
    )
    for note in imported.notes:
        say(f"  {note}")
    if imported.changes:
        typer.echo("replaces an earlier import:")
    for change in imported.changes:
        say(f"  {change}")
    unusual = {
        "train_rows_without_labels": ("training row", "without a label"),
        "test_rows_without_labels": ("test row", "without a label"),
        "test_labels_unseen_in_train": ("label", "of test rows alone, which training can't learn"),
        "train_rows_without_features": ("training row", "without a known word or feature"),
    }
    for key, (noun, what) in unusual.items():
        if c.get(key):
            typer.echo(f"  kept: {counted(int(c[key]), noun)} {what}")
    say(f"  in {imported.folder}\nNext: xmcbench run tree knn --dataset {imported.name} --keep-models")


def export(
    dataset: Annotated[
        str, typer.Argument(autocompletion=completion.datasets, help="A data set of the catalogue, or an imported one.")
    ],
    to: Annotated[Path, typer.Option(help="Folder to write to.")],
    view: DatasetView = None,
    matrices: Annotated[
        str, typer.Option("--format", help="npz (X.trn.npz, …), xmc (train.txt, …) or lf (trn.json.gz, …).")
    ] = "npz",
    replace: Annotated[bool, typer.Option("--replace", help="Overwrite existing files.")] = False,
    offline: Offline = False,
) -> None:
    """Write a data set's files for other programs.

    npz: X and Y as scipy CSR (`scipy.sparse.load_npz`), which PECOS and ELIAS read. xmc: features and labels in one
    text file per split, which Omikuji and napkinXC read. With both, texts, label texts and filter pairs are written as
    .txt. If a text has line ends, which are spaces in .txt, a .jsonl next to it has the texts unchanged. lf: the files
    of the label-feature data sets of the XC repository.

    Examples: `xmcbench data export icd10cm --to files` · `xmcbench data export eurlex-4.3k --to xmc --format xmc`
    """
    from xmcbench.data import load
    from xmcbench.data.folders import FORMATS
    from xmcbench.data.folders import export as write

    if matrices not in FORMATS:  # checked before a long download
        raise unknown("format", matrices, FORMATS)
    for path in write(load(dataset, view, offline=offline), to, matrices=matrices, replace=replace):
        say(str(path))
