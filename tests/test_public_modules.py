"""What isn't public looks private: its module, or a package around it, begins with an underscore."""

from __future__ import annotations

import pkgutil

import supabase_nb

PUBLIC = """
auth auth.aio auth.client auth.email_methods auth.mfa auth.providers auth.session_methods auth.sign_in
auth.user_methods
cli client client.client client.client_options client.httpx_auth
demo demo.server_handle demo.server_process demo.testing distributed errors models
notebook notebook.client_with_displays notebook.text pyodide_transports pytest_plugin storage
"""


def test_the_public_modules() -> None:
    modules = pkgutil.walk_packages(supabase_nb.__path__, "supabase_nb.")
    names = [module.name.partition(".")[2] for module in modules]
    assert sorted(name for name in names if "._" not in f".{name}") == sorted(PUBLIC.split())
