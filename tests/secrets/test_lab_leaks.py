"""The sign-in methods in real JupyterLab with "save widget state" on."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
from hostile_text import HOSTILE
from planted import Found, Planted, modes, new_user, search, table, where_digits_are
from searched_lab import SearchedLab
from sign_in_methods import ENTRIES, USE, filled, tokens

from supabase_nb.demo import DemoServer

pytestmark = pytest.mark.browser

#: Cells, the kind of their session, and whether it is in force afterwards.
CELLS = {
    "literals": ('%supabase_set_session "{at}" "{rt}"', "valid"),
    "literals, call": ('supabase.auth.set_session(\n    "{at}",\n    "{rt}",\n)', "valid"),
    "literals, refused": ('%supabase_set_session "{at}" "{rt}"', "revoked"),
    "literals, call, refused": ('supabase.auth.set_session("{at}", "{rt}")', "revoked"),
    "literals, a failure behind it": ('%supabase_set_session "{at}" "{rt}"\n1 / 0', "valid"),
    "literals to variables": ('at = "{at}"\nrt = "{rt}"\n%supabase_set_session at rt\n%whos', "valid"),
    "literals, stored session": ("s = '''{json}'''\n%supabase_set_session s", "valid"),
    "literals, a syntax error": ('supabase.auth.set_session("{at}", "{rt}"]', "later"),
    "variables": (
        'at, rt = __import__("json").load(open("{file}"))\nr = supabase.auth.set_session(at, rt)\n'
        "del at, rt\ndisplay(r, supabase.user_card, supabase.expiry, supabase.timeline, supabase); r.session",
        "valid",
    ),
    "rotated": (
        'at, rt = __import__("json").load(open("{file}"))\n%supabase_set_session at rt\n%supabase_refresh',
        "expired",
    ),
}


def work(lab: SearchedLab, server: DemoServer, planted: Planted) -> Path:
    """Use every sign-in method in one notebook."""
    page = lab.page
    path = lab.open("work")
    page.evaluate("navigator.clipboard.writeText('nothing of ours')")
    lab.silently(f"import kernel_probe; kernel_probe.log_all({str(lab.outside / 'loggers.log')!r})")
    lab.run("%load_ext supabase_nb\nget_ipython().run_line_magic('xmode', 'Verbose')")
    lab.run(f"%supabase_connect {server.url} --key '{server.anon_key}'")
    file, typed = lab.outside / "tokens.json", []
    for name, (cell, kind) in CELLS.items():
        at, rt = tokens(server, "valid" if kind == "later" else kind)
        planted.add(name, access_token=at, refresh_token=rt)
        typed += [at, rt]
        file.write_text(json.dumps([at, rt]))
        lab.run(filled(cell, at=at, rt=rt, file=file))
        if kind == "later":
            lab.run(filled(USE, at=at, rt=rt, file=file))
        planted.add_stored(name, lab.home / "sessions")
    lab.run("%supabase_set_session")
    form = page.locator(".sb[data-kind=token_entry]").last
    access, refresh = form.get_by_label("Access token"), form.get_by_label("Refresh token")
    for name, shape in [*ENTRIES.items(), ("refused", ENTRIES["two fields"])]:
        at, rt = tokens(server, "revoked" if name == "refused" else "valid")
        planted.add(f"form, {name}", access_token=at, refresh_token=rt)
        if not access.is_visible():
            form.get_by_role("button", name="Sign out").click()
            form.get_by_role("button", name="Paste tokens").click()
        first, second = shape(at, rt)
        access.fill(first)
        refresh.fill(second)
        access.press("Enter")
        page.wait_for_function(
            """panel => panel.querySelector('.sb-form').hidden
                || panel.querySelector('.sb-form .sb-message').dataset.mood === 'bad'""",
            arg=form.element_handle(),
        )
        planted.add_stored(f"form, {name}", lab.home / "sessions")
    by_provider(lab, form, planted)
    second_factor(lab, server, planted)
    # The browser cleans the cells that held literals a moment after they ran.
    page.wait_for_function(
        """typed => {
            const cells = JSON.stringify(jupyterapp.shell.currentWidget.content.model.sharedModel.toJSON());
            return !typed.some(token => cells.includes(token));
        }""",
        arg=typed,
    )
    page.keyboard.press("Control+z")
    lab.look()
    return path


def by_provider(lab: SearchedLab, form: Any, planted: Planted) -> None:
    """Sign in with a provider, in its window: refused, by an address that is pasted, and as it should be."""
    page, verifiers = lab.page, lab.outside / "verifiers.txt"
    lab.silently(f"import kernel_probe; kernel_probe.note_verifiers({str(verifiers)!r})")
    came: list[str] = []
    page.context.on(
        "request", lambda request: "supabase_nb_state=" in request.url and came.append(request.url)
    )
    github = form.get_by_role("button", name="Continue with GitHub")
    for name in ("refused", "pasted", "finished"):
        with page.expect_popup() as opened:
            github.click()
        popup = opened.value
        if name == "pasted":
            # The window comes back, but can't say so.
            page.context.route("**/returned.js", lambda route: route.abort())
        with popup.expect_event("close"):
            who = "Cancel" if name == "refused" else "ada@example.com"
            popup.get_by_role("link", name=who).click(no_wait_after=True)
            if name == "pasted":
                while not any("&code=" in address or "?code=" in address for address in came):
                    popup.wait_for_timeout(50)
                form.get_by_text("Did you end up on a different page?").click()
                form.get_by_label("URL of that page").fill(came[-1])
                form.get_by_label("URL of that page").press("Enter")
        page.context.unroute("**/returned.js")
        for address in came:
            fields = dict(parse_qsl(urlsplit(address).query))
            planted.add(
                f"provider, {name}",
                code=fields.get("code", ""),
                nonce=fields["supabase_nb_state"],
            )
        for verifier in verifiers.read_text().split():
            planted.add(f"provider, {name}", verifier=verifier)
        came.clear()
        if name != "refused":
            form.get_by_role("button", name="Details").wait_for()
            planted.add_stored(f"provider, {name}", lab.home / "sessions")
        if name == "pasted":
            form.get_by_role("button", name="Sign out").click()
            form.get_by_role("button", name="Sign in", exact=True).click()
    assert len(verifiers.read_text().split()) == 3


def second_factor(lab: SearchedLab, server: DemoServer, planted: Planted) -> None:
    """Add an authenticator app, sign in again, and verify in the panel; the codes go to `lab.codes`."""
    page, (email, password) = lab.page, new_user(server, "lab-second-factor")
    file = lab.outside / "password.txt"
    file.write_text(password)
    planted.add("second factor, signing in", password=password)
    sign_in = f"_ = supabase.auth.sign_in_with_password(email={email!r}, password=open({str(file)!r}).read())"
    lab.run(sign_in)
    lab.begin("%supabase_mfa --enroll")
    image, prompt = page.locator(".sb-enrollment img, .sb img").last, page.locator(".jp-Stdin-input")
    key = str(page.locator(".sb-key").text_content())
    source = str(image.get_attribute("src"))
    for text in (key, key.replace(" ", ""), source[len(source) // 2 :][:200], unquote(source)[-600:][:200]):
        planted.add("second factor, app", password=text)
    lab.save()  # while it is on screen
    planted.add("second factor, prompt", password="planted wrong code")
    prompt.fill("planted wrong code")
    prompt.press("Enter")
    page.get_by_text("Invalid TOTP code").wait_for()
    # The answered prompt goes a moment after the next one has come.
    page.wait_for_function(
        "[...document.querySelectorAll('.jp-Stdin-input')].map(one => one.value).join() === ''"
    )
    page.wait_for_function("document.querySelectorAll('.jp-Stdin-input').length === 1")
    lab.codes.append(server.totp_codes(email)[0]["code"])
    prompt.fill(lab.codes[-1])
    prompt.press("Enter")
    page.get_by_text("The app was added.").wait_for()
    lab.run(sign_in)
    lab.run("supabase.panel")
    panel = page.locator(".sb-live[data-kind=panel]").last
    digits = panel.get_by_label("Enter the six digits")
    planted.add("second factor, panel", password="0x0y0z0u0v0w")
    digits.fill("0x0y0z0u0v0w")
    digits.press("Enter")
    panel.get_by_text("That code is wrong").wait_for()
    lab.codes.append(server.totp_codes(email)[0]["code"])
    digits.fill(lab.codes[-1])
    digits.press("Enter")
    panel.get_by_text("Verified. Your").wait_for()


def hostile(lab: SearchedLab) -> dict[str, Any]:
    """Show what others wrote; gives what came of it."""
    dialogs: list[str] = []
    lab.page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    lab.run(
        "from supabase_nb.notebook.client_with_displays import Displays\n"
        "from hostile_text import HOSTILE, hostile_auth\n"
        "class Shown(Displays):\n"
        "    def __init__(self, text): self.auth = hostile_auth(text)\n"
        "shown = [Shown(text) for text in HOSTILE.values()]"
    )
    lab.run("for one in shown: display(one.panel, one)")
    lab.page.wait_for_function(
        "number => document.querySelectorAll('.sb[data-kind=panel] .sb-name:not(:empty)').length >= number",
        arg=len(HOSTILE),
    )
    found = lab.page.evaluate(
        """() => {
            const parts = [...document.querySelectorAll('.sb, .sb-snap')];
            const inside = parts.flatMap(part => [...part.querySelectorAll('*')]);
            return {
                elements: [...new Set(inside.map(one => one.localName))],
                handlers: inside.flatMap(one => one.getAttributeNames()).filter(one => one.startsWith('on')),
                links: inside.map(one => one.getAttribute('href') ?? one.getAttribute('src')).filter(Boolean),
                wide: parts.filter(part => part.scrollWidth > part.clientWidth + 1).length,
                high: parts.filter(part => part.clientHeight > 1600).length,
                text: parts.map(part => part.textContent).join('\\n'),
            };
        }"""
    )
    return {**found, "dialogs": dialogs}


#: For every place what puts a token there, which is in the Python variable `tok`; `js`: in JavaScript.
LEAKS = {
    "DOM": "js: document.body.dataset.x = tok",
    "fields": "js: document.body.append(Object.assign(document.createElement('input'), {value: tok}))",
    "localStorage": "js: localStorage.setItem('x', tok)",
    "sessionStorage": "js: sessionStorage.setItem('x', tok)",
    "IndexedDB": """js: await new Promise(done => {
        const open = indexedDB.open('leak', 1);
        open.onupgradeneeded = () => open.result.createObjectStore('x');
        open.onsuccess = () => {
            const put = open.result.transaction('x', 'readwrite');
            put.objectStore('x').put(tok, 'x');
            put.oncomplete = () => { open.result.close(); done(); };
        };
    })""",
    "cookies": "js: document.cookie = 'x=' + tok",
    "URL": "js: history.replaceState(null, '', '#' + tok)",
    "notebook in the browser": "print(tok)",
    "frames from the kernel": "print(tok)",
    "saved notebook": "print(tok)",
    "checkpoint": "print(tok)",
    "clipboard": "js: await navigator.clipboard.writeText(tok)",
    "console": "js: console.log(tok)",
    "answers of the server": "js: await fetch('/api/status?x=' + tok)",
    "history file": "db = get_ipython().history_manager.db; _ = db.execute("
    "'INSERT INTO history VALUES (9, 1, ?, ?)', (tok, tok)); db.commit()",
    "log of server and kernel at DEBUG": "import os; _ = os.write(2, tok.encode())",
    "loggers at DEBUG": "import logging; logging.getLogger('some.other').debug(tok)",
    "process cmdline": "import subprocess, sys; wait = [sys.executable, '-c', 'input()']\n"
    "a = subprocess.Popen([*wait, tok], stdin=-1)",
    "process environ": "b = subprocess.Popen(wait, stdin=-1, env=os.environ | {'T': tok})",
    "other files": "_ = open('somewhere', 'w').write(tok)",
    "kernel: In, Out, _i": "In.append(tok)",
    "kernel: history in memory": "get_ipython().history_manager.output_hist_reprs[999] = tok",
    "kernel: linecache": "import linecache; linecache.cache['x'] = (1, None, [tok], 'x')",
    "kernel: last exception": "sys.last_exc = sys.last_value = ValueError(tok)",
    "kernel: objects": "supabase.auth.kept = tok",
    "kernel: widget state": "import ipywidgets; w = ipywidgets.Text(tok)",
    "kernel: current request": "get_ipython().kernel.kept = tok",
    "kernel: completer": "get_ipython().Completer.full_text = tok",
    "kernel: last result": "tok",
}  # fmt: skip


def leak(lab: SearchedLab) -> Planted:
    """Put a token into every place on purpose."""
    planted = Planted()
    file = lab.outside / "leak.txt"
    for number, (place, how) in enumerate(LEAKS.items()):
        token = f"planted{number:02}y{'klmnopqrst'[number % 10] * 9}"
        planted.add(place, refresh_token=token)
        if how.startswith("js: "):
            lab.page.evaluate(f"async tok => {{ {how[4:]} }}", token)
        else:
            file.write_text(token)
            lab.run(f"tok = open({str(file)!r}).read()")
            lab.run(how)
    lab.look()
    return planted


class Result:
    leaks: Found
    seen: set[str]
    places: set[str]
    open: list[str]
    codes: list[str]
    widgets: int
    source: str
    hostile: dict[str, Any]
    error: BaseException | None = None


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory, demo: DemoServer) -> Result:
    """Everything in one session of JupyterLab. In a thread: Playwright allows one of its kind in each."""
    from playwright.sync_api import sync_playwright

    result = Result()

    def session() -> None:
        planted = Planted()
        with sync_playwright() as playwright:
            lab = SearchedLab(tmp_path_factory.mktemp("lab"), playwright)
            try:
                path = work(lab, demo, planted)
                result.open = modes(lab.home / "sessions")
                result.leaks = search(lab.places(), planted)
                result.codes = where_digits_are(lab.places(), *lab.codes)
                saved = json.loads(path.read_text())
                state = saved["metadata"]["widgets"]["application/vnd.jupyter.widget-state+json"]["state"]
                result.widgets = len(state)
                result.source = "\n".join("".join(cell["source"]) for cell in saved["cells"])
                result.hostile = hostile(lab)
                on_purpose = leak(lab)
                found = search(lab.places(), on_purpose)
                result.seen = {place for place in LEAKS if (place, place) in found}
                result.places = {place for place, _ in lab.places()}
                lab.run("for child in (a, b): child.kill(); child.wait()")
            finally:
                lab.close()

    _in_a_thread(session, result)
    return result


def _in_a_thread(call: Callable[[], Any], result: Result) -> None:
    def run() -> None:
        try:
            call()
        except BaseException as error:  # noqa: BLE001  (raised anew below)
            result.error = error

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if result.error is not None:
        raise result.error


#: A refresh token apart from its access token, or in code that fails: until it is used, it is a word like any
#: other in the echo of its own cell, and in the log of a kernel at DEBUG.
ECHOED = ("literals, call", "literals to variables", "literals, a syntax error")
#: The QR code and the key of a new app are sent to the page, as a message.
SENT = ("frames from the kernel", "second factor, app")
BEFORE = ("frames from the kernel", "log of server and kernel at DEBUG", "loggers at DEBUG")


#: The kernel tells the page which address to open, and the nonce is in it.
TOLD = "frames from the kernel"


def test_no_token_is_anywhere(result):
    leaks = {
        (place, method): needles
        for (place, method), needles in result.leaks.items()
        if (place, method) != SENT
        and not (method in ECHOED and place in BEFORE and {kind for _, kind in needles} == {"refresh token"})
        and not (place == TOLD and {kind for _, kind in needles} == {"nonce"})
    }
    assert not leaks, "\n" + table(leaks)


def test_no_code_of_a_second_factor_is_anywhere(result):
    assert result.codes == []


def test_only_the_owner_can_read_the_storage_folder(result):
    assert result.open == []


def test_the_notebook_was_saved_with_widget_state_and_rewritten_cells(result):
    """Otherwise there would have been nothing to search."""
    assert result.widgets > 5
    assert '%supabase_set_session "***" "***"\n' in result.source


def test_the_search_sees_a_leak_in_every_place(result):
    assert result.seen == set(LEAKS)
    assert result.places == set(LEAKS), "a place that has no leak to show that it is seen"


def test_text_from_others_is_plain_text_in_the_page(result):
    found = result.hostile
    assert found["dialogs"] == []
    assert {"img", "script", "iframe", "a", "h1", "math"} & set(found["elements"]) == set()
    assert found["handlers"] == []
    assert found["links"] == []
    assert (found["wide"], found["high"]) == (0, 0), "a name of 10,000 letters is cut off"
    assert HOSTILE["image"] in found["text"]
    assert not {"\u202e", "\x1b"} & set(found["text"])
