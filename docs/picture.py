"""Draws `docs/images/demo.svg` from a real run of `conductor demo`: `make docs`.

Promise: every line of the picture was printed. Refusal: nothing is edited in.
"""

from __future__ import annotations

import subprocess
import sys
from io import StringIO
from pathlib import Path

from rich.console import Console
from rich.text import Text

TARGET = Path(__file__).parent / "images" / "demo.svg"
WIDTH = 96


def main() -> None:
    """Run the demo and draw what it printed."""
    program = Path(sys.executable).with_name("conductor")
    ran = subprocess.run([program, "demo"], capture_output=True, text=True, check=True)  # noqa: S603  our own program
    console = Console(record=True, width=WIDTH, file=StringIO())
    console.print(Text("$ conductor demo", style="bold green"))
    console.print(Text(ran.stdout.rstrip()))
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_text(console.export_svg(title="conductor demo"), encoding="utf-8")


if __name__ == "__main__":
    main()
