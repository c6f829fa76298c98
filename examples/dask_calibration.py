"""Calibrate over a cluster: every partition of a Dask bag by itself, the calibrators merged.

    python examples/dask_calibration.py model.onnx calibration.npy model.octavo

What comes out is the artifact of one `octavo.quantize` call over the same samples, byte for byte: however
they are partitioned, whichever worker is done first, and if a worker is lost, whose part is observed anew.
"""

import argparse
from collections.abc import Iterable

import dask.bag
import distributed
import numpy as np
import octavo
from numpy.typing import NDArray


def observe(samples: Iterable[NDArray[np.float32]], model: str) -> list[octavo.Calibrator]:
    """What a worker does with its partition. The model's file is where every worker can read it."""
    calibrator = octavo.prepare(model, threads=1)
    samples = list(samples)
    return [calibrator.observe(samples) if samples else calibrator]


def calibrate(samples: dask.bag.Bag, model: str) -> octavo.Calibrator:
    """The calibrator of all samples of a bag."""
    return samples.map_partitions(observe, model).fold(octavo.Calibrator.merge).compute()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("data", help="a .npy file, samples along the first axis")
    parser.add_argument("output")
    parser.add_argument("--partitions", type=int, default=8)
    parser.add_argument("--scheduler", help="the address of a cluster; by default, this machine's cores")
    arguments = parser.parse_args()
    with distributed.Client(arguments.scheduler or distributed.LocalCluster(threads_per_worker=1)):
        bag = dask.bag.from_sequence(list(np.load(arguments.data)), npartitions=arguments.partitions)
        calibrator = calibrate(bag, arguments.model)
    model = octavo.convert(calibrator)
    print(model.report)
    model.save(arguments.output)


if __name__ == "__main__":
    main()
