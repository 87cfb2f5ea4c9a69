"""Generator of the plugin's RESULTS.md from records: `python -m xmcbench_elias.results`."""
