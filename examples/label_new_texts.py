"""Import a csv file, train a label tree, and label new texts with it.

    python examples/label_new_texts.py

Data sets are stored in XMCBENCH_HOME, records and models in the current folder's `results`.
"""

from __future__ import annotations

from pathlib import Path

import xmcbench as xb

TERMS = Path(__file__).parent / "terms.csv"

xb.import_data("example-terms", texts=TERMS, label_separator="bar", replace=True)
run = xb.run("tree", dataset="example-terms", keep_models=True, progress=False)[0]
print(f"P@1 {run.scores['P@1']:.3f} on the test rows")
texts = ["Disorder of amino-acid metabolism", "Fracture of the left wrist"]
for text, labels in zip(texts, run.model().predict(texts, k=2), strict=True):
    print(text)
    for label in labels:
        print(f"  {label.score:.3f}  {label.name}")
