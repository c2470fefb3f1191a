"""Many portraits and voices come in as a table, their videos go out: `python -m sadtalker_core.batch jobs.csv`.

The work is spread over workers by Ray, on this machine or on a cluster. It stands on top of the house, beside the
nodes: it walks the pipeline, and nothing imports it.
"""
