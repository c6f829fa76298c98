"""Score a folder of pictures or a Parquet file on a Dask cluster.

    python dask_scoring.py model.octavo photos/ scores --range -1..1
    python dask_scoring.py model.octavo samples.parquet scores --scheduler tcp://10.0.0.1:8786

The model, the data and the output are where every worker can reach them. A part that a lost worker had is
scored anew.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import distributed
import pyarrow as pa
import pyarrow.parquet
from scoring import Scorer, is_parquet, parser_of, scorer_of, summarize

PICTURES = 64
"""How many are a part."""


def pictures(paths: list[Path]) -> pa.Table:
    """The rows of some pictures, read where they are scored."""
    return pa.table({"path": list(map(str, paths)), "content": [path.read_bytes() for path in paths]})


def row_group(path: Path, index: int) -> pa.Table:
    return pyarrow.parquet.ParquetFile(path).read_row_group(index)


def parts_of(data: str) -> list[Callable[[], pa.Table]]:
    """What reads each part of the data."""
    if not is_parquet(data):
        files = sorted(path for path in Path(data).resolve().rglob("*") if path.is_file())
        return [partial(pictures, files[at : at + PICTURES]) for at in range(0, len(files), PICTURES)]
    path = Path(data).resolve()
    files = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
    return [
        partial(row_group, file, index)
        for file in files
        for index in range(pyarrow.parquet.ParquetFile(file).num_row_groups)
    ]


def score(part: Callable[[], pa.Table], target: Path, scorer: Scorer) -> None:
    pyarrow.parquet.write_table(scorer(part()), target)


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--scheduler", help="the address of a cluster; by default, this machine's cores")
    arguments = parser.parse_args()
    scorer, parts = scorer_of(arguments), parts_of(arguments.data)
    output = Path(arguments.output).resolve()
    output.mkdir(parents=True)
    targets = [output / f"{index:06}.parquet" for index in range(len(parts))]
    with distributed.Client(arguments.scheduler or distributed.LocalCluster(threads_per_worker=1)) as client:
        client.upload_file(str(Path(__file__).with_name("scoring.py")))
        written = client.map(score, parts, targets, scorer=scorer)
        distributed.progress(written, notebook=False)
        client.gather(written)
    summarize(arguments.output)


if __name__ == "__main__":
    main()
