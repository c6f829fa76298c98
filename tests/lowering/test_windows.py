"""What no plan can be made for is refused when the model is read, by the node's name and its op."""

import octavo
import pytest

REFUSED = [
    ("y = MaxPool<kernel_shape=[1,2,2]>(z)", {}, "MaxPool over 3 axes"),
]


@pytest.mark.parametrize(("nodes", "constants", "what"), REFUSED)
def test_refused(floats, nodes, constants, what):
    text = f"g (float[1,4,2,2] x, float[1,2,2,2,2] z) => (float y) {{ {nodes} }}"
    with pytest.raises(octavo.ModelError, match=f"node '.*': octavo cannot run {what}"):
        floats(text, **constants)
