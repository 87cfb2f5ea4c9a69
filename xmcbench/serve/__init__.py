"""A small HTTP server for one model: `app.py` has the paths, `batching.py` the thread that predicts."""
