"""Leaderboards rebuilt from committed records: one table model, rendered as Markdown, CSV, LaTeX and a page."""
