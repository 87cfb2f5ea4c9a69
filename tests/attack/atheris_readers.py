"""Coverage-guided fuzzing of readers with atheris, which is not part of the project's environments.

    pip install atheris
    python tests/attack/atheris_readers.py FORM [options of libFuzzer, such as -max_total_time=450 -seed=7]

FORM: a form of `mutations.forms`, such as "xmc one-file", "npz csr", tar.gz or record. Kernels run in the interpreter,
so that atheris sees their branches, and an access outside of an array is an IndexError. The input that fails is written
to the current folder; giving its path instead of the options reads it again.
"""

from __future__ import annotations

import os
import sys
import tempfile
import warnings
from pathlib import Path

os.environ["NUMBA_DISABLE_JIT"] = "1"  # read by numba when it is imported

import atheris

with atheris.instrument_imports(include=["xmcbench", "zipfile", "tarfile"]):
    from mutations import forms, outcome

    FORMS = forms()


def main() -> None:
    if len(sys.argv) < 2 or sys.argv[1] not in FORMS:
        sys.exit(f"{__doc__}\nForms: {', '.join(FORMS)}")
    form = FORMS[sys.argv[1]]
    warnings.simplefilter("ignore")
    folder = Path(tempfile.mkdtemp(prefix="atheris-"))
    examples = folder / "examples"
    examples.mkdir()
    (examples / "valid").write_bytes(form.valid)
    path = folder / form.name

    def read(data: bytes) -> None:
        path.write_bytes(data)
        if fault := outcome(form, path):
            raise RuntimeError(fault)

    inputs = [] if any(Path(word).is_file() for word in sys.argv[2:]) else [str(examples)]
    atheris.Setup([sys.argv[0], *sys.argv[2:], *inputs], read)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
