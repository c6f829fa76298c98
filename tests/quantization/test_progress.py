"""What is said of a quantization while it runs."""

import io

import numpy as np
import octavo
import onnx
import onnx.parser
import pytest
from octavo.quantization.progress import Shown


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("stream", "wanted"),
    [
        (io.StringIO(), "octavo: calibrate 2, 3.5 s\noctavo: check, 1.0 s\n"),
        (
            Terminal(),
            "\roctavo: calibrate\roctavo: calibrate 1\roctavo: calibrate 2\roctavo: calibrate 2, 3.5 s\n"
            "\roctavo: check\roctavo: check, 1.0 s\n",
        ),
    ],
)
def test_a_line_a_stage(stream, wanted):
    times = iter([10.0, 13.5, 20.0, 21.0])
    shown = Shown(stream, lambda: next(times))
    shown.begin("calibrate")
    shown.count(1)
    shown.count(2)
    shown.end()
    shown.begin("check")
    shown.end()
    assert stream.getvalue() == wanted


def test_the_stages_are_shown_where_that_is_asked_for(capsys):
    proto = onnx.parser.parse_model(
        """<ir_version: 10, opset_import: ["" : 21]> g (float[N,4] x) => (float y) { y = MatMul(x, w) }"""
    )
    proto.graph.initializer.append(onnx.numpy_helper.from_array(np.eye(4, dtype=np.float32), "w"))
    data = np.random.default_rng(1).normal(size=(40, 4)).astype(np.float32)
    report = octavo.quantize(proto, data, progress=True).report
    shown = capsys.readouterr().err.splitlines()
    assert [line.split(":")[1].split(",")[0].strip() for line in shown] == [
        "calibrate 40" if stage == "calibrate" else stage for stage in report.stages
    ]
    for silent in (False, None):
        octavo.quantize(proto, data, progress=silent)
        assert capsys.readouterr().err == ""
