"""Programs of one node, run by the reference."""

import numpy as np
import pytest
from octavo import reference
from octavo.program import DTYPES, Node, Program, Value


@pytest.fixture
def run_node():
    """Runs one node on arrays, all fed but for those at the places in `constants`; None is left out."""

    def run(op, inputs, attributes, dtypes=None, outputs=1, constants=()):
        values, fixed, feeds, names = {}, {}, {}, []
        for place, array in enumerate(inputs):
            name = "" if array is None else f"in{place}"
            names.append(name)
            if array is not None:
                dtype = next(key for key, dtype in DTYPES.items() if dtype == array.dtype)
                values[name] = Value(name, dtype, array.shape)
                (fixed if place in constants else feeds)[name] = array
        made = [f"out{place}" for place in range(outputs)]
        kinds = dtypes if isinstance(dtypes, list) else [dtypes or values["in0"].dtype] * outputs
        for name, dtype in zip(made, kinds, strict=True):
            values[name] = Value(name, dtype, None)
        node = Node(op, "node", tuple(names), tuple(made), attributes)
        return reference.run(Program(list(feeds), made, values, fixed, [node]), feeds)

    return run


@pytest.fixture
def rng():
    return np.random.default_rng(20)
