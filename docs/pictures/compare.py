"""Writes compare.png, the top of the page that the first steps make: needs Chromium and the package.

octavo compare model.onnx model.octavo --data held-back/ --labels labels.npy --html compare.html
python docs/pictures/compare.py compare.html
"""

import subprocess
import sys
import tempfile
from pathlib import Path

WIDTH, HEIGHT = 960, 745
OUT = Path(__file__).with_suffix(".png")


def main() -> None:
    """Takes the page by its path."""
    page = Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            [
                "chromium",
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--hide-scrollbars",
                "--blink-settings=preferredColorScheme=1",
                f"--user-data-dir={folder}",
                f"--window-size={WIDTH},{HEIGHT}",
                f"--screenshot={OUT}",
                page.as_uri(),
            ],
            check=True,
        )


if __name__ == "__main__":
    main()
