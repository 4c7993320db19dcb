"""What an attacker writes on the socket of the tool surface, as data: case by case.

A case makes the bytes; what must come back stands beside it. `{port}` and `{token}` in the texts
are filled in with those of the running server.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

CALL = "/tools/task:create"
JSON = "Content-Type: application/json"


@dataclass(frozen=True)
class Attack:
    """One request that must be refused."""

    name: str
    parts: tuple[str, ...]
    """Sent one after the other, as Latin-1."""
    status: int
    reason: str
    """Its code in the journal."""
    pause_s: float = 0.0

    def __str__(self) -> str:
        return self.name


def request(
    *headers: str, method: str = "POST", target: str = CALL, host: str | None = "127.0.0.1:{port}",
    bearer: str | None = "Bearer {token}", type: str | None = JSON, body: str = "{{}}",  # noqa: A002
    length: str | None = "", version: str = "HTTP/1.1",
) -> str:  # fmt: skip
    """A request that is right but for what is given. `length` None: no Content-Length."""
    lines = [f"{method} {target} {version}"]
    lines += [f"Host: {host}"] if host is not None else []
    lines += [f"Authorization: {bearer}"] if bearer is not None else []
    lines += [type] if type is not None else []
    if length is not None:
        plain = body.replace("{{", "{").replace("}}", "}")
        lines.append(f"Content-Length: {length or len(plain)}")
    return "\r\n".join([*lines, *headers, "", body])


def get(*headers: str, target: str = "/tools", method: str = "GET", **more: str | None) -> str:
    """A request without a body."""
    return request(*headers, method=method, target=target, type=None, body="", length=None, **more)  # type: ignore[arg-type]


def chunked(body: str) -> str:
    """A request whose body comes in chunks; `body` is what follows the head."""
    return request("Transfer-Encoding: chunked", length=None, body=body)


HOSTS = (
    "", "evil.example", "evil.example:{port}", "localhost", "127.0.0.1", "[::1]", "localhost:80",
    "localhost:1{port}", "localhost:0{port}", "localhost:+{port}", "localhost: {port}",
    "localhost:{port} ,x", "localhost.:{port}", "LOCALHOST.:{port}", "localhost..:{port}",
    "localhost.localdomain:{port}", "xlocalhost:{port}", "localhost.evil.example:{port}",
    "127.0.0.1.:{port}", "127.1:{port}", "127.0.1:{port}", "127.0.0.01:{port}",
    "127.0.0.2:{port}", "0177.0.0.1:{port}", "0x7f.0.0.1:{port}", "0x7f000001:{port}",
    "2130706433:{port}", "017700000001:{port}", "0:{port}", "0.0.0.0:{port}",
    "127.0.0.1.nip.example:{port}", "::1:{port}", "[::]:{port}", "[::1]x:{port}",
    "[0:0:0:0:0:0:0:1]:{port}", "[::ffff:127.0.0.1]:{port}", "[::ffff:7f00:1]:{port}",
    "[::1%25lo]:{port}", "[::1%lo]:{port}", "user@127.0.0.1:{port}",
    "127.0.0.1:{port}@evil.example",
    "user:pass@127.0.0.1:{port}", "evil.example#127.0.0.1:{port}",
    "evil.example/127.0.0.1:{port}", "127.0.0.1:{port}/", "127.0.0.1:{port}?",
    "127.0.0.1:{port},evil.example", "evil.example,127.0.0.1:{port}", "127.0.0.1:{port} x",
    "http://127.0.0.1:{port}", "//127.0.0.1:{port}", "*", "null", "*:{port}",
    "127.0.0.1%00:{port}", "127.0.0.1:{port}%0d%0a", "\xe2\x93\x9bocalhost:{port}",
    "127\xe3\x80\x820\xe3\x80\x820\xe3\x80\x821:{port}",
)  # fmt: skip
TARGETS = (
    "http://evil.example/tools/task:create", "http://127.0.0.1:{port}/tools/task:create",
    "https://127.0.0.1:{port}/tools", "http:/tools/task:create", "tools/task:create", "*",
    "evil.example:80", "?/tools/task:create", "\\tools\\task:create",
)  # fmt: skip
ORIGINS = (
    "http://evil.example", "https://evil.example", "null", "NULL", "*", "", "file://",
    "http://localhost:{port}", "http://127.0.0.1:{port}", "https://127.0.0.1:{port}",
    "http://127.0.0.1:{port}.evil.example", "http://127.0.0.1:{port}@evil.example",
    "http://app.example:{port}", "http://app.example.", "https://app.example/",
    "https://app.example, https://evil.example", "https://app.example https://evil.example",
    "https://xapp.example", "https://app.example:444", "http://app.example",
    "https://app.example.evil.example", "chrome-extension://abcdef", "moz-extension://abcdef",
    "https://app.example%00", "about:blank", "data:",
)  # fmt: skip
NAMES = (
    "task:create%00", "task:create%0a", "task:create%0d%0aX:y", "task:create%20", "%20task:create",
    "task:create;x=1", "task:create%3fx", "task%253Acreate", "TASK:CREATE", "Task:create",
    "task%EF%BC%9Acreate", "task:create%ff", "%c0%ae%c0%ae", "%e0%80%ae", ".", "..", "%2e",
    "%2e%2e",
    "*", "task:*", "%5bt%5dask:create", "task:creat%3f", "t*", "task:creat", "task:createe",
    "task", "task:", ":create", "admin:delete", "task.create", "task_create", "demo_task_create",
    "task:create%u0000", "%", "%zz", "%2", "task:create%E2%80%8B", "a" * 4000, "__proto__",
    "constructor", "conductor_sidecar.app:build", "..%5c..%5cetc",
)  # fmt: skip
PATHS = (
    "/", "//", "/tools/", "//tools", "/tools//task:create", "/tools/task:create/",
    "/tools/task:create/x", "/tools/../tools/task:create", "/tools/./task:create",
    "/./tools/task:create", "/tools/%2e%2e/v1/status", "/tools/..%2fv1%2fstatus",
    "/tools/%2e%2e%2fv1%2fstatus", "/tools/task:create%2f", "/%2ftools/task:create",
    "/TOOLS/task:create", "/tools%2ftask:create/x", "/tools;x/task:create", "/v1/status",
    "/v1/push", "/v1/events", "/v1/dead-letters", "/v1/dead-letters/drop", "/v1/loopback/send",
    "/v1/approvals", "/openapi.json/", "/openapi.yaml", "/docs", "/.well-known/x", "/hooks/a/b",
    "//evil.example/tools/task:create", "/\\evil.example",
)  # fmt: skip
BEARERS = (
    None, "", "Bearer", "Bearer ", "Bearer\t{token}", "Bearer  {token}", "Bearer x{token}",
    "Bearer {token}x", "Bearer {token},", "Bearer {token} x", "Bearer {token};", 'Bearer "{token}"',
    "Bearer\xa0{token}", "{token}", "Token {token}", "Basic {token}", "Digest {token}",
    "Bearer: {token}", "BearerX {token}", "Bearer null", "Bearer undefined", "Bearer default",
    "Bearer narrow", "Bearer *", "Bearer %", "Bearer 0", "Bearer cst_", "Bearer {digest}",
    "Bearer {expired}", "Bearer {revoked}", "Bearer {short}", "Bearer {swapped}",
    "Bearer {reversed}", "Bearer x, Bearer {token}", "Bearer {token}, Bearer {token}",
    "Bearer " + "A" * 5000, "Bearer \xff\xfe\xfd", "Bearer http.token", "Bearer ../http.token",
)  # fmt: skip
TYPES = (
    None, "", "text/plain", "text/json", "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x", "application/jsonp", "application/x-json",
    "application/json5", "application/vnd.api+json", "application/json-patch+json",
    "application/json, text/plain", "text/plain, application/json", "text/plain; application/json",
    "application / json", "application/json; charset=utf-16", "application/json; charset=latin-1",
    "application/json; charset=utf-7", "application/json; charset=utf-8; x=y",
    "application/json; boundary=x", '"application/json"', "*/*", "application/*", "json",
    "application/octet-stream", "application/msgpack", "application/json\xa0",
)  # fmt: skip
ENCODINGS = (
    "gzip",
    "deflate",
    "br",
    "zstd",
    "x-gzip",
    "compress",
    "identity",
    "gzip, identity",
    "",
)
BODIES = {
    "a deep list": "[" * 30_000,
    "a deep object": '{"a":' * 10_000,
    "deep and closed": '{"input":' + "[" * 70 + "]" * 70 + "}",
    "deep by turns": '{"input":' + '[{"a":' * 40 + "1" + "}]" * 40 + "}",
    "one level too deep": '{"input":' + "[" * 64 + "]" * 64 + "}",
    "many members": '{"input":{"a":[' + "0," * 250_000 + "0]}}",
    "many small lists": '{"input":{"a":[' + "[]," * 200_001 + "[]]}}",
    "the same member twice": '{"input":{},"input":{}}',
    "the same key twice below": '{"input":{"title":"a","title":"b"}}',
    "the same key, escaped": '{"input":{},"\\u0069nput":{}}',
    "the same key twice, deep": '{"input":{"a":[{"b":{"c":1,"c":2}}]}}',
    "the same context twice": '{"context":{},"context":{"run_id":"x"}}',
    "NaN": '{"input":{"n":NaN}}',
    "Infinity": '{"input":{"n":Infinity}}',
    "-Infinity": '{"input":{"n":-Infinity}}',
    "nan": '{"input":{"n":nan}}',
    "a huge exponent": '{"input":{"n":1e999}}',
    "a negative one": '{"input":{"n":-1e999}}',
    "an exponent of digits": '{"input":{"n":1e' + "9" * 300 + "}}",
    "2^53": '{"input":{"n":9007199254740992}}',
    "-2^53": '{"input":{"n":-9007199254740992}}',
    "2^64": '{"input":{"n":18446744073709551616}}',
    "400 digits": '{"input":{"n":' + "9" * 400 + "}}",
    "50000 digits": '{"input":{"n":' + "9" * 50_000 + "}}",
    "a high surrogate": '{"input":{"s":"\\ud800"}}',
    "a low surrogate": '{"input":{"s":"\\udc00"}}',
    "surrogates reversed": '{"input":{"s":"\\udc00\\ud800"}}',
    "a surrogate in a key": '{"input":{"\\ud800":1}}',
    "two high ones": '{"input":{"s":"\\ud800\\ud800"}}',
    "raw surrogate bytes": '{"input":{"s":"\xed\xa0\x80"}}',
    "overlong": '{"input":{"s":"\xc0\xaf"}}',
    "a lone byte": '{"input":{"s":"\xff"}}',
    "a cut character": '{"input":{"s":"\xe2\x82"}}',
    "beyond Unicode": '{"input":{"s":"\xf4\x90\x80\x80"}}',
    "a byte order mark": "\xef\xbb\xbf{}",
    "UTF-16": "\xff\xfe{\x00}\x00",
    "UTF-32": "{\x00\x00\x00}\x00\x00\x00",
    "a raw NUL": '{"input":{"s":"\x00"}}',
    "a raw newline": '{"input":{"s":"\n"}}',
    "a NUL after it": "{}\x00",
    "a trailing comma": '{"input":{},}',
    "a comment": '{/**/"input":{}}',
    "single quotes": "{'input':{}}",
    "no quotes": "{input:{}}",
    "something after it": "{} x",
    "two of them": "{}{}",
    "two lines": "{}\n{}",
    "hex": '{"input":{"n":0x10}}',
    "a leading zero": '{"input":{"n":01}}',
    "a plus": '{"input":{"n":+1}}',
    "a dot": '{"input":{"n":.5}}',
    "a dot at the end": '{"input":{"n":1.}}',
    "a bad escape": '{"input":{"s":"\\x41"}}',
    "a cut escape": '{"input":{"s":"\\u12"}}',
    "an open string": '{"input":{"s":"x}',
    "an open object": '{"input":{',
    "a list": "[]",
    "a string": '"input"',
    "null": "null",
    "Python": "{'input': None}",
    "a number": "1",
    "an unknown member": '{"input":{},"scopes":[]}',
    "allowed_scopes": '{"allowed_scopes":[]}',
    "an actor": '{"actor":"root"}',
    "__proto__": '{"__proto__":{}}',
    "an empty key": '{"":1}',
    "a context that is a list": '{"context":[]}',
    "a run that is a number": '{"context":{"run_id":1}}',
    "a run with a newline": '{"context":{"run_id":"a\\nb"}}',
    "a long run": '{"context":{"run_id":"' + "x" * 200 + '"}}',
    "XML": "<input/>",
    "a form": "input=%7B%7D",
}
KEYS = ("", "x" * 256, "a b", "\xff", "a\tb", "\x7f")
MALFORMED = {
    "a length and a coding": request("Transfer-Encoding: chunked", body="0\r\n\r\n"),
    "a coding and a length": request(
        "Content-Length: 5", "Transfer-Encoding: chunked", length=None
    ),
    "two lengths": request("Content-Length: 3"),
    "two equal lengths": request("Content-Length: 2"),
    "a list of lengths": request(length="2, 2"),
    "a list of other lengths": request(length="2, 3"),
    "a signed length": request(length="+2"),
    "a negative length": request(length="-1"),
    "a hex length": request(length="0x2"),
    "a length of two words": request(length="2 2"),
    "a length in words": request(length="two"),
    "a length with a dot": request(length="2.0"),
    "an empty length": request("Content-Length:", length=None),
    "a length beyond": request(length="9" * 30),
    "a length of other digits": request(length="\xb2"),
    "a space before a colon": request("Content-Length : 2", length=None),
    "a tab before a colon": request("Transfer-Encoding\t: chunked", length=None),
    "a folded header": request("X-A: b\r\n c"),
    "a folded header with a tab": request("X-A: b\r\n\tc"),
    "a folded coding": request("Transfer-Encoding:\r\n chunked", length=None),
    "a first header that is folded": request().replace("\r\nHost", "\r\n Host", 1),
    "another coding": request("Transfer-Encoding: xchunked", length=None),
    "a list of codings": request("Transfer-Encoding: chunked, identity", length=None),
    "gzip and chunked": request("Transfer-Encoding: gzip, chunked", length=None),
    "identity": request("Transfer-Encoding: identity", length=None),
    "two codings": request("Transfer-Encoding: chunked", "Transfer-Encoding: chunked", length=None),
    "a coding with a vertical tab": request("Transfer-Encoding: \x0bchunked", length=None),
    "a coding in quotes": request('Transfer-Encoding: "chunked"', length=None),
    "an empty coding": request("Transfer-Encoding:", length=None),
    "a coding in HTTP/1.0": request("Transfer-Encoding: chunked", length=None, version="HTTP/1.0"),
    "a bare LF": request().replace("\r\n", "\n", 1),
    "only LF": request().replace("\r\n", "\n"),
    "an LF before the end": request().replace("\r\n\r\n", "\n\r\n", 1),
    "an LF at the end": request().replace("\r\n\r\n", "\r\n\n", 1),
    "a bare CR": request("X-A: b\rX-B: c"),
    "a CR at a line's end": request("X-A: b\r"),
    "a NUL in a value": request("X-A: b\x00c"),
    "a NUL in a name": request("X-\x00A: b"),
    "a NUL in the host": request(host="127.0.0.1:{port}\x00.evil.example"),
    "a control character": request("X-A: b\x01c"),
    "a vertical tab": request("X-A: b\x0bc"),
    "a form feed": request("X-A: b\x0cc"),
    "a DEL": request("X-A: b\x7fc"),
    "an escape sequence": request("X-A: \x1b[31mred"),
    "a header without a colon": request("X-A"),
    "a header without a name": request(": b"),
    "a space in a name": request("X A: b"),
    "a parenthesis in a name": request("X(A): b"),
    "other letters in a name": request("X-\xc4: b"),
    "an empty first line": "\r\n" + request(),
    "a space first": " " + request(),
    "two spaces": request().replace("POST ", "POST  ", 1),
    "a tab for a space": request().replace("POST ", "POST\t", 1),
    "a space in the target": request(target="/tools/task create"),
    "a NUL in the target": request(target="/tools/\x00"),
    "other letters in the target": request(target="/tools/\xe4"),
    "no target": request().replace(f" {CALL}", "", 1),
    "no version": request().replace(" HTTP/1.1", "", 1),
    "HTTP/0.9": request(version="HTTP/0.9"),
    "HTTP/1.2": request(version="HTTP/1.2"),
    "HTTP/2.0": request(version="HTTP/2.0"),
    "HTTP/11": request(version="HTTP/11"),
    "http/1.1": request(version="http/1.1"),
    "HTTP/1.1 and more": request(version="HTTP/1.1 x"),
    "a small method": request(method="post"),
    "a method with a dash": request(method="M-SEARCH"),
    "a long method": request(method="P" * 40),
    "the preface of HTTP/2": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a TLS hello": "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + "x" * 50,
    "a SOCKS greeting": "\x05\x01\x00\r\n\r\n",
    "nonsense": "hello\r\n\r\n",
    "a chunk that is no number": chunked("x\r\n\r\n"),
    "a negative chunk": chunked("-1\r\n{{}}\r\n0\r\n\r\n"),
    "a hex chunk with 0x": chunked("0x2\r\n{{}}\r\n0\r\n\r\n"),
    "a chunk with a plus": chunked("+2\r\n{{}}\r\n0\r\n\r\n"),
    "a chunk that is longer than it says": chunked("1\r\n{{}}\r\n0\r\n\r\n"),
    "a chunk with a bare LF": chunked("2;\n{{}}\r\n0\r\n\r\n"),
    "a chunk of 30 digits": chunked("f" * 30 + "\r\n{{}}\r\n"),
    "a chunk that ends with LF": chunked("2\r\n{{}}\n0\r\n\r\n"),
    "a chunk size with a space first": chunked(" 2\r\n{{}}\r\n0\r\n\r\n"),
}
TOO_MUCH = {
    "many headers": request(*(f"X-{number}: y" for number in range(70))),
    "a long header": request("X-A: " + "y" * 20_000),
    "a long name": request("X" * 20_000 + ": y"),
    "a long target": request(target="/tools/" + "a" * 20_000),
    "a long query": request(target=f"{CALL}?" + "a" * 20_000),
    "a head without an end": "GET /tools HTTP/1.1\r\n" + "X-A: y\r\n" * 5_000,
    "a first line without an end": "GET /" + "a" * 40_000,
}


def attacks() -> Iterator[Attack]:
    """Every attack that is one exchange of bytes."""
    yield from _addressed()
    yield from _routed()
    yield from _credentials()
    yield from _bodies()
    yield from _framed()
    yield from _slow()


def _addressed() -> Iterator[Attack]:
    for host in HOSTS:
        yield Attack(f"host {host!r}", (request(host=host),), 421, "HOST_REFUSED")
    yield Attack("no host", (request(host=None),), 421, "HOST_REFUSED")
    yield Attack("no host in 1.0", (request(host=None, version="HTTP/1.0"),), 421, "HOST_REFUSED")
    for second in ("evil.example", "127.0.0.1:{port}", ""):
        twice = request(f"Host: {second}")
        yield Attack(f"two hosts, {second!r}", (twice,), 421, "HOST_REFUSED")
        first = request(f"Host: {second}", host=None).replace("Host", "HOST") if second else twice
        if second == "evil.example":
            yield Attack("a HOST of another", (first,), 421, "HOST_REFUSED")
    for other in ("X-Forwarded-Host", "Forwarded", "X-Host", "X-Original-URL"):
        lie = request(f"{other}: 127.0.0.1:{{port}}", host="evil.example")
        yield Attack(f"a foreign host with {other}", (lie,), 421, "HOST_REFUSED")
    for target in TARGETS:
        yield Attack(f"target {target}", (request(target=target),), 421, "HOST_REFUSED")
    for method in ("CONNECT", "OPTIONS"):
        aim = "evil.example:443" if method == "CONNECT" else "*"
        yield Attack(method, (get(method=method, target=aim),), 421, "HOST_REFUSED")
    for origin in ORIGINS:
        yield Attack(f"origin {origin!r}", (request(f"Origin: {origin}"),), 403, "ORIGIN_REFUSED")
    two = request("Origin: https://app.example", "Origin: https://app.example")
    yield Attack("two origins", (two,), 403, "ORIGIN_REFUSED")
    for site in ("cross-site", "same-site", "Cross-Site", "", "x"):
        asked = (get(f"Sec-Fetch-Site: {site}"),)
        yield Attack(f"fetched {site!r}", asked, 403, "ORIGIN_REFUSED")
    preflight = get("Origin: https://evil.example", "Access-Control-Request-Method: POST",
                    method="OPTIONS", target=CALL, bearer=None)  # fmt: skip
    yield Attack("a preflight", (preflight,), 403, "ORIGIN_REFUSED")
    allowed = preflight.replace("evil", "app")
    yield Attack("a preflight of an allowed origin", (allowed,), 401, "UNAUTHORIZED")


def _routed() -> Iterator[Attack]:
    for name in NAMES:
        aim = request(target=f"/tools/{name}")
        yield Attack(f"name {name[:40]}", (aim,), 403, "TOOL_NOT_ALLOWLISTED")
    for path in PATHS:
        yield Attack(f"path {path}", (request(target=path),), 404, "ROUTE_NOT_FOUND")
    for method in ("PUT", "PATCH"):
        yield Attack(method, (request(method=method),), 405, "METHOD_NOT_ALLOWED")
    for method in ("DELETE", "OPTIONS", "TRACE", "QUERY", "PURGE", "POSTX", "CONNECT"):
        yield Attack(method, (get(method=method, target=CALL),), 405, "METHOD_NOT_ALLOWED")
    for method in ("GET", "HEAD", "DELETE", "OPTIONS", "TRACE"):
        smuggled = request(method=method, type=None, body=get(host="evil.example"))
        length = str(len(smuggled))
        body = request(method=method, type=None, length=length, body="x")
        yield Attack(f"{method} with a body", (body,), 400, "BODY_UNEXPECTED")
    get_in_chunks = request(
        "Transfer-Encoding: chunked", method="GET", type=None, length=None, body="0\r\n\r\n"
    )
    yield Attack("GET with a chunked body", (get_in_chunks,), 400, "BODY_UNEXPECTED")


def _credentials() -> Iterator[Attack]:
    for bearer in BEARERS:
        aim = (request(bearer=bearer),)
        yield Attack(f"credential {str(bearer)[:40]!r}", aim, 401, "UNAUTHORIZED")
    for other in (
        "X-Api-Key: {token}", "Proxy-Authorization: Bearer {token}", "Cookie: token={token}",
        "Authentication: Bearer {token}", "X-Authorization: Bearer {token}",
    ):  # fmt: skip
        yield Attack(f"only {other[:20]}", (request(other, bearer=None),), 401, "UNAUTHORIZED")
    for query in ("access_token={token}", "token={token}", "authorization=Bearer%20{token}"):
        aim = (request(target=f"{CALL}?{query}", bearer=None),)
        yield Attack(f"query {query}", aim, 401, "UNAUTHORIZED")
    for second in ("Bearer x", "Bearer {token}", ""):
        aim = (request(f"Authorization: {second}"),)
        yield Attack(f"a second credential {second!r}", aim, 401, "UNAUTHORIZED")
    narrow = request(bearer="Bearer {narrow}")
    yield Attack("beyond a narrow credential", (narrow,), 403, "TOOL_NOT_ALLOWLISTED")
    reads = get(target="/tools/task:secret")
    yield Attack("a look at what is not allowed", (reads,), 403, "TOOL_NOT_ALLOWLISTED")
    for path in ("/tools", "/openapi.json", "/", "/v1/status", CALL):
        yield Attack(
            f"no credential, {path}", (get(target=path, bearer=None),), 401, "UNAUTHORIZED"
        )


def _bodies() -> Iterator[Attack]:
    for kind in TYPES:
        aim = request(type=None if kind is None else f"Content-Type: {kind}")
        yield Attack(f"type {kind!r}", (aim,), 415, "MEDIA_TYPE_UNSUPPORTED")
    two = request(JSON)
    yield Attack("two types", (two,), 415, "MEDIA_TYPE_UNSUPPORTED")
    for encoding in ENCODINGS:
        aim = request(f"Content-Encoding: {encoding}")
        yield Attack(f"encoding {encoding!r}", (aim,), 415, "ENCODING_UNSUPPORTED")
    for name, body in BODIES.items():
        escaped = body.replace("{", "{{").replace("}", "}}")
        yield Attack(f"body: {name}", (request(body=escaped),), 400, "BODY_INVALID")
    for key in KEYS:
        reason = "REQUEST_MALFORMED" if key == "\x7f" else "BODY_INVALID"
        aim = request(f"Idempotency-Key: {key}")
        yield Attack(f"key {key[:8]!r}", (aim,), 400, reason)
    yield Attack(
        "two keys", (request("Idempotency-Key: a", "Idempotency-Key: b"),), 400, "BODY_INVALID"
    )
    for length in ("104857600", "1048577", "999999999999999999"):
        aim = request(length=length)
        yield Attack(f"{length} bytes declared", (aim,), 413, "BODY_TOO_LARGE")
        waits = request("Expect: 100-continue", length=length, body="")
        yield Attack(f"{length} bytes, asked first", (waits,), 413, "BODY_TOO_LARGE")
    whole = request(body="x" * 1_200_000)
    yield Attack("1.2 MB sent", (whole,), 413, "BODY_TOO_LARGE")
    chunks = chunked("") + ("10000\r\n" + "x" * 65536 + "\r\n") * 17
    yield Attack("1.1 MB in chunks", (chunks,), 413, "BODY_TOO_LARGE")


def _framed() -> Iterator[Attack]:
    for name, text in MALFORMED.items():
        yield Attack(name, (text,), 400, "REQUEST_MALFORMED")
    for name, text in TOO_MUCH.items():
        yield Attack(name, (text,), 431, "HEADERS_TOO_LARGE")


def _slow() -> Iterator[Attack]:
    """Slow requests; those that come in pieces would be right if they were waited for."""
    head, _, _ = request(length="50").partition("\r\n\r\n")
    yield Attack("a body that never comes", (head + "\r\n\r\n",), 408, "BODY_TOO_SLOW")
    yield Attack("half a body", (head + "\r\n\r\n{{",), 408, "BODY_TOO_SLOW")
    yield Attack("half a head", ("GET /tools HTTP/1.1\r\nHost:",), 408, "HEAD_TOO_SLOW")
    yield Attack("a head without its end", (head,), 408, "HEAD_TOO_SLOW")
    drip = (request(length="14", body=""), *" " * 12, "{{", "}}")
    yield Attack("a body byte by byte", drip, 408, "BODY_TOO_SLOW", 0.05)
    chunks = (chunked(""), *["1\r\n \r\n"] * 12, "2\r\n{{}}\r\n0\r\n\r\n")
    yield Attack("a body chunk by chunk", chunks, 408, "BODY_TOO_SLOW", 0.05)
    sizes = (chunked(""), *"0" * 12, "2\r\n{{}}\r\n0\r\n\r\n")
    yield Attack("a chunk's size digit by digit", sizes, 408, "BODY_TOO_SLOW", 0.05)
    first, _, rest = request().partition("\r\n")
    lines = (first + "\r\n", *["X-A: b\r\n"] * 12, rest)
    yield Attack("a head line by line", lines, 408, "HEAD_TOO_SLOW", 0.05)
    letters = (first + "\r\nX-A: ", *"b" * 12, "\r\n" + rest)
    yield Attack("a head byte by byte", letters, 408, "HEAD_TOO_SLOW", 0.05)
