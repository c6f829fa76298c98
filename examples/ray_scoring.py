"""Score a folder of pictures or Parquet with Ray Data.

    python ray_scoring.py model.octavo photos/ scores --range -1..1
    python ray_scoring.py model.octavo samples.parquet scores --workers 8

On a cluster, run it as a job (`ray job submit`); the model, the data and the output are where every node can
reach them.
"""

import dataclasses
from pathlib import Path

import ray
from scoring import Scorer, is_parquet, parser_of, scorer_of, summarize


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--workers", type=int, help="by default, one a core, but for one that reads")
    arguments = parser.parse_args()
    scorer = scorer_of(arguments)
    ray.init(runtime_env={"py_modules": [str(Path(__file__).with_name("scoring.py"))]})
    if is_parquet(arguments.data):
        rows = ray.data.read_parquet(arguments.data)
    else:
        files = ray.data.read_binary_files(arguments.data, include_paths=True)
        rows = files.rename_columns({"bytes": "content"})
    workers = arguments.workers or max(1, int(ray.cluster_resources()["CPU"]) - 1)
    rows.map_batches(
        Scorer,
        fn_constructor_kwargs=dataclasses.asdict(scorer),
        batch_format="pyarrow",
        batch_size=64,
        compute=ray.data.ActorPoolStrategy(min_size=1, max_size=workers),
    ).write_parquet(arguments.output)
    summarize(arguments.output)


if __name__ == "__main__":
    main()
