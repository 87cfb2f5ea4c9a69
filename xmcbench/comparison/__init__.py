"""Records held against each other, against expected scores, and against what is computed anew."""
