"""Which copy of the core do the workers of a batch load? Run in a process whose path says which copy leads it.

Prints, as JSON, the files of the copy that leads and of the copy in a worker that Ray has begun.
"""

import json

from sadtalker_core.batch import worker, worker_pool


def where() -> str:
    from sadtalker_core.batch import worker

    return worker.__file__


if __name__ == "__main__":
    with worker_pool.WorkerPool(worker_pool.WorkerPoolOptions(n_workers=1, gpus_each=0.0), 1):
        ray = worker_pool._import_ray()
        print(json.dumps([worker.__file__, ray.get(ray.remote(where).remote())]))
