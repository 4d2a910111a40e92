"""Sends the recorded requests of tests/wire to a demo server and says how its answers differ."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import json
import re
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

from supabase_nb.demo import DemoServer
from supabase_nb.demo.testing import running_server

WIRE = Path(__file__).parent.parent / "wire"
SECRET = "a secret of the replay, long enough for HS256"
HS256 = {"signing_alg": "HS256"}
# How the recorded servers were set up.
OPTIONS: dict[str, dict[str, Any]] = {
    "otp": {"site_url": "https://app.example.com", "autoconfirm": False},
    "public-confirm-by-email": {**HS256, "autoconfirm": False, "outbox": False},
    "public-es256": {},
    "public-hs256": HS256,
    "public-signup-disabled": {**HS256, "disable_signup": True, "disable_email": True},
    "rate-limit": {**HS256, "rate_limit": 1},
    "recover": {"site_url": "https://app.example.com", "autoconfirm": False},
    "rotation": {},
    "rotation-no-reuse-interval": {**HS256, "reuse_interval": 0, "access_token_lifetime": 20},
    "rotation-v2-refresh-tokens": {"refresh_token_version": 2},
    "sessions-es256": {},
    "sessions-hs256": HS256,
    "sign-out": {},
    "time-box": {**HS256, "timebox": 5},
    "users": {"site_url": "http://localhost:9990"},
}
AGED = "made by ageing rows of the database, which the clock of this server can't imitate"
RESEND = "POST /resend is not there"
REAUTHENTICATION = "reauthentication is not there"
PHONES = "no phones"
EARLIER_TOKEN = "the claims of a token before the last one, which replay.py doesn't keep"
CONFIRMS_AT_ONCE = "of a second server, which confirms at once; see test_demo_email_change.py"
_NOT_SERVED: dict[str, dict[str, tuple[str, ...]]] = {
    "otp": {
        AGED: ("verify: code expired", "verify: hash expired", "pkce: magic link, code 301 s old"),
        PHONES: (
            "otp: phone, create_user false, unknown",
            "otp: bad phone",
            "otp: phone, new user",
            "the SMS",
            "otp: phone, again at once",
            "verify: sms, right code",
        ),
    },
    "recover": {
        AGED: (
            "verify: code expired",
            "the link, expired",
            "pkce: recovery, mail asked for 301 s ago, code fresh",
        ),
        EARLIER_TOKEN: ("its access token still says",),
        REAUTHENTICATION: (
            "reauthenticate: no Authorization",
            "reauthenticate: POST",
            "update user: password, session older than 24 h",
            "update user: password, session older than 24 h, old error shape",
            "update user: a nonce that was never asked for",
            "reauthenticate",
            "its mail (7)",
            "reauthenticate: again at once",
            "update user: wrong nonce",
            "update user: right nonce",
            "update user: nonce again",
            "anonymous: reauthenticate",
        ),
        RESEND: (
            "resend: no type",
            "resend: unknown type",
            "resend: no email",
            "resend: email is a number",
            "resend: no type, old error shape",
            "resend: unknown email",
            "resend: recovery is no such type",
            "resend: signup, within 60 s",
            "resend: signup",
            "resend: signup, already confirmed",
            "no mail went out",
            "resend: email change, within 60 s",
            "resend: email change",
            "the link of the first mail, after a second one was sent",
        ),
        CONFIRMS_AT_ONCE: (
            "signup on a server that confirms at once",
            "email change: on a server that confirms at once",
            "mails to the old address",
            "mails to the new address",
            "email change: the new address's code is enough there",
            "anonymous signup",
            "anonymous: password alone",
            "anonymous: an email, on a server that confirms at once",
            "refresh: no longer anonymous",
            "its claims",
        ),
    },
}
# The recorded scenarios that are not replayed, with the reason.
NOT_SERVED = {
    (name, scenario): reason
    for name, reasons in _NOT_SERVED.items()
    for reason, names in reasons.items()
    for scenario in names
}
# The user of the first request was made by the service role before.
MADE_BY_ADMIN = ("otp", "recover")
# Where the recorded servers had what this one leaves out: the answer's field, what they say, what it says.
DIFFERENT_ON_PURPOSE = {"body.external.phone": (True, False)}  # no phone can sign in here
# Headers whose presence and value are compared; the recording kept no others.
HEADERS = re.compile(r"content-type|location|allow|date|x-supabase-api-version|x-sb-.*|sb-.*")
JWT = r"eyJ[\w-]+\.eyJ[\w-]+\.[\w-]+"
VOLATILE = re.compile(
    rf"(?P<jwt>{JWT})|(?P<uuid>[0-9a-f]{{8}}(?:-[0-9a-f]{{4}}){{3}}-[0-9a-f]{{12}})"
    r"|(?P<time>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?Z)|(?P<hash>\b[0-9a-f]{56}\b)"
    r"|(?P<date>\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT)"
    r"|(?P<at>(?<=expires_at=)\d+)|(?P<refresh>(?<=refresh_token=)[a-z2-7]{12})"
)
# Fields whose values are new each time, with what every value of theirs looks like.
VOLATILE_FIELDS = {
    "refresh_token": r"[a-z2-7]{12}|[\w-]{51}",
    "sb-auth-refresh-token-prefix": r"[a-z2-7]{5}",
    "email_otp": r"\d{6}",
    "x": r"[\w-]{43}",
    "y": r"[\w-]{43}",
}
VOLATILE_NUMBERS = ("exp", "iat", "expires_at", "timestamp")


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


def asks_for_a_mail(request: dict[str, Any]) -> bool:
    path, body = request["path"].partition("?")[0], request["body"]
    return path in ("/otp", "/recover") or (path == "/user" and isinstance(body, dict) and "email" in body)


class Replay:
    """One recorded file against one server."""

    def __init__(self, server: DemoServer, prefix: str) -> None:
        self.server, self.prefix = server, prefix
        self.live: dict[str, str] = {}  # what stands here for what was recorded
        self.shift = 0
        self.advanced = 0  # beyond what passed while recording; a session's sign-in seems so much older
        self.differences: list[str] = []
        self.issued: tuple[str, str] = ("", "")

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

    def send(self, request: dict[str, Any]) -> tuple[int, dict[str, str], Any]:
        headers = {name: self.translate(value) for name, value in request["headers"].items()}
        body = request["body"]
        if body is not None and not isinstance(body, str):
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
        """The newest mail to this address stands for the recorded one."""
        mail = self.server.outbox(self.translate(recorded["to"]))[-1]
        for name, live in (("code", mail["email_otp"]), ("token_hash", mail["hashed_token"])):
            if recorded[name]:
                self.live[recorded[name]] = live

    # -- comparing

    def play(self, entry: dict[str, Any], before: dict[str, Any] | None) -> list[str]:
        self.differences = []
        if "mail" in entry:
            self.learn_mail(entry["mail"])
            return self.differences
        if "request" not in entry:
            for name, part in zip(("header", "claims"), decoded(self.issued[1]), strict=True):
                self.compare(name, entry[name], part, keyed=True)
            return self.differences
        recorded = entry["response"]
        if before is not None and "request" in before:
            waited = (date(recorded) - date(before["response"])).total_seconds()
            if waited > 2:
                self.server.advance(waited)
        if recorded["status"] == 200 and asks_for_a_mail(entry["request"]):
            self.advanced += 61
            self.server.advance(61)  # the recorder aged the last mail in the database
        status, headers, body = self.send(entry["request"])
        if status != recorded["status"]:
            self.differences.append(f"status {status}, recorded {recorded['status']}: {body}")
        kept = {name: value for name, value in headers.items() if HEADERS.fullmatch(name)}
        self.shift = int((date({"headers": kept}) - date(recorded)).total_seconds())
        self.compare("headers", recorded["headers"], kept, keyed=True)
        self.compare("body", recorded["body"], body)
        if isinstance(recorded["body"], dict) and "access_token" in recorded["body"]:
            self.issued = (recorded["body"]["access_token"], body["access_token"])
        return self.differences

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
            for one, other in zip(recorded, live, strict=False):
                self.compare(where, one, other)
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
        live = live.replace(f"{self.server.url}{self.prefix}/verify", "http://localhost:9990/verify")
        if VOLATILE.sub("*", recorded) != VOLATILE.sub("*", live):
            self.differences.append(f"{where}: {live!r}, recorded {recorded!r}")
            return
        for one, other in zip(VOLATILE.finditer(recorded), VOLATILE.finditer(live), strict=True):
            if one.lastgroup in ("uuid", "hash", "refresh"):
                self.same(where, one[0], other[0])
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
    options = {"jwt_secret": SECRET, "issuer": issuers[0] if issuers else None, **OPTIONS[name]}
    with running_server(**options) as server:
        # The recorded servers had no users to begin with.
        for user in server.admin("GET", "/users")["users"]:
            server.admin("DELETE", f"/users/{user['id']}")
        if name in MADE_BY_ADMIN:
            sign_in = entries[0]["request"]["body"]
            server.admin("POST", "/users", {**sign_in, "email_confirm": True})
        player = Replay(server, prefix)
        if name == "rate-limit":
            player.send(entries[1]["request"])  # the one that is allowed
        before = None
        results = {}
        for entry in entries:
            if (name, entry["name"]) in NOT_SERVED:
                continue
            results[entry["name"]] = player.play(entry, before)
            before = entry
        return results
