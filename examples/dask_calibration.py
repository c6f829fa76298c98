"""Calibrate over a Dask cluster: every partition of a bag by itself, the calibrators merged.

python dask_calibration.py model.onnx calibration.npy model.octavo
python dask_calibration.py model.onnx calibration.npy model.octavo --scheduler tcp://10.0.0.1:8786
"""

from pathlib import Path

import dask.bag
import distributed
import numpy as np
import octavo
from calibrating import finish, observe, parser_of


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--scheduler", help="the address of a cluster; by default, this machine's cores")
    arguments = parser.parse_args()
    with distributed.Client(arguments.scheduler or distributed.LocalCluster(threads_per_worker=1)) as client:
        client.upload_file(str(Path(__file__).with_name("calibrating.py")))
        samples = dask.bag.from_sequence(list(np.load(arguments.data)), npartitions=arguments.partitions)
        calibrators = samples.map_partitions(observe, str(Path(arguments.model).resolve()))
        calibrator = calibrators.fold(octavo.Calibrator.merge).compute()
    finish(calibrator, arguments.output)


if __name__ == "__main__":
    main()
