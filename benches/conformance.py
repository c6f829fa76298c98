"""Which of ONNX's own node tests octavo runs, in float: `python benches/conformance.py --help`.

The cases are those of `onnx.backend.test`, as the installed onnx makes them: one operator each, or the
operator's function body written out. A case passes where every output has the expected dtype and shape, and
equal elements (integers, booleans) or elements within the case's own tolerances (floats). It is unsupported
where octavo refuses the model and says which operator, dtype, attribute or opset it lacks. All else fails:
other numbers, other errors, a crash, a run of more than LIMIT_SECONDS.
"""

import argparse
import json
import multiprocessing
import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import onnx
from onnx import numpy_helper

if TYPE_CHECKING:
    from onnx.backend.test.case.test_case import TestCase

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benches" / "results" / "conformance.json"
TABLE = ROOT / "docs" / "operators.md"
LIMIT_SECONDS = 30
STATUSES = ("pass", "unsupported", "fail")


class Result(NamedTuple):
    """What became of a case; `operator` is the one under test, also where its body is written out."""

    name: str
    operator: str
    status: str
    reason: str = ""


def node_cases() -> "list[TestCase]":
    """All cases, in the order of their modules."""
    from onnx.backend.test.loader import load_model_tests

    with warnings.catch_warnings():  # NaNs and overflows are what some cases are about
        warnings.simplefilter("ignore")
        return load_model_tests(kind="node")


def operators(cases: "list[TestCase]") -> dict[str, str]:
    """The operator under test of each case, by the case's name."""
    found: dict[str, str] = {}
    for case in cases:
        base = case.name.partition("_expanded")[0]
        node = case.model.graph.node[0]
        own = f"{node.domain}.{node.op_type}" if node.domain else node.op_type
        found[case.name] = found.get(base, own)
    return found


def run_case(case: "TestCase") -> tuple[str, str]:
    """(status, reason) of a case, run here."""
    import octavo

    try:
        session = octavo.Session(case.model)
        for inputs, expected in case.data_sets:
            names = [value.name for value in case.model.graph.input]
            feeds = dict(zip(names, map(_array, inputs), strict=True))
            given = session.run(None, feeds)
            if reason := _difference(list(map(_array, expected)), given, case.rtol, case.atol):
                return "fail", reason
    except octavo.ModelError as error:
        # where octavo itself is the subject, it lacks something; else it says that the model is wrong
        return ("unsupported" if "octavo" in str(error) else "fail"), _line(error)
    except Exception as error:
        return "fail", _line(error)
    return "pass", ""


def _array(value: Any) -> Any:
    """A case's value as an array; sequences and absent optionals stay what they are."""
    if isinstance(value, onnx.TensorProto):
        return numpy_helper.to_array(value)
    return np.asarray(value) if isinstance(value, np.generic) else value


def _difference(expected: list[Any], given: list[Any], rtol: float, atol: float) -> str:
    """How the outputs differ from what is expected; empty where they do not."""
    if len(expected) != len(given):
        return f"{len(given)} outputs, {len(expected)} expected"
    for number, (e, g) in enumerate(zip(expected, given, strict=True)):
        where = f"output {number}: "
        if (e.dtype, e.shape) != (g.dtype, g.shape):
            return f"{where}{g.dtype} {list(g.shape)}, {e.dtype} {list(e.shape)} expected"
        is_float = e.dtype.kind == "f"
        same = np.isclose(g, e, rtol=rtol, atol=atol, equal_nan=True) if is_float else e == g
        if not np.all(same):
            first = int(np.argmin(np.ravel(same)))
            return (
                f"{where}{np.size(same) - np.count_nonzero(same)} of {e.size} elements differ, the first at "
                f"{first}: {g.reshape(-1)[first]}, {e.reshape(-1)[first]} expected"
            )
    return ""


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]


def run_all(cases: "list[TestCase]") -> Iterator[tuple[str, str]]:
    """(status, reason) of each case, run in a process that is replaced where a case takes it down."""
    context = multiprocessing.get_context("fork")  # the cases take seconds to make, so the child has them
    start = 0
    while start < len(cases):
        here, there = context.Pipe(duplex=False)
        child = context.Process(target=_serve, args=(cases[start:], there), daemon=True)
        child.start()
        there.close()
        while start < len(cases):
            try:
                result = here.recv() if here.poll(LIMIT_SECONDS) else ("fail", f"over {LIMIT_SECONDS} s")
            except EOFError:
                child.join()
                result = ("fail", f"the process ended with {child.exitcode}")
            start += 1
            yield result
            if not child.is_alive() or result[1].startswith("over "):
                break
        child.kill()
        child.join()


def _serve(cases: "list[TestCase]", there: Connection) -> None:
    warnings.simplefilter("ignore")
    for case in cases:
        there.send(run_case(case))


def write_table(results: list[Result]) -> None:
    """Writes docs/operators.md: the counts of each operator, and why its unsupported cases are."""
    counts = Counter(result.status for result in results)
    parts = [
        "# Operators",
        "Written by `benches/conformance.py`, not by hand.",
        f"Of the {len(results)} node tests of onnx {onnx.__version__}, octavo passes {counts['pass']} in "
        f"float, refuses {counts['unsupported']} with an error that says what it lacks, and fails "
        f"{counts['fail']}. An operator without a case is not listed.",
        "| operator | pass | unsupported | fail | why not |\n| --- | ---: | ---: | ---: | --- |\n"
        + "\n".join(_row(name, rows) for name, rows in sorted(_by_operator(results).items())),
    ]
    TABLE.write_text("\n\n".join(parts) + "\n")


def _row(operator: str, results: list[Result]) -> str:
    counts = Counter(result.status for result in results)
    reasons = Counter(result.reason for result in results if result.status != "pass")
    reason = reasons.most_common(1)[0][0].partition(": ")[2] if reasons else ""
    cells = [operator, *(str(counts[status] or "") for status in STATUSES), reason.replace("|", "\\|")]
    return f"| {' | '.join(cells)} |"


def _by_operator(results: list[Result]) -> dict[str, list[Result]]:
    found: dict[str, list[Result]] = {}
    for result in results:
        found.setdefault(result.operator, []).append(result)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--only", default="", help="run the cases with this in their names; write nothing")
    parser.add_argument("--output", type=Path, help="write the results here alone")
    arguments = parser.parse_args()
    cases = node_cases()
    under_test = operators(cases)
    cases = [case for case in cases if arguments.only in case.name]
    results = []
    for case, (status, reason) in zip(cases, run_all(cases), strict=True):
        results.append(Result(case.name, under_test[case.name], status, reason))
        print(f"{status:12}{case.name}  {reason}", flush=True)
    for operator, rows in sorted(_by_operator(results).items()):
        counts = Counter(result.status for result in rows)
        print(f"{operator:40}" + "".join(f"{counts[status]:6}" for status in STATUSES))
    print(f"onnx {onnx.__version__}: {dict(Counter(result.status for result in results))}")
    report = {"onnx": onnx.__version__, "cases": {r.name: [r.status, r.reason] for r in results}}
    if arguments.output or not arguments.only:
        path = arguments.output or RESULTS
        path.write_text(json.dumps(report, indent=1) + "\n")
    if not (arguments.output or arguments.only):
        write_table(results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
