"""Calibrate over a Ray cluster: every part of the samples by itself, the calibrators merged in pairs.

python ray_calibration.py model.onnx calibration.npy model.octavo
"""

from pathlib import Path

import numpy as np
import octavo
import ray
from calibrating import finish, observe, parser_of
from numpy.typing import NDArray


@ray.remote
def observed(samples: NDArray[np.float32], model: str) -> octavo.Calibrator:
    (calibrator,) = observe(samples, model)
    return calibrator


@ray.remote
def merged(first: octavo.Calibrator, second: octavo.Calibrator) -> octavo.Calibrator:
    return first.merge(second)


def main() -> None:
    arguments = parser_of(__doc__).parse_args()
    ray.init(runtime_env={"py_modules": [str(Path(__file__).with_name("calibrating.py"))]})
    parts = np.array_split(np.load(arguments.data), arguments.partitions)
    model = str(Path(arguments.model).resolve())
    calibrators = [observed.remote(part, model) for part in parts]
    while len(calibrators) > 1:
        first, second, *left = calibrators
        calibrators = [*left, merged.remote(first, second)]
    finish(ray.get(calibrators[0]), arguments.output)


if __name__ == "__main__":
    main()
