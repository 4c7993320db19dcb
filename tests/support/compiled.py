"""The product is compiled before the first test, as an installer would have done it.

The suite starts some thousand processes, and those are told to write no bytecode: they would each
compile whatever they import and nobody has imported yet, which is a quarter of their time.

Promise: what has changed since the last time is compiled, once, by whoever starts the workers.
Refusal: no test and no template is compiled; what cannot be compiled is left to its importer.
"""

from __future__ import annotations

import compileall
import re

from house import ROOT

LEFT = re.compile(r"/templates/")
"""Text that becomes somebody else's module."""


def compile_product() -> None:
    """Compile every module of the product that has changed; quick if none has."""
    for package in sorted(ROOT.glob("*/conductor_*")):
        compileall.compile_dir(package, quiet=2, rx=LEFT)
