"""ONNX's own node tests through a Session: what fails is known, none that passed is lost."""

import json
import subprocess
import sys
from pathlib import Path

import onnx

# The cases that octavo answers otherwise, and why.
OTHERWISE = {
    # The indices are meant for another output than the one that is stated: they count in the one that the
    # window would make, which ONNX's text does not say, and which a MaxPool of that output does not give.
    "test_maxunpool_export_with_output_shape",
    # numpy's float16 Softmax rounds each of its steps, octavo's is rounded once: two elements of 192 are
    # two float16 ulps off, and octavo's are the nearer ones to what float64 gives.
    "test_attention_4d_causal_fp16_expanded",
    # The length that corners are aligned by is that of the output, as in ONNX Runtime; the cases take the
    # product of input length and scale, which is no whole number.
    "test_resize_downsample_scales_cubic_align_corners",
    "test_resize_downsample_scales_linear_align_corners",
}
BENCHES = Path(__file__).resolve().parents[2] / "benches"


def test_node_tests(tmp_path):
    written = tmp_path / "conformance.json"
    script = BENCHES / "conformance.py"
    run = subprocess.run([sys.executable, script, "--output", written], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    report = json.loads(written.read_text())
    failed = {name: reason for name, (status, reason) in report["cases"].items() if status == "fail"}
    assert failed.keys() == OTHERWISE, "\n".join(f"{name}: {reason}" for name, reason in failed.items())
    known = json.loads((BENCHES / "results" / "conformance.json").read_text())
    if known["onnx"] == onnx.__version__:  # another version has other cases
        passed = {name for name, (status, _) in known["cases"].items() if status == "pass"}
        lost = [name for name in sorted(passed) if report["cases"][name][0] != "pass"]
        assert not lost, "\n".join(f"{name}: {report['cases'][name][1]}" for name in lost)
