"""The way to the conductor: its name, the connection, its certificate, its clock.

Promise: what the network says comes from one short connection without the credential. Refusal: a
host that does not answer is a finding, not an error of the doctor.
"""

from __future__ import annotations

from pathlib import Path

from conductor_adapters.endpoint import is_loopback
from conductor_sidecar.checkup.finding import Check, Finding, fail, ok, skip, warn
from conductor_sidecar.checkup.not_looked import NotLooked
from conductor_sidecar.checkup.scene import Scene

CERTIFICATE_SOON_DAYS = 14
SKEW_WARN_S = 30.0
SKEW_FAIL_S = 300.0
PROXIES = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "https_proxy", "http_proxy", "all_proxy")
BYPASS = ("NO_PROXY", "no_proxy")


def address(scene: Scene) -> Finding:
    """Look whether the address fits the adapter, and may carry a credential."""
    target, link = scene.target(), scene.settings().link
    fits = {"websocket": {"ws", "wss"}, "mqtt": {"mqtt", "mqtts"}}.get(link.adapter)
    if fits is not None and target.scheme not in fits:
        return fail(f"{target.scheme}:// is not an address of the adapter {link.adapter}",
                    "set link.adapter, or enroll again")  # fmt: skip
    if link.adapter == "mqtt":
        from conductor_adapters.mqtt_address import parse_sidecar_address

        found = parse_sidecar_address(scene.enrollment().url, allow_plaintext=link.allow_plaintext)
        return ok(f"{found.endpoint}, topic {found.up}")
    if target.secure or is_loopback(target.host):
        return ok(f"{target.scheme}://{target}")
    if link.allow_plaintext:
        return warn(f"{target.scheme}://{target} is not encrypted, and that is allowed",
                    "use TLS, and unset link.allow_plaintext")  # fmt: skip
    return fail(f"{target.scheme}://{target} would carry the credential unencrypted",
                "enroll at an encrypted address, or set link.allow_plaintext")  # fmt: skip


def trust(scene: Scene) -> Finding:
    """Read the files of anchors, certificate and key."""
    import ssl

    link = scene.settings().link
    names = {"ca_file": link.ca_file, "cert_file": link.cert_file, "key_file": link.key_file}
    if not any(names.values()):
        paths = ssl.get_default_verify_paths()
        if not (paths.cafile or paths.capath):
            return warn("this machine has no trust anchors", "install ca-certificates")
        return ok("the anchors of this machine")
    for name, path in names.items():
        if path is not None and not Path(path).is_file():
            return fail(f"link.{name}: there is no {path}", f"ls -l {path}")
    try:
        context = ssl.create_default_context(cafile=link.ca_file)
        if link.cert_file is not None:
            context.load_cert_chain(link.cert_file, link.key_file)
    except (ssl.SSLError, OSError) as error:
        return fail(f"cannot be used: {error}", "look at the files of link.ca_file and cert_file")
    return ok(", ".join(f"{name} {path}" for name, path in names.items() if path))


def proxy(scene: Scene) -> Finding:
    """Look for variables of a proxy, and say what uses them."""
    names = [name for name in PROXIES if scene.environ.get(name)]
    if not names:
        return ok("none is set")
    bypass = [name for name in BYPASS if scene.environ.get(name)]
    text = f"{', '.join([*names, *bypass])} set: used to enroll, never by the link"
    host = scene.target().host
    if is_loopback(host):
        return ok(text)
    return warn(f"{text}, which connects directly to {host}",
                "see that the network lets it through")  # fmt: skip


def dns(scene: Scene) -> Finding:
    """Look the host up."""
    probe, target = scene.probe(), scene.target()
    if probe.failed == "dns" and not probe.addresses:
        return fail(f"{target.host}: {probe.error}", f"getent hosts {target.host}")
    return ok(f"{target.host} is {', '.join(probe.addresses[:3])}")


def connection(scene: Scene) -> Finding:
    """Connect."""
    probe, target = scene.probe(), scene.target()
    _past(probe.failed, {"dns"})
    if probe.connect_ms is None:
        return fail(f"{target}: {probe.error}",
                    "is the conductor up, and does a firewall let it through?")  # fmt: skip
    return ok(f"{target} in {probe.connect_ms:.0f} ms")


def tls(scene: Scene) -> Finding:
    """Shake hands, and look at the certificate."""
    probe, target = scene.probe(), scene.target()
    if not target.secure:
        return skip("this link is not encrypted")
    _past(probe.failed, {"dns", "tcp"})
    if probe.failed == "tls":
        return fail(f"{target.host}: {probe.error}",
                    "name the right anchors: link.ca_file; or look at the clock")  # fmt: skip
    if probe.not_after is None:
        return ok(f"{probe.tls}, by {probe.issuer or 'a known authority'}")
    days = (probe.not_after - scene.clock.now()).days
    text = f"{probe.tls}, by {probe.issuer or 'a known authority'}, for {days} more days"
    if days < CERTIFICATE_SOON_DAYS:
        return warn(text, "tell the conductor's operator")
    return ok(text)


def skew(scene: Scene) -> Finding:
    """Compare the conductor's clock with ours."""
    probe = scene.probe()
    if not scene.target().dated:
        return skip("a broker tells no time")
    _past(probe.failed, {"dns", "tcp", "tls"})
    if probe.server_time is None or probe.asked_at is None:
        raise NotLooked("the conductor's host told no time")
    seconds = (probe.asked_at - probe.server_time).total_seconds()
    text = f"ours is {abs(seconds):.0f} s {'ahead' if seconds > 0 else 'behind'}"
    if abs(seconds) > SKEW_FAIL_S:
        return fail(f"{text}: credentials and certificates end by the clock", "run: timedatectl")
    return warn(text, "run: timedatectl") if abs(seconds) > SKEW_WARN_S else ok(text)


def _past(failed: str, before: set[str]) -> None:
    if failed in before:
        raise NotLooked(f"it did not get beyond {failed}")


CHECKS = (
    Check("link.address", "address", "fail",
          "The address fits the adapter, and no credential crosses a network unencrypted unless "
          "that is allowed.", address),
    Check("link.trust", "trust anchors", "fail",
          "The files of anchors, certificate and key can be used.", trust),
    Check("link.proxy", "proxy", "warn",
          "Says which variables of a proxy are set: the link does not use them.", proxy),
    Check("link.dns", "name", "fail", "The conductor's host has an address.", dns, network=True),
    Check("link.connection", "connection", "fail", "It takes a connection.", connection,
          network=True),
    Check("link.tls", "certificate", "fail",
          "Its certificate is trusted, fits the name and is valid for two more weeks.", tls,
          network=True),
    Check("link.clock", "clock of the conductor", "fail",
          "Its clock and ours are within 30 s; beyond 300 s is a failure.", skew, network=True),
)  # fmt: skip
