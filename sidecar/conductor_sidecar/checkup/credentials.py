"""The credential of the link, and the tokens of the tools.

Promise: what is wrong with them is said without them. Refusal: none is sent anywhere.
"""

from __future__ import annotations

from conductor_sidecar.app import load_enrollment, read_private
from conductor_sidecar.checkup.finding import Check, Finding, fail, ok, skip, warn
from conductor_sidecar.checkup.scene import Scene
from conductor_sidecar.http.credential_file import read_credentials

EXPIRES_SOON_DAYS = 7
DAY_S = 86_400
TOKEN_MIN = 32
CANDIDATE = "enrollment.next.json"
ENROLL = "run: conductor enroll URL --token-file FILE"


def enrollment(scene: Scene) -> Finding:
    """Read the enrollment, and look when it ends."""
    if not scene.workspace.enrollment.exists():
        return warn("not enrolled; the memory adapter needs none", ENROLL)
    found = load_enrollment(scene.workspace)
    if found.expires_at is None:
        return ok(f"as {found.subject}, without an end")
    days = (found.expires_at - scene.clock.now()).days
    text = f"as {found.subject}, for {days} more days"
    return warn(text, "enroll again before it ends") if days < EXPIRES_SOON_DAYS else ok(text)


def rotation(scene: Scene) -> Finding:
    """Look for a new credential that never came into use."""
    path = scene.workspace.state_dir / CANDIDATE
    if not path.exists():
        return ok("none is pending")
    age_s = scene.clock.now().timestamp() - path.stat().st_mtime
    if age_s > DAY_S:
        return warn(f"a new credential has waited for {age_s / DAY_S:.0f} days",
                    "look why: conductor status")  # fmt: skip
    return ok(f"a new credential is being tried for {age_s / 3600:.1f} h")


def tokens(scene: Scene) -> Finding:
    """Read the tokens of callers over TCP."""
    path = scene.workspace.http_token
    try:
        token = read_private(path).strip()
    except FileNotFoundError:
        token = b""
    else:
        if len(token) < TOKEN_MIN:
            return fail(f"{path.name} has fewer than {TOKEN_MIN} characters",
                        f"remove it, and start the sidecar again: rm {path}")  # fmt: skip
    named = read_credentials(scene.workspace)
    if not token and not named:
        return skip("there are none")
    now = scene.clock.now()
    ended = [each.name for each in named if each.expires is not None and each.expires <= now]
    if ended:
        return warn(f"expired: {', '.join(ended)}", "run: conductor tools token list")
    return ok(f"{len(named)} named, {'and' if token else 'without'} the one in {path.name}")


CHECKS = (
    Check("credentials.enrollment", "enrollment", "fail",
          "The enrollment can be read, and does not end within a week.", enrollment),
    Check("credentials.rotation", "rotation", "warn",
          "No new credential has waited for longer than a day.", rotation),
    Check("credentials.tokens", "tokens", "fail",
          "The tokens for tools over TCP are whole, private and not expired.", tokens),
)  # fmt: skip
