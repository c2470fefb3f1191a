"""Many portraits and voices come in as a table, their videos go out: `python -m sadtalker_core.batch jobs.csv`.

The work is spread over workers by Ray, on this machine or on a cluster. Like the nodes it calls the pipeline, and
nothing imports it.
"""
