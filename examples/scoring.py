"""What the scoring scripts share: rows in, and each with the model's answers or an error out.

A row is a picture in a file (columns `path` and `content`), or a sample in columns named as the model's
inputs, each a number or a list of numbers, in rows or flat. Samples run one at a time, on one thread, so that
a worker a core uses the machine, and an error is its own row's. The answers are those of `Session.run`, bit
for bit, on any number of workers.
"""

import argparse
import io
import re
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import octavo
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset
from numpy.typing import NDArray
from PIL import Image, ImageOps

Feeds = dict[str, NDArray[Any]]
ONNX_NAMES = {"float": "float32", "double": "float64"}


@cache
def session_of(model: str) -> octavo.Session:
    """A worker's session, which is loaded once."""
    return octavo.Session(model, threads=1)


@dataclass(frozen=True)
class Scorer:
    """Scores tables of rows, in any worker that it is sent to.

    model: the path of an artifact that every worker can read. limits, mean, std: of a picture's pixels, as
    the options --range, --mean and --std of `octavo quantize` gave them when the model was calibrated.
    """

    model: str
    limits: tuple[float, float] = (0.0, 1.0)
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)

    def schema(self, rows: pa.Schema) -> pa.Schema:
        """The columns that come out: those of the rows but what the model reads, the outputs, and `error`."""
        read = {"content", *(info.name for info in session_of(self.model).get_inputs())}
        kept = [field for field in rows if field.name not in read]
        outputs = [
            pa.field(info.name, pa.list_(pa.from_numpy_dtype(dtype_of(info))))
            for info in session_of(self.model).get_outputs()
        ]
        return pa.schema([*kept, *outputs, pa.field("error", pa.string())])

    def __call__(self, rows: pa.Table) -> pa.Table:
        """A table of this schema: each output of a row as a flat list, null where the row has an error."""
        schema = self.schema(rows.schema)
        outputs = [info.name for info in session_of(self.model).get_outputs()]
        columns: dict[str, Any] = {name: rows[name] for name in schema.names if name in rows.column_names}
        columns |= {name: [] for name in (*outputs, "error")}
        for index in range(rows.num_rows):
            error, answers = None, [None] * len(outputs)
            try:
                answers = [
                    array.ravel() for array in session_of(self.model).run(None, self.feeds(rows, index))
                ]
            except (octavo.Error, ValueError) as raised:
                error = str(raised)
            for name, answer in zip(outputs, answers, strict=True):
                columns[name].append(answer)
            columns["error"].append(error)
        return pa.table(columns, schema)

    def feeds(self, rows: pa.Table, index: int) -> Feeds:
        """What the model reads of a row; ValueError where the row does not have it."""
        feeds = {}
        for info in session_of(self.model).get_inputs():
            shape = [1 if isinstance(size, str) else size for size in info.shape[:1]] + info.shape[1:]
            if "content" in rows.column_names:
                feeds[info.name] = self.picture(rows["content"][index].as_py(), shape)
                continue
            if info.name not in rows.column_names:
                raise ValueError(f"there is no column {info.name!r}, only {', '.join(rows.column_names)}")
            feeds[info.name] = numbers(rows[info.name][index], info.name, shape, dtype_of(info))
        return feeds

    def picture(self, content: bytes, shape: list[Any]) -> NDArray[np.float32]:
        """A picture as `octavo quantize` reads it: grey or RGB, scaled to cover the input and cut to it."""
        if len(shape) != 4:
            raise ValueError(f"the model takes {shape}, which is no picture: give a Parquet file")
        first = shape[1] in (1, 3)
        channels, height, width = shape[1:] if first else (shape[3], *shape[1:3])
        try:
            with Image.open(io.BytesIO(content)) as file:
                upright = ImageOps.exif_transpose(file).convert("L" if channels == 1 else "RGB")
        except (OSError, ValueError, Image.DecompressionBombError) as error:
            raise ValueError(f"this is not a picture that pillow can read ({type(error).__name__})") from None
        fitted = ImageOps.fit(upright, (width, height), Image.Resampling.BICUBIC)
        pixels = np.asarray(fitted, np.uint8).reshape(height, width, channels)
        low, high = map(np.float32, self.limits)
        values = pixels.astype(np.float32) / np.float32(255) * (high - low) + low
        values = (values - np.array(self.mean, np.float32)) / np.array(self.std, np.float32)
        return np.ascontiguousarray(values.transpose(2, 0, 1) if first else values)[np.newaxis]


def numbers(cell: pa.Scalar, name: str, shape: list[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """The numbers of a cell as the input takes them; an axis that is free takes what there is."""
    if not cell.is_valid:
        raise ValueError(f"column {name!r} is null")
    values = cell.values if pa.types.is_nested(cell.type) else pa.array([cell.as_py()], cell.type)
    while pa.types.is_nested(values.type):
        values = values.flatten()
    if values.null_count:
        raise ValueError(f"column {name!r} holds a null")
    array = values.to_numpy(zero_copy_only=False)
    if array.dtype != dtype:
        raise ValueError(f"column {name!r} holds {array.dtype}, the model takes {dtype}: cast it first")
    try:
        return array.reshape([-1 if isinstance(size, str) else size for size in shape])
    except ValueError:
        raise ValueError(f"column {name!r} holds {len(array)} numbers, the model takes {shape}") from None


def dtype_of(info: Any) -> np.dtype[Any]:  # noqa: ANN401
    """The dtype of an input or output of a session."""
    kind = info.type.removeprefix("tensor(").removesuffix(")")
    return np.dtype(ONNX_NAMES.get(kind, kind))


def parser_of(description: str) -> argparse.ArgumentParser:
    """The arguments that every script takes."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("model", help="an .octavo file that every worker can read")
    parser.add_argument("data", help="a folder of pictures, or Parquet: a name that ends in .parquet")
    parser.add_argument("output", help="the folder of Parquet files to write")
    parser.add_argument("--range", default="0..1", help="of pixels, as octavo quantize takes it")
    parser.add_argument("--mean", default="0")
    parser.add_argument("--std", default="1")
    return parser


def scorer_of(arguments: argparse.Namespace) -> Scorer:
    """The scorer that the arguments ask for; the script ends here where the model cannot be read."""
    low, high = map(float, arguments.range.split(".."))
    mean, std = (tuple(map(float, text.split(","))) for text in (arguments.mean, arguments.std))
    scorer = Scorer(str(Path(arguments.model).resolve()), (low, high), mean, std)
    try:
        session_of(scorer.model)
    except (octavo.Error, OSError) as error:
        raise SystemExit(str(error)) from None
    return scorer


def is_parquet(data: str) -> bool:
    return re.search(r"\.parquet/?$", data) is not None


def summarize(output: str) -> None:
    """Print how many rows were scored; on standard error, how many were not, and the first few errors."""
    rows = pyarrow.dataset.dataset(output, format="parquet")
    failed = rows.filter(pc.field("error").is_valid())
    count, bad = rows.count_rows(), failed.count_rows()
    print(f"{output}: {count - bad} of {count} rows scored")
    if bad:
        print(f"{bad} with an error, such as:", file=sys.stderr)
        for row in failed.head(3, columns=[failed.schema.names[0], "error"]).to_pylist():
            print("  " + ": ".join(map(str, row.values())), file=sys.stderr)
