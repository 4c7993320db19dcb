"""Tools over TCP: who could reach them.

Promise: says what the settings would let in. Refusal: no port is tried.
"""

from __future__ import annotations

from conductor_adapters.endpoint import is_loopback
from conductor_sidecar.checkup.finding import Check, Finding, fail, ok, skip, warn
from conductor_sidecar.checkup.scene import Scene


def listen(scene: Scene) -> Finding:
    """Look at the address."""
    http = scene.settings().http
    if http.listen is None:
        return ok("not over TCP")
    host = http.listen.rpartition(":")[0].strip("[]")
    if is_loopback(host):
        return ok(f"{http.listen}, this machine only")
    if not http.allow_remote:
        return fail(f"{http.listen} is reached by other machines, and that is not allowed",
                    "listen on 127.0.0.1, or set http.allow_remote behind TLS")  # fmt: skip
    return warn(f"{http.listen} is reached by other machines: unencrypted, unless TLS is in front",
                "see: docs/reference/tools-http.md")  # fmt: skip


def allowed(scene: Scene) -> Finding:
    """Look at what may be called, and from where."""
    http = scene.settings().http
    if http.listen is None:
        return skip("no tool is served over TCP")
    if "*" in http.allowed_origins:
        return warn("http.allowed_origins holds *, which allows nothing", "name the origins")
    if "*" in http.allow_tools:
        return warn("every tool of every pack, those to come too", "name them: http.allow_tools")
    if not http.allow_tools:
        return warn("no tool may be called", "name some: http.allow_tools")
    origins = f"; browsers from {len(http.allowed_origins)} origins" if http.allowed_origins else ""
    return ok(f"{', '.join(http.allow_tools[:5])}{origins}")


def policy(scene: Scene) -> Finding:
    """Look at the rules over calls."""
    tools = scene.settings().tools
    if tools.default_decision == "allow" and not tools.policies:
        return ok("every call is allowed, within its scopes")
    return ok(f"{len(tools.policies)} rules, otherwise {tools.default_decision}")


CHECKS = (
    Check("tools.listen", "tools over TCP", "fail",
          "Tools are served to this machine only, or TLS is asked for.", listen),
    Check("tools.allowed", "tools that may be called", "warn",
          "Tools and origins are named one by one.", allowed),
    Check("tools.policy", "rules over calls", "warn", "Says what becomes of a call.", policy),
)  # fmt: skip
