"""The methods of passing tokens to a notebook: the user's code, and the result."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple

from supabase_nb.demo import DemoServer


class Method(NamedTuple):
    """One sign-in method, or another way that tokens come into a notebook.

    Args:
        cell: What is run; ``{at}`` and ``{rt}`` stand for the tokens, ``{file}`` for one that holds them,
            ``{url}`` for the project.
        tokens: Of which session: ``"valid"``, ``"revoked"``, ``"expired"`` (rotated when it is restored),
            ``"mixed"`` (of two users), ``"damaged"``; ``"user"``: of none yet, but of a new user.
        fails: Whether the cell fails.
        before: Run first (a mode, an outage).
        after: Run at the end.
        answers: What is typed into prompts, in order.
    """

    cell: str
    tokens: str = "valid"
    fails: bool = False
    before: str = ""
    after: str = ""
    answers: tuple[str, ...] | None = None


_OUT = "%supabase_sign_out"
_READ = 'at, rt = __import__("json").load(open("{file}"))\n'

_PASSWORD = 'supabase.auth.sign_in_with_password(email="{email}", password=open("{file}").read())'

METHODS: dict[str, Method] = {
    # -- no literal in the cell
    "variables": Method(_READ + "%supabase_set_session at rt"),
    "variables, assigned": Method(_READ + "r = %supabase_set_session at rt\nr"),
    "variables, expired": Method(_READ + "%supabase_set_session at rt", "expired"),
    "variables, call": Method(_READ + "supabase.auth.set_session(at, rt)"),
    "variables, call by name": Method(_READ + "supabase.auth.set_session(access_token=at, refresh_token=rt)"),
    "variables of one object": Method(
        'both = dict(zip(["access_token", "refresh_token"], __import__("json").load(open("{file}"))))\n'
        "%supabase_set_session both"
    ),
    "variables, awaited": Method(_READ + "await supabase.auth.aio.set_session(at, rt)"),
    "environment": Method(
        'import os\nos.environ["AT"], os.environ["RT"] = __import__("json").load(open("{file}"))\n'
        '%supabase_set_session $AT $RT\ndel os.environ["AT"], os.environ["RT"]'
    ),
    "variables, set_auth": Method(_READ + "supabase.set_auth(at)", after="supabase.set_auth(None)"),
    "prompts": Method("%supabase_set_session", answers=("{at}", "{rt}")),
    # -- literals
    "literals": Method('%supabase_set_session "{at}" "{rt}"'),
    "literals, bare": Method("%supabase_set_session {at} {rt}"),
    "literals, assigned": Method('r = %supabase_set_session "{at}" "{rt}"'),
    "literals, over two lines": Method('%supabase_set_session "{at}" \\\n    "{rt}"'),
    "literals, call": Method('supabase.auth.set_session("{at}", "{rt}")'),
    "literals, call over lines": Method('r = supabase.auth.set_session(\n    "{at}",\n    "{rt}",\n)\nr'),
    "literals, call by name": Method('supabase.auth.set_session(access_token="{at}", refresh_token="{rt}")'),
    "literals, triple quotes": Method('supabase.auth.set_session("""{at}""", """{rt}""")'),
    "literals, f-strings": Method('x = "{at}"\nsupabase.auth.set_session(f"{{x}}", f"{rt}")'),
    "literals, awaited": Method('await supabase.auth.aio.set_session("{at}", "{rt}")'),
    "literals to variables": Method('at = "{at}"\nrt = "{rt}"\n%supabase_set_session at rt'),
    "literals to variables, listed": Method(
        'at = "{at}"\nrt = "{rt}"\n%supabase_set_session at rt\n%whos\nprint(at, rt)'
    ),
    "literals in a dictionary": Method(
        's = {{"access_token": "{at}", "refresh_token": "{rt}"}}\n%supabase_set_session s'
    ),
    "literals, stored session": Method("s = '''{json}'''\n%supabase_set_session s"),
    "literals in a function": Method('def f():\n    return supabase.auth.set_session("{at}", "{rt}")\nf()'),
    "literals, %%time": Method('%%time\nsupabase.auth.set_session("{at}", "{rt}")'),
    "literals, %time": Method('%time supabase.auth.set_session("{at}", "{rt}")'),
    "literals in a comment": Method("# at {at}\n" + _READ + "%supabase_set_session at rt"),
    "literals, set_auth": Method('supabase.set_auth("{at}")', after="supabase.set_auth(None)"),
    "literals, %supabase_set_auth": Method(
        '%supabase_set_auth "{at}"', after="supabase.set_auth(None)"
    ),
    "literals, again with %rerun": Method(
        'supabase.auth.set_session("{at}", "{rt}")', after="%rerun -l 1\n%hist -l 5"
    ),
    "literals, a log of the inputs": Method(
        'supabase.auth.set_session("{at}", "{rt}")', before="%logstart -o -r -t log.py", after="%logstop"
    ),
    # -- what fails
    **{
        f"refused, {mode}": Method('%supabase_set_session "{at}" "{rt}"', "revoked", True, f"%xmode {mode}")
        for mode in ("Plain", "Context", "Verbose", "Minimal")
    },
    "refused, call": Method('supabase.auth.set_session("{at}", "{rt}")', "revoked", True, "%xmode Verbose"),
    "refused, variables": Method(_READ + "supabase.auth.set_session(at, rt)", "revoked", True, "%xmode Context"),
    "refused, %supabase_debug on": Method(
        '%supabase_set_session "{at}" "{rt}"', "revoked", True, "%supabase_debug on", "%supabase_debug off"
    ),
    "refused, call, %supabase_debug on": Method(
        'supabase.auth.set_session("{at}", "{rt}")', "revoked", True,
        "%supabase_debug on", "%supabase_debug off",
    ),
    "of two users": Method('%supabase_set_session "{at}" "{rt}"', "mixed", True),
    "damaged": Method('%supabase_set_session "{at}" "{rt}"', "damaged"),
    "damaged, call": Method('supabase.auth.set_session("{at}", "{rt}")', "damaged"),
    "swapped": Method('%supabase_set_session "{rt}" "{at}"', fails=True),
    "an option that is none": Method('%supabase_set_session --bogus "{at}" "{rt}"', fails=True),
    "too many": Method('%supabase_set_session "{at}" "{rt}" "{rt}"', fails=True),
    "too few": Method('%supabase_set_session "{at}"', fails=True),
    "an unclosed quote": Method('%supabase_set_session "{at}" "{rt}', fails=True),
    "a token as an option": Method("%supabase_set_session --{at} {rt}", fails=True),
    "a token as a scope": Method('%supabase_sign_out --scope "{at}"', fails=True),
    "a token as a name": Method('%supabase_session --name "{at}"', fails=True),
    "a magic that is none": Method('%supabase_set_sesion "{at}" "{rt}"', fails=True),
    "a syntax error": Method('supabase.auth.set_session("{at}", "{rt}"', fails=True),
    "a name that is none": Method('supabaze.auth.set_session("{at}", "{rt}")', fails=True),
    "wrong arguments": Method('supabase.auth.set_session("{at}", "{rt}", user="x")', fails=True),
    "a failure behind it": Method('%supabase_set_session "{at}" "{rt}"\n1 / 0', fails=True),
    "a failure behind the call": Method('supabase.auth.set_session("{at}", "{rt}")\n1 / 0', fails=True),
    "a trait that is read-only": Method(
        _READ + "supabase.auth.session = at", fails=True, before="%xmode Minimal"
    ),
    "a trait of another type": Method(
        _READ + 'supabase.auth.set_trait("session", at)', fails=True, before="%xmode Minimal"
    ),
    "an outage": Method('%supabase_set_session "{at}" "{rt}"', "outage", True),
    "a bare token": Method("{at}", fails=True),
    # -- signing in; {pw} is the password
    "password, prompted": Method("%supabase_sign_in {email}", "user", before=_OUT, answers=("{pw}",)),
    "password, wrong": Method("%supabase_sign_in {email}", "user", True, _OUT, answers=("planted{pw}",)),
    "password, call": Method(
        'pw = open("{file}").read()\n'
        'supabase.auth.sign_in_with_password({{"email": "{email}", "password": pw}})',
        "user", before=_OUT, after="del pw",
    ),
    "password, wrong, call": Method(
        'pw = "planted" + open("{file}").read()\n'
        'supabase.auth.sign_in_with_password(email="{email}", password=pw)',
        "user", True, _OUT + "\n%xmode Verbose", "del pw",
    ),
    "password, changed": Method(
        'pw = "planted" + open("{file}").read()\n'
        'supabase.auth.update_user({{"password": pw}})',
        "user",
        before=_PASSWORD,
        after="del pw",
    ),
    # -- second factors; the app's secret is planted once it is made
    "second factor, call": Method(
        'f = supabase.auth.mfa.enroll(factor_type="totp")\n'
        "import copy, pprint\nprint(f, f.totp, vars(f), vars(f.totp), copy.deepcopy(f))\n"
        "pprint.pprint(vars(supabase.auth.mfa))\ndisplay(f, f.totp)\nf",
        "user", before=_PASSWORD,
    ),
    "second factor, wrong code, call": Method(
        'f = supabase.auth.mfa.enroll(factor_type="totp")\n'
        'supabase.auth.mfa.challenge_and_verify(factor_id=f.id, code="000000")',
        "user", True, _PASSWORD + "\n%xmode Verbose",
    ),
    "second factor, a failure behind it": Method(
        'f = supabase.auth.mfa.enroll(factor_type="totp")\n'
        "def fail(key):\n    return len(key) / 0\nfail(f.totp.secret)",
        "user", True, _PASSWORD + "\n%xmode Verbose",
    ),
    "second factor, magic": Method(
        "%supabase_mfa --enroll", "user", True, _PASSWORD, answers=("000000", "111111", "222222"),
    ),
    "a link": Method(
        "%supabase_sign_in --link", before=_OUT,
        answers=("http://127.0.0.1/#access_token={at}&refresh_token={rt}&type=magiclink&expires_in=3600",),
    ),
    "anonymous": Method("%supabase_sign_in --anonymous", before=_OUT),
    # -- what is looked at afterwards
    "shown": Method(
        _READ
        + "r = supabase.auth.set_session(at, rt)\ndel at, rt\n"
        + "import copy, pprint\nprint(r, r.session, vars(r.session), copy.deepcopy(r))\n"
        + "pprint.pprint(vars(supabase.auth)); print(supabase.auth.events, supabase.auth.last_event)\n"
        + "display(r, r.session, supabase.auth, supabase); supabase"
    ),
    "looked into": Method(
        _READ + "r = supabase.auth.set_session(at, rt)\ndel at, rt\n"
        "%whos\n%who_ls\nget_ipython().run_line_magic('pinfo', 'r')\n"
        "get_ipython().run_line_magic('pinfo2', 'r.session')\n%pdef supabase.auth.set_session"
    ),
    "a subscriber": Method(
        "def hear(event, session):\n    print(event, session)\n"
        "s = supabase.auth.on_auth_state_change(hear)\n" + _READ + "supabase.auth.set_session(at, rt)\n"
        "s.unsubscribe()"
    ),
    "a subscriber that fails": Method(
        "def fail(event, session):\n    raise ValueError(f'{{session.access_token}} "
        "refresh_token={{session.refresh_token}}')\n"
        "s = supabase.auth.on_auth_state_change(lambda event, session: session and fail(event, session))\n"
        + _READ + "supabase.auth.set_session(at, rt)\ns.unsubscribe()"
    ),
    "an observer": Method(
        "def seen(change):\n    print(change)\nsupabase.auth.observe(seen)\n"
        + _READ + "supabase.auth.set_session(at, rt)\nsupabase.auth.unobserve(seen)"
    ),
    "refreshed": Method(
        _READ + "%supabase_set_session at rt\n%supabase_refresh\nsupabase.auth.refresh_session()"
    ),
    "claims": Method(
        _READ + "supabase.auth.set_session(at, rt)\n"
        "print(supabase.auth.get_claims(at), supabase.auth.get_user(at))"
    ),
    "requests of one's own": Method(
        _READ + "supabase.auth.set_session(at, rt)\n"
        "print(supabase.http.get(supabase.url + '/rest/v1/trips').request)"
    ),
    "children": Method(
        _READ + "supabase.auth.set_session(at, rt)\ndel at, rt\nimport subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-c', 'input()'], stdin=subprocess.PIPE)",
        after="child.kill(); child.wait()",
    ),
}  # fmt: skip


#: These fail before they come to this package, which remembers the refresh token once it is used.
USED_LATER = ("a syntax error", "a name that is none", "wrong arguments", "a magic that is none")
USE = _READ + "supabase.auth.set_session(at, rt)\ndel at, rt"


def tokens(server: DemoServer, kind: str = "valid") -> tuple[str, str]:
    """The tokens of a new session."""
    wire = server.sign_in("grace@example.com")
    at, rt = wire["access_token"], wire["refresh_token"]
    if kind == "revoked":
        server.request("POST", "/auth/v1/logout?scope=local", token=at)
    if kind == "mixed":
        server.expire("grace@example.com")
        rt = server.sign_in("alan@example.com")["refresh_token"]
    if kind == "damaged":
        at = at[:-3] + "ü" + at[-3:]
    if kind == "expired":
        server.expire("grace@example.com")
    return at, rt


def filled(text: str, *, at: str, rt: str, **names: Any) -> str:
    """A cell with the tokens in it."""
    both = json.dumps({"access_token": at, "refresh_token": rt})
    return text.format(at=at, rt=rt, json=both, **names) if text else ""


#: What is sent by the form (`static/form.mjs`): the fields of its message.
ENTRIES: dict[str, Callable[[str, str], tuple[str, str]]] = {
    "two fields": lambda at, rt: (at, rt),
    "a stored session": lambda at, rt: (json.dumps({"access_token": at, "refresh_token": rt}), ""),
    "an address": lambda at, rt: (f"http://localhost:3000/#access_token={at}&refresh_token={rt}&type=x", ""),
    "both in one": lambda at, rt: (f"{at}\n{rt}", ""),
    "nonsense around": lambda at, rt: (f"my tokens: {at} and <b>{rt}</b> of https://x.co", rt),
}
