"""A throw-away environment in which `pip install -e PACK` really installs, offline.

It sees what the running environment has, through a `.pth` file, and what it installs itself is
found by entry point like anything else.
"""

from __future__ import annotations

import sys
import sysconfig
import venv
from pathlib import Path

COMMAND = """\
#!{python}
import sys
from {module} import main
sys.exit(main())
"""
COMMANDS = {"conductor": "conductor_sidecar.cli.main", "flows": "conductor_flows.cli.main"}


def make_environment(directory: Path) -> Path:
    """Make the environment; returns its directory of programs."""
    venv.EnvBuilder(with_pip=False).create(directory)
    programs = directory / "bin"
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = directory / "lib" / version / "site-packages"
    # `addsitedir` and not a bare path: it also follows the `.pth` files that it finds there.
    outer = sysconfig.get_path("purelib")
    line = f"import site; site.addsitedir({outer!r})\n"
    (packages / "outer.pth").write_text(line, encoding="utf-8")
    for name, module in COMMANDS.items():
        command = programs / name
        text = COMMAND.format(python=programs / "python", module=module)
        command.write_text(text, encoding="utf-8")
        command.chmod(0o755)
    return programs
