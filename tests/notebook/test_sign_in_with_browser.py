"""`%supabase_sign_in --provider` and `--oauth`: in a browser that returns to this machine."""

from __future__ import annotations

import html
import re
import threading
from collections.abc import Callable
from urllib.parse import urlsplit

import httpx
import pytest
from shells import Shell
from test_magics_sign_in import PASSWORD, Person, here, person, who  # noqa: F401 - fixtures

from supabase_nb.auth._browser_sign_in import begin_with_provider
from supabase_nb.demo import DemoServer
from supabase_nb.errors import AuthError
from supabase_nb.notebook._sign_in.loopback_listener import LoopbackListener


def choose(url: str, user: str, what: str = "") -> httpx.Response:
    """What a person does: open the address and choose a user. Gives the answer of the page this ends on."""
    page = httpx.get(url, follow_redirects=True)
    entry = next(part for part in page.text.split("<li>") if user in part)
    link = next(link for link in re.findall(r'href="([^"]+)"', entry) if what in link)
    return httpx.get(str(page.url.join(html.unescape(link))), follow_redirects=True)


class FakeBrowser:
    """Opens an address in another thread, like a desktop browser."""

    def __init__(self, act: Callable[[str], httpx.Response]) -> None:
        self.opened = ""
        self.page: httpx.Response | None = None
        self._act = act
        self._thread: threading.Thread | None = None

    def open(self, url: str) -> bool:
        self.opened = url
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        return True

    def _run(self) -> None:
        self.page = self._act(self.opened)

    def last_page(self) -> str:
        assert self._thread is not None
        self._thread.join(30)
        assert self.page is not None
        return html.unescape(self.page.text)


@pytest.fixture
def browse(monkeypatch: pytest.MonkeyPatch) -> Callable[..., FakeBrowser]:
    monkeypatch.delenv("SSH_CONNECTION", raising=False)

    def make(*choice: str) -> FakeBrowser:
        browser = FakeBrowser(lambda url: choose(url, *choice))
        monkeypatch.setattr("webbrowser.open", browser.open)
        return browser

    return make


def listeners() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "supabase-nb-sign-in"]


def test_the_browser_returns(here: Shell, browse: Callable[..., FakeBrowser]) -> None:  # noqa: F811
    browser = browse("grace@example.com")
    ran = here.run("%supabase_sign_in --provider github")
    assert ran.ok
    assert who(here) == "grace@example.com"
    assert browser.opened in ran.text
    assert "You're signed in as grace@example.com" in browser.last_page()
    assert listeners() == []


def test_the_project_as_oauth_server(here: Shell, browse: Callable[..., FakeBrowser]) -> None:  # noqa: F811
    # Also where a session of another kind is in use.
    here.ns["supabase"].auth.sign_in_with_password(email="ada@example.com", password=PASSWORD)  # type: ignore[attr-defined]
    browse("ada@example.com", "approve")
    assert here.run("%supabase_sign_in --oauth").ok
    assert who(here) == "ada@example.com"
    assert here.ns["supabase"].auth.session.claims["client_id"]  # type: ignore[attr-defined]
    assert here.run("%supabase_refresh").ok
    # Run again, it asks no more.
    session = here.ns["supabase"].auth.session  # type: ignore[attr-defined]
    assert here.run("%supabase_sign_in --oauth").ok
    assert here.ns["supabase"].auth.session == session  # type: ignore[attr-defined]


def test_denying_access_is_reported_and_can_be_retried(
    here: Shell,  # noqa: F811
    browse: Callable[..., FakeBrowser],
) -> None:
    browser = browse("Cancel")
    ran = here.run("%supabase_sign_in --provider github")
    assert not ran.ok
    assert "The user said no" in ran.text
    assert "You're not signed in" in browser.last_page()
    assert listeners() == []
    browse("ada@example.com")
    assert here.run("%supabase_sign_in --provider github").ok


@pytest.mark.parametrize("why", ["ssh", "no browser", "--paste"])
def test_the_address_is_pasted(
    here: Shell,  # noqa: F811
    person: Person,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    why: str,
) -> None:
    opened: list[str] = []
    if why == "ssh":
        monkeypatch.setenv("SSH_CONNECTION", "192.0.2.1 1 192.0.2.2 22")
    else:
        monkeypatch.delenv("SSH_CONNECTION", raising=False)
    monkeypatch.setattr("webbrowser.open", lambda url: bool(opened.append(url)))
    shown: list[str] = []
    monkeypatch.setattr("builtins.print", lambda *words: shown.extend(words))

    def sign_in_elsewhere() -> str:
        (url,) = re.findall(r"http\S+", shown[-1])
        page = httpx.get(url, follow_redirects=True)
        link = next(part for part in page.text.split("<li>") if "alan@example.com" in part)
        choice = html.unescape(re.findall(r'href="([^"]+)"', link)[0])
        return httpx.get(str(page.url.join(choice))).headers["location"]

    person.answers = [sign_in_elsewhere]
    assert here.run(f"%supabase_sign_in --provider github {'--paste' if why == '--paste' else ''}").ok
    assert who(here) == "alan@example.com"
    assert bool(opened) is (why == "no browser")
    assert listeners() == []


def test_enter_after_the_browser_returned(
    here: Shell,  # noqa: F811
    person: Person,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shown: list[str] = []
    monkeypatch.setattr("builtins.print", lambda *words: shown.extend(words))

    def sign_in_here() -> str:
        (url,) = re.findall(r"http\S+", shown[-1])
        assert choose(url, "ada@example.com").status_code == 200
        return ""

    person.answers = [sign_in_here]
    assert here.run("%supabase_sign_in --provider github --paste").ok
    assert who(here) == "ada@example.com"


def test_an_interrupt_stops_listening(here: Shell, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    monkeypatch.delenv("SSH_CONNECTION", raising=False)
    monkeypatch.setattr("webbrowser.open", lambda url: True)

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(LoopbackListener, "wait", interrupted)
    assert not here.run("%supabase_sign_in --provider github").ok
    assert listeners() == []
    assert who(here) is None


def test_other_addresses_do_not_end_the_wait(here: Shell, server: DemoServer) -> None:  # noqa: F811
    auth = here.ns["supabase"].auth  # type: ignore[attr-defined]
    with LoopbackListener() as listener:
        under_way = begin_with_provider(auth, "github", listener.address)
        listener.finish = under_way.finish
        strange = (
            "favicon.ico",
            "",
            "?code=planted",
            "?code=planted&supabase_nb_state=planted",
            "x?code=planted",
        )
        for path in strange:
            answer = httpx.get(listener.address + path)
            assert answer.status_code in (400, 404)
            assert "planted" not in answer.text
        assert not listener.ended
        assert urlsplit(listener.address).hostname == "127.0.0.1"
        page = choose(under_way.url, "ada@example.com")
        assert "default-src 'none'" in page.headers["content-security-policy"]
        assert page.headers["cache-control"] == "no-store"
        assert listener.wait().user.email == "ada@example.com"
        # The tab is loaded again.
        assert httpx.get(str(page.url)).status_code == 410


def test_a_browser_that_never_returns(here: Shell) -> None:  # noqa: F811
    with LoopbackListener() as listener, pytest.raises(AuthError, match="did not return") as refused:
        listener.wait(0)
    assert refused.value.code == "sign_in_timeout"
