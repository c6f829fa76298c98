"""Score a folder of pictures or Parquet with Spark.

    python spark_scoring.py model.octavo photos/ scores --range -1..1
    spark-submit --py-files scoring.py spark_scoring.py model.octavo samples.parquet scores

The model, the data and the output are where every executor can reach them.
"""

import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa
from pyspark.sql import SparkSession
from pyspark.sql.pandas.types import from_arrow_schema, to_arrow_schema
from scoring import is_parquet, parser_of, scorer_of, summarize


def main() -> None:
    arguments = parser_of(__doc__).parse_args()
    scorer = scorer_of(arguments)
    # Executors would otherwise run whichever python3 is first on their PATH.
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    spark = SparkSession.builder.appName("octavo").getOrCreate()
    spark.sparkContext.addPyFile(str(Path(__file__).with_name("scoring.py")))
    if is_parquet(arguments.data):
        rows = spark.read.parquet(arguments.data)
    else:
        files = spark.read.format("binaryFile").option("recursiveFileLookup", True)
        rows = files.load(arguments.data).select("path", "content")

    def score(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            yield from scorer(pa.Table.from_batches([batch])).to_batches()

    columns = from_arrow_schema(scorer.schema(to_arrow_schema(rows.schema)))
    rows.mapInArrow(score, columns).write.parquet(arguments.output)
    spark.stop()
    summarize(arguments.output)


if __name__ == "__main__":
    main()
