"""Why something is not looked at.

Promise: its text is the reason, for people. Refusal: it is not an error; nothing is wrong with it.
"""

from __future__ import annotations


class NotLooked(Exception):
    """The check cannot be made here; its text is the reason."""
