import ast
import json
import logging
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import jwt
import pytest

import supabase_nb
from supabase_nb._secrets import log_masking

ACCESS = jwt.encode({"sub": "planted", "role": "authenticated"}, "0" * 32, algorithm="HS256")
REFRESH = "vt2ehksbqlrt"
KEY = "sb_secret_N7UND0UgjKTVK-Uodkm0Hg_xSvEMPvz"


@pytest.fixture
def logger():
    log_masking.install()
    logger = logging.getLogger("httpx")
    before = logger.level
    logger.setLevel(logging.DEBUG)
    yield logger
    logger.setLevel(before)


def lines(caplog):
    formatter = logging.Formatter("%(name)s %(message)s")
    return "\n".join(formatter.format(record) for record in caplog.records)


def no_secret(text):
    return not any(secret in text for secret in (ACCESS, REFRESH, KEY))


def test_messages_arguments_and_extra_fields(logger, caplog):
    logger.debug("headers %r for %s", {"authorization": f"Bearer {ACCESS}", "apikey": KEY}, "you")
    logger.debug("body", extra={"body": json.dumps({"refresh_token": REFRESH}), "size": 3})
    assert lines(caplog) == "httpx headers {'authorization': '•••', 'apikey': '•••'} for you\nhttpx body"
    assert caplog.records[1].body == '{"refresh_token": "•••"}'
    assert caplog.records[1].size == 3
    assert caplog.records[0].args == ()


@pytest.mark.parametrize(
    "typed", ["123456", "it's", 'say "hi"', """both ' and \"""", "back\\", "}, 'x': {", ""]
)
def test_what_was_typed_into_a_form(logger, caplog, typed):
    """The kernel logs messages from the page before they are handled, and a password has no known format."""
    typed = f"{typed}planted{typed}"
    for fields in ({"factor_id": "f1", "code": typed}, {"who": typed, "password": typed}):
        content = {"type": "ask", "what": "verify_factor", "id": "lx-1", "fields": fields}
        logger.debug("comm_msg: %s", {"data": {"method": "custom", "content": content}, "buffers": []})
    assert "planted" not in lines(caplog)
    shown = "'id': 'lx-1', 'fields': {•••}}}, 'buffers': []}"
    assert [line.endswith(shown) for line in lines(caplog).splitlines()] == [True, True]


def test_records_without_tokens_are_unchanged(logger, caplog):
    arguments = ("GET", "https://abcd.supabase.co/rest/v1/trips", 200)
    logger.info("HTTP Request: %s %s %d", *arguments)
    try:
        raise ValueError("no secret")
    except ValueError as error:
        logger.exception("failed")
        raised = error
    first, second = caplog.records
    assert (first.msg, first.args) == ("HTTP Request: %s %s %d", arguments)
    assert second.exc_info[1] is raised
    assert "Traceback" in lines(caplog)


def test_tracebacks_and_stacks(logger, caplog):
    try:
        raise ValueError(f"Illegal header value b'Bearer {ACCESS}'")
    except ValueError:
        logger.exception("failed", stack_info=True)
    said = lines(caplog)
    assert no_secret(said)
    assert "Illegal header value" in said
    assert "Stack (most recent call last)" in said


def test_arguments_that_do_not_fit_are_not_printed(logger, caplog, capsys):
    logger.debug("one %s", ACCESS, ACCESS)
    assert no_secret(lines(caplog) + capsys.readouterr().err)


def test_arguments_that_do_not_fit_and_hold_no_token_stay():
    record = logging.makeLogRecord({"msg": "one %s", "args": (1, 2)})
    assert log_masking.RedactingFilter().filter(record)
    assert (record.msg, record.args) == ("one %s", (1, 2))


def test_installed_once_on_each():
    log_masking.install()
    log_masking.install()
    for name in log_masking.LOGGERS:
        filters = logging.getLogger(name).filters
        assert sum(isinstance(one, log_masking.RedactingFilter) for one in filters) == 1


def test_loggers_of_others_are_left_alone(caplog):
    log_masking.install()
    logging.getLogger("somebody.else").warning("eyJhbGciOiJIUzI1NiJ9 %s", 1)
    assert caplog.records[0].args == (1,)


def test_every_logger_of_this_package_is_among_them():
    """A filter does not reach a logger's children, so a new name has to be listed."""
    named = set()
    package = Path(supabase_nb.__file__).parent
    for path in package.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("getLogger"):
                if path.name == "log_masking.py":
                    continue
                assert len(node.args) == 1, path
                module = ".".join(path.relative_to(package.parent).with_suffix("").parts)
                named.add(eval(ast.unparse(node.args[0]), {"__name__": module}))
    assert named
    assert named <= set(log_masking.LOGGERS)


class _Answers(BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        body = json.dumps({"access_token": ACCESS, "refresh_token": REFRESH}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.send_header("set-cookie", f"sb-refresh_token={REFRESH}; HttpOnly")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    with ThreadingHTTPServer(("127.0.0.1", 0), _Answers) as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.02])
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_the_http_librarys_own_logs_at_debug(library, server, caplog):
    """httpcore says the response's headers at DEBUG; a refused header is in the exception's text."""
    log_masking.install()
    caplog.set_level(logging.DEBUG)
    headers = {"authorization": f"Bearer {ACCESS}", "apikey": KEY}
    with library.Client(headers=headers) as client:
        client.post(f"{server}/token?refresh_token={REFRESH}", json={"refresh_token": REFRESH})
        with pytest.raises(library.LocalProtocolError):
            client.post(server, headers={"x": f"Bearer {ACCESS}\n"})
    said = lines(caplog)
    assert f"{library.__name__.replace('httpx', 'httpcore')}.http11 receive_response_headers.complete" in said
    assert "send_request_headers.failed" in said
    assert no_secret(said)


def test_http2_headers_at_debug(caplog):
    hpack = pytest.importorskip("hpack")
    log_masking.install()
    caplog.set_level(logging.DEBUG, "hpack")
    hpack.Encoder().encode([(b"authorization", f"Bearer {ACCESS}".encode()), (b"apikey", KEY.encode())])
    assert "hpack.hpack" in lines(caplog)
    assert no_secret(lines(caplog))


def test_changes_of_the_session_are_logged_without_tokens(supabase_auth_server, storage, caplog):
    server = supabase_auth_server
    with caplog.at_level(logging.DEBUG, logger="supabase_nb"):
        auth = supabase_nb.AuthClient(
            server.auth_url, headers={"apikey": server.anon_key}, storage=storage, auto_refresh=False
        )
        pair = server.sign_in()
        auth.set_session(pair["access_token"], pair["refresh_token"])
        refreshed = auth.refresh_session().session
        auth.sign_out()
        auth.close()
    said = [
        (record.levelname, record.getMessage()) for record in caplog.records if record.name == "supabase_nb"
    ]
    for expected in (
        ("INFO", "TOKEN_REFRESHED: session restored"),
        ("DEBUG", "refreshing the access token"),
        ("DEBUG", "status: active -> refreshing"),
        ("INFO", "TOKEN_REFRESHED: refreshed"),
        ("INFO", "SIGNED_OUT: signed out"),
    ):
        assert expected in said
    text = repr(said)
    for secret in (*(pair[name] for name in ("access_token", "refresh_token")), refreshed.refresh_token):
        assert secret not in text
