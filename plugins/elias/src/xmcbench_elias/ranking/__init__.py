"""Linear classifiers, and the final ranking from the scores of all parts."""
