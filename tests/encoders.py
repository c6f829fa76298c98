"""Weights of a small encoder of sentences, named as benches/minilm.py wants them."""

import numpy as np

HEADS, HIDDEN, INNER, WORDS, POSITIONS = 4, 32, 96, 100, 40


def random_weights(layers=2):
    rng = np.random.default_rng(0)

    def normal(*shape):
        return rng.standard_normal(shape).astype(np.float32)

    tables = {"word": WORDS, "position": POSITIONS, "token_type": 2}
    weights = {f"embeddings.{kind}_embeddings.weight": normal(rows, HIDDEN) for kind, rows in tables.items()}
    norms = ["embeddings.LayerNorm"]
    dense = {}
    for layer in range(layers):
        name = f"encoder.layer.{layer}"
        dense |= {f"{name}.attention.self.{part}": (HIDDEN, HIDDEN) for part in ("query", "key", "value")}
        dense[f"{name}.attention.output.dense"] = (HIDDEN, HIDDEN)
        dense[f"{name}.intermediate.dense"] = (INNER, HIDDEN)
        dense[f"{name}.output.dense"] = (HIDDEN, INNER)
        norms += [f"{name}.attention.output.LayerNorm", f"{name}.output.LayerNorm"]
    for name, shape in dense.items():
        weights[f"{name}.weight"] = normal(*shape) / np.float32(shape[1] ** 0.5)
        weights[f"{name}.bias"] = normal(shape[0]) / np.float32(8)
    for name in norms:
        weights[f"{name}.weight"] = 1 + normal(HIDDEN) / np.float32(8)
        weights[f"{name}.bias"] = normal(HIDDEN) / np.float32(8)
    return weights
