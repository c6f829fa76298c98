"""What Triton's client says of a service, in the environment that has it.

    python triton_client.py ADDRESS NAME FEEDS.npz ANSWERS.npz

Each way to send and to ask must give the answers of the file.
"""

import itertools
import sys

import numpy as np
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException, np_to_triton_dtype


def inputs_of(feeds, binary):
    inputs = []
    for name, array in feeds.items():
        inputs.append(triton.InferInput(name, array.shape, np_to_triton_dtype(array.dtype)))
        # It refuses to write float16 in JSON.
        inputs[-1].set_data_from_numpy(array, binary_data=binary or array.dtype == np.float16)
    return inputs


def main(address, name, feeds_file, answers_file):
    feeds, answers = (dict(np.load(file)) for file in (feeds_file, answers_file))
    client = triton.InferenceServerClient(address, concurrency=4)
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready(name)
    assert client.is_model_ready(name, "1")
    assert not client.is_model_ready("other")
    assert client.get_server_metadata()["extensions"] == ["binary_tensor_data"]
    for version in ("", "1"):
        metadata = client.get_model_metadata(name, version)
        assert {entry["name"]: entry["datatype"] for entry in metadata["inputs"]} == {
            key: np_to_triton_dtype(array.dtype) for key, array in feeds.items()
        }
        assert [entry["name"] for entry in metadata["outputs"]] == list(answers)

    wanted = {
        "all": None,
        "bytes": [triton.InferRequestedOutput(key, binary_data=True) for key in answers],
        "JSON": [triton.InferRequestedOutput(key, binary_data=False) for key in answers],
    }
    for binary, outputs in itertools.product((True, False), wanted.values()):
        check(client.infer(name, inputs_of(feeds, binary), outputs=outputs, request_id="7"), answers)
    pending = [client.async_infer(name, inputs_of(feeds, True)) for _ in range(40)]
    for request in pending:
        check(request.get_result(), answers)

    assert "no model" in refusal(client, "other", inputs_of(feeds, True))
    assert "input" in refusal(client, name, [])


def refusal(client, name, inputs):
    try:
        client.infer(name, inputs)
    except InferenceServerException as error:
        return error.message()
    return ""


def check(result, answers):
    for key, array in answers.items():
        got = result.as_numpy(key)
        assert (got.dtype, got.shape, got.tobytes()) == (array.dtype, array.shape, array.tobytes()), key


main(*sys.argv[1:])
