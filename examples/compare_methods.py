"""Train methods on a small generated data set, and print their scores in order."""

from __future__ import annotations

import xmcbench as xb


def main() -> None:
    runs = xb.run(["tree", "popularity"], dataset="synthetic[labels=100,rows=1000,test=200]")
    for run in sorted(runs, key=lambda run: run.scores["P@1"], reverse=True):
        print(f"{run.label:12} P@1 {run.scores['P@1']:.3f}  PSP@5 {run.scores['PSP@5']:.3f}")


if __name__ == "__main__":
    main()
