"""Draws `docs/images/demo.svg` from a real run of `conductor demo`: `python docs/picture.py`.

Promise: every line of the picture was printed. Refusal: nothing is edited in, and the picture
loads nothing: it shows in whatever monospaced font the reader has.
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
FORMAT = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" \
width="{width}" height="{height}" role="img" aria-label="What conductor demo prints">
<style>
.{unique_id}-matrix {{
  font-family: Menlo, Consolas, "DejaVu Sans Mono", "Liberation Mono", monospace;
  font-size: {char_height}px;
}}
.{unique_id}-title {{ font: bold 18px sans-serif; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" />
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


def main() -> None:
    """Run the demo and draw what it printed."""
    program = Path(sys.executable).with_name("conductor")
    ran = subprocess.run([program, "demo"], capture_output=True, text=True, check=True)  # noqa: S603  our own program
    console = Console(record=True, width=WIDTH, file=StringIO(), highlight=False)
    console.print(Text("$ conductor demo", style="bold green"))
    console.print(Text(ran.stdout.rstrip()))
    console.print()  # the last line is clipped below its letters otherwise
    TARGET.parent.mkdir(exist_ok=True)
    drawn = console.export_svg(title="conductor demo", code_format=FORMAT, unique_id="demo")
    TARGET.write_text(drawn, encoding="utf-8")


if __name__ == "__main__":
    main()
