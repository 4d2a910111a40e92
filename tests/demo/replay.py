"""Sends the recorded requests of tests/wire to a demo server and reports how its responses differ."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import json
import re
import sqlite3
import time
from contextlib import ExitStack, closing
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from replay_setup import AGED, ELSEWHERE, MADE_BY_ADMIN, NOT_SERVED, ONCE, OPTIONS, PRELUDES, SECRET

from supabase_nb.demo import DemoServer
from supabase_nb.demo.testing import running_server

WIRE = Path(__file__).parent.parent / "wire"
# Where the recorded servers had what this one leaves out: the answer's field, what they say, what it says.
DIFFERENT_ON_PURPOSE = {"body.external.phone": (True, False)}  # no phone can sign in here
# Headers whose presence and value are compared; the recording kept no others.
HEADERS = re.compile(r"content-type|location|allow|date|x-supabase-api-version|x-sb-.*|sb-.*")
JWT = r"eyJ[\w-]+\.eyJ[\w-]+\.[\w-]+"
VOLATILE = re.compile(
    rf"(?P<jwt>{JWT})|(?P<uuid>[0-9a-f]{{8}}(?:-[0-9a-f]{{4}}){{3}}-[0-9a-f]{{12}})"
    r"|(?P<time>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?Z)|(?P<hash>\b[0-9a-f]{56}\b)"
    r"|(?P<date>\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT)"
    r"|(?P<wait>(?<=you can only request this after )\d+)"
    r"|(?P<at>(?<=expires_at=)\d+)|(?P<provider>provider-(?:access|refresh)-[0-9a-f]{8})"
    r"|(?P<refresh>(?<=refresh_token=)[a-z2-7]{12})"
    r"|(?P<authorization>\b[a-z2-7]{32}\b)|(?P<secret>\b[A-Z2-7]{32}\b)"
)
# Fields whose values are new each time, with what every value of theirs looks like.
VOLATILE_FIELDS = {
    "refresh_token": r"[a-z2-7]{12}|[\w-]{51}",
    "sb-auth-refresh-token-prefix": r"[a-z2-7]{5}",
    "email_otp": r"\d{6}",
    "client_secret": r"[\w-]{43}",
    "x": r"[\w-]{43}",
    "y": r"[\w-]{43}",
}
QR_CODE = r"(?s)<\?xml version=\"1\.0\"\?>\n.*<svg .*</svg>\n"
VOLATILE_NUMBERS = ("exp", "iat", "expires_at", "timestamp", "auth_time", "updated_at")
# Lists that the real server answers in no certain order.
UNORDERED = {"amr": "method", "identities": "provider", "factors": "created_at"}
PROVIDER = "http://127.0.0.1:9983/realms/demo"


def scenarios(name: str) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = json.loads((WIRE / f"{name}.json").read_text("utf-8"))
    return entries


def decoded(token: str) -> list[dict[str, Any]]:
    return [json.loads(base64.urlsafe_b64decode(part + "==")) for part in token.split(".")[:2]]


def sign(claims: dict[str, Any]) -> str:
    parts = ({"alg": "HS256", "typ": "JWT"}, claims)
    message = ".".join(base64.urlsafe_b64encode(json.dumps(p).encode()).decode().rstrip("=") for p in parts)
    signature = hmac.digest(SECRET.encode(), message.encode(), hashlib.sha256)
    return f"{message}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"


class Replay:
    """One recorded file against one server."""

    def __init__(self, server: DemoServer, prefix: str, name: str) -> None:
        self.server, self.prefix, self.name, self.entries = server, prefix, name, scenarios(name)
        self.live: dict[str, str] = {}  # what replaces here what was recorded
        self.shift = 0
        self.advanced = 0  # beyond what passed while recording; a session's sign-in seems so much older
        self.differences: list[str] = []
        self.began: tuple[Any, float] | None = None
        self.waited = 0.0  # by the server's clock, instead of the recorder's waiting
        self.mails = 0  # in the outbox, when the last recorded mail was learned

    # -- sending

    def translate(self, text: str) -> str:
        for recorded in sorted(self.live, key=len, reverse=True):
            text = text.replace(recorded, self.live[recorded])
        return re.sub(JWT, lambda match: self.token(match[0]), text)

    def token(self, token: str) -> str:
        """A token of the recording that no answer gave: made by the recorder itself."""
        if token in self.live.values():
            return token
        for recorded, live in list(self.live.items()):
            if recorded.rpartition(".")[0] == token.rpartition(".")[0]:
                return live[:-4] + "AAAA"  # its signature was changed
        claims = json.loads(self.translate(json.dumps(decoded(token)[1])))
        return sign({key: v + self.shift if key in ("exp", "iat", "nbf") else v for key, v in claims.items()})

    def ask(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], Any]:
        """A request that was not recorded."""
        return self.send({"method": method, "path": path, "body": body, "headers": headers or {}})

    def send(self, request: dict[str, Any]) -> tuple[int, dict[str, str], Any]:
        headers = {name: self.translate(value) for name, value in request["headers"].items()}
        for name, value in headers.items():
            if value.startswith("Basic ") and request["path"] == "/oauth/token":
                known = self.translate(base64.b64decode(value[6:]).decode())
                headers[name] = f"Basic {base64.b64encode(known.encode()).decode()}"
        body = request["body"]
        if isinstance(body, str):
            body = self.translate(body)
        elif body is not None:
            body = self.translate(json.dumps(body))
            headers.setdefault("Content-Type", "application/json")
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=10)
        connection.request(request["method"], self.prefix + self.translate(request["path"]), body, headers)
        response = connection.getresponse()
        text = response.read().decode()
        connection.close()
        answered = {name.lower(): value for name, value in response.getheaders()}
        is_json = answered.get("content-type") == "application/json"
        return response.status, answered, json.loads(text) if is_json else text

    def learn_mail(self, recorded: dict[str, str]) -> None:
        """The newest mail to this address replaces the recorded one."""
        mail = self.server.outbox(self.translate(recorded["to"]))[-1]
        self.mails = len(self.server.outbox())
        for name, live in (("code", mail["email_otp"]), ("token_hash", mail["hashed_token"])):
            if recorded[name]:
                self.live[recorded[name]] = live

    # -- comparing

    def play(self, entry: dict[str, Any], after: dict[str, Any]) -> list[str]:
        self.differences = []
        if "mail" in entry:
            self.learn_mail(entry["mail"])
            return self.differences
        if "mails" in entry:
            if not entry["mails"] and len(self.server.outbox()) != self.mails:
                self.differences.append("a mail went out")
            for mail in entry["mails"]:
                self.learn_mail(mail)
            return self.differences
        if "claims" in entry:
            issued = [token for token in self.live if re.fullmatch(JWT, token)]
            recorded = [token for token in issued if decoded(token)[1] == entry["claims"]]
            if not recorded:
                return ["no token with these claims was issued"]
            parts, now = decoded(self.live[recorded[-1]]), self.shift
            self.shift = parts[1]["iat"] - entry["claims"]["iat"]
            for name, part in zip(("header", "claims"), parts, strict=True):
                self.compare(name, entry[name], part, keyed=True)
            self.shift = now
            return self.differences
        if "request" not in entry:
            return self.differences
        recorded = entry["response"]
        behind = self.behind(recorded)
        if behind > 1:
            self.server.advance(behind)
        if after.get("mail") or after.get("mails"):
            self.advanced += 61
            self.server.advance(61)  # the recorder aged the last mail in the database
        self.prepare(entry)
        status, headers, body = self.send(entry["request"])
        if status != recorded["status"]:
            self.differences.append(f"status {status}, recorded {recorded['status']}: {body}")
        kept = {name: value for name, value in headers.items() if HEADERS.fullmatch(name)}
        self.shift = int((date({"headers": kept}) - date(recorded)).total_seconds())
        self.compare("headers", recorded["headers"], kept, keyed=True)
        self.compare("body", recorded["body"], body)
        return self.differences

    def behind(self, recorded: dict[str, Any]) -> float:
        """How much longer the recorder took until here; two seconds of the recording are not waited for."""
        if self.began is None:
            self.began = date(recorded), time.monotonic()
        taken = time.monotonic() - self.began[1] + self.waited
        behind = (date(recorded) - self.began[0]).total_seconds() - taken
        if behind > 1:
            self.waited += behind
        return float(behind)

    def prepare(self, entry: dict[str, Any]) -> None:
        """What the recorder did before, without recording it."""
        scenario = (self.name, entry["name"])
        for prelude in (*PRELUDES.get(self.name, ()), *([ONCE[scenario]] if scenario in ONCE else ())):
            prelude(self, entry)
        if scenario in AGED:
            with closing(sqlite3.connect(self.server.state_dir / "demo.sqlite", timeout=10)) as db, db:
                db.execute(self.translate(AGED[scenario]))

    def compare(self, where: str, recorded: Any, live: Any, *, keyed: bool = False) -> None:
        name = where.rpartition(".")[2]
        if where in DIFFERENT_ON_PURPOSE:
            expected = DIFFERENT_ON_PURPOSE[where]
            assert (recorded, live) == expected, f"{where}: {live!r}, expected {expected!r}"
            return
        if type(recorded) is not type(live):
            self.differences.append(f"{where}: {live!r}, recorded {recorded!r}")
        elif isinstance(recorded, dict):
            if sorted(recorded) != sorted(live) or (not keyed and list(recorded) != list(live)):
                self.differences.append(f"{where}: has {list(live)}, recorded {list(recorded)}")
            for key in recorded.keys() & live.keys():
                self.compare(f"{where}.{key}", recorded[key], live[key])
        elif isinstance(recorded, list):
            if len(recorded) != len(live):
                self.differences.append(f"{where}: {len(live)} items, recorded {len(recorded)}")
            if name in UNORDERED:
                recorded, live = (
                    sorted(each, key=lambda e: _rank(e, UNORDERED[name])) for each in (recorded, live)
                )
            for one, other in zip(recorded, live, strict=False):
                self.compare(where, one, other)
        elif name == "qr_code":
            if not all(re.fullmatch(QR_CODE, text) for text in (recorded, live)):
                self.differences.append(f"{where}: not of the recorded form: {live!r}")
        elif name in VOLATILE_FIELDS:
            if not all(re.fullmatch(VOLATILE_FIELDS[name], text) for text in (recorded, live)):
                self.differences.append(f"{where}: not of the recorded form: {live!r}")
            self.same(where, recorded, live)
        elif isinstance(recorded, str):
            self.compare_text(where, recorded, live)
        elif name in VOLATILE_NUMBERS and isinstance(recorded, int):
            if abs(live - recorded - self.shift) > 2 + (self.advanced if name == "timestamp" else 0):
                self.differences.append(f"{where}: {live}, recorded {recorded} {self.shift} s ago")
        elif recorded != live:
            self.differences.append(f"{where}: {live!r}, recorded {recorded!r}")

    def compare_text(self, where: str, recorded: str, live: str) -> None:
        own, back = f"{self.server.url}{self.prefix}", "http://localhost:9984/callback"
        for ours, theirs in {
            f"{own}/verify": "http://localhost:9990/verify",
            quote(f"{own}/callback", safe=""): quote(back, safe=""),
            f"{self.server.url}/demo/provider?": f"{PROVIDER}/protocol/openid-connect/auth?",
            f"{self.server.url}/demo/provider": PROVIDER,
        }.items():
            live = live.replace(ours, theirs)
        if VOLATILE.sub("*", recorded) != VOLATILE.sub("*", live):
            self.differences.append(f"{where}: {live!r}, recorded {recorded!r}")
            return
        for one, other in zip(VOLATILE.finditer(recorded), VOLATILE.finditer(live), strict=True):
            if one.lastgroup in ("uuid", "hash", "refresh", "provider", "authorization", "secret"):
                self.same(where, one[0], other[0])
            elif one.lastgroup == "wait":
                if abs(int(one[0]) - int(other[0])) > 2:
                    self.differences.append(f"{where}: {live!r}, recorded {recorded!r}")
            elif one.lastgroup == "time":
                # What was read back shows microseconds; what was just set nanoseconds, or fewer by chance.
                digits = [len(text.partition(".")[2]) - 1 for text in (one[0], other[0])]
                if digits[0] <= 6 < digits[1]:
                    self.differences.append(f"{where}: {other[0]} has nanoseconds, recorded {one[0]}")
            elif one.lastgroup == "jwt":
                for name, a, b in zip(("header", "claims"), decoded(one[0]), decoded(other[0]), strict=True):
                    self.compare(f"{where}.{name}", a, b)
                # In one second the same token may be issued twice, so this is no bijection.
                self.live[one[0]] = other[0]

    def same(self, where: str, recorded: str, live: str) -> None:
        """What was the same in the recording is the same here, what differed differs."""
        known = self.live.setdefault(recorded, live)
        if known != live or [*self.live.values()].count(live) > 1:
            self.differences.append(f"{where}: {live!r} doesn't stand for {recorded!r} alone")


def date(response: dict[str, Any]) -> Any:
    return parsedate_to_datetime(response["headers"]["date"])


def replay(name: str, prefix: str) -> dict[str, list[str]]:
    """The differences of each scenario of a file."""
    entries = scenarios(name)
    issuers = [entry["claims"]["iss"] for entry in entries if "claims" in entry]
    issuers += [
        decoded(entry["response"]["body"]["access_token"])[1]["iss"]
        for entry in entries
        if "response" in entry
        and isinstance(entry["response"]["body"], dict)
        and "access_token" in entry["response"]["body"]
    ]
    options = {"jwt_secret": SECRET, "issuer": issuers[0] if issuers else None, "providers": ""}
    options |= OPTIONS[name]
    results = {}
    with ExitStack() as servers:
        server = servers.enter_context(running_server(**options))
        # The recorded servers had no users to begin with.
        for user in server.admin("GET", "/users")["users"]:
            server.admin("DELETE", f"/users/{user['id']}")
        if name in MADE_BY_ADMIN:
            path = "/token?grant_type=password"
            sign_in = next(e["request"] for e in entries if e.get("request", {}).get("path") == path)["body"]
            server.admin("POST", "/users", {**sign_in, "email_confirm": True})
        player = first = Replay(server, prefix, name)
        if name == "rate-limit":
            player.send(entries[1]["request"])  # the one that is allowed
        for entry, after in zip(entries, [*entries[1:], {}], strict=True):
            if (name, entry["name"]) in ELSEWHERE:
                other = ELSEWHERE[name, entry["name"]]
                more = {"jwt_secret": SECRET, "providers": "", **(other or {})}
                server = servers.enter_context(running_server(**more)) if other else None
                player = Replay(server, prefix, name) if server else first
            if (name, entry["name"]) in NOT_SERVED:
                continue
            results[entry["name"]] = player.play(entry, after)
        return results


def _rank(entry: dict[str, Any], name: str) -> tuple[str, str]:
    return entry[name], entry.get("email", "")
