"""Write terms.csv: 600 clinical terms of ICD-10-CM with the names of their category and block.

ICD-10-CM is a work of the US government (NCHS, CDC) and in the public domain; it comes with simple-icd-10-cm.
"""

from __future__ import annotations

import csv
import random
from pathlib import Path

import simple_icd_10_cm as icd

CATEGORIES, TERMS = 30, 20  # of each category

terms: dict[str, list[str]] = {}
for code in icd.get_all_codes(with_dots=True):
    if icd.is_subcategory(code) and not icd.is_extended_subcategory(code) and code[0] < "S":  # S and up: injuries
        terms.setdefault(code[:3], []).append(code)
large = [category for category, codes in terms.items() if len(codes) >= TERMS]
chosen = random.Random(0).sample(large, CATEGORIES)
rows = []
for category in sorted(chosen):
    block = icd.get_parent(category)
    labels = f"{icd.get_description(category)}|{icd.get_description(block)}"
    rows += [(code, icd.get_description(code), labels) for code in random.Random(1).sample(terms[category], TERMS)]
random.Random(2).shuffle(rows)
with (Path(__file__).parent / "terms.csv").open("w", newline="", encoding="utf-8") as file:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(("id", "text", "labels"))
    writer.writerows(rows)
