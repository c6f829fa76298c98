"""Calibrate over a Spark cluster: every partition of an RDD by itself, the calibrators merged in a tree.

python spark_calibration.py model.onnx calibration.npy model.octavo
spark-submit --py-files calibrating.py spark_calibration.py model.onnx calibration.npy model.octavo
"""

import os
import sys
from functools import partial
from pathlib import Path

import numpy as np
import octavo
from calibrating import finish, observe, parser_of
from pyspark.sql import SparkSession


def main() -> None:
    arguments = parser_of(__doc__).parse_args()
    # Executors would otherwise run whichever python3 is first on their PATH.
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    spark = SparkSession.builder.appName("octavo").getOrCreate().sparkContext
    spark.addPyFile(str(Path(__file__).with_name("calibrating.py")))
    samples = spark.parallelize(list(np.load(arguments.data)), arguments.partitions)
    observed = samples.mapPartitions(partial(observe, model=str(Path(arguments.model).resolve())))
    calibrator = observed.treeReduce(octavo.Calibrator.merge)
    spark.stop()
    finish(calibrator, arguments.output)


if __name__ == "__main__":
    main()
