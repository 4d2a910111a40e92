"""NotebookClient: a client that shows itself, and whose displays are attributes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..client import Client
from .show import show_panel

if TYPE_CHECKING:
    from ..auth import AuthClient
    from .widgets import Display, Kind


class Displays:
    """The displays of whatever has an `auth`: each is one model, however often it is shown."""

    auth: AuthClient

    @property
    def badge(self) -> Display:
        """The status, as a word with a shape and a colour."""
        return self._display("badge")

    @property
    def user_card(self) -> Display:
        """Who is signed in."""
        return self._display("user_card")

    @property
    def expiry(self) -> Display:
        """The access token: what is left of it, and when it is refreshed."""
        return self._display("expiry")

    @property
    def timeline(self) -> Display:
        """The last 20 events with their time and cause."""
        return self._display("timeline")

    @property
    def panel(self) -> Display:
        """The session over its whole life: sign in, see who it is, refresh, sign out."""
        return self._display("panel")

    def token_entry(self) -> Display:
        """The panel with its form open; what is typed there never stands in a cell."""
        return self._display("token_entry")

    def _display(self, kind: Kind) -> Display:
        # anywidget and ipywidgets are imported when the first display is asked for.
        from .widgets import display_of

        return display_of(self.auth, kind)

    def _ipython_display_(self, **_: object) -> None:
        show_panel(self.auth)

    def _display_(self) -> Display:
        # marimo's way to ask an object for what to show.
        return self.panel


class NotebookClient(Displays, Client):
    """What `%supabase_connect` puts into the notebook: a `Client` that shows itself.

    Example:
        supabase                                            # on its own in a cell: the panel
        supabase.auth.user.email                            # who is signed in
        supabase.table("trips").select("*").execute().data  # as that user
        supabase.set_auth(token)                            # requests with another token
    """
