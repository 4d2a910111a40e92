"""NotebookClient: a client that displays itself, and has its displays as attributes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..client import Client
from ._displays.show import show_panel

if TYPE_CHECKING:
    from ..auth import AuthClient
    from ._displays.widgets import Display, Kind


class Displays:
    """A client's displays. Each is a single widget, however often it is shown."""

    auth: AuthClient

    @property
    def badge(self) -> Display:
        """The status, as text, shape and color."""
        return self._display("badge")

    @property
    def user_card(self) -> Display:
        """Who is signed in."""
        return self._display("user_card")

    @property
    def expiry(self) -> Display:
        """The access token's remaining time, and a countdown to its refresh."""
        return self._display("expiry")

    @property
    def timeline(self) -> Display:
        """The last 20 events, with their time and cause."""
        return self._display("timeline")

    @property
    def panel(self) -> Display:
        """The panel: sign in, see the user and the next refresh, sign out."""
        return self._display("panel")

    def token_entry(self) -> Display:
        """The panel with its form open, for entering tokens without writing them in a cell."""
        return self._display("token_entry")

    def _display(self, kind: Kind) -> Display:
        # anywidget and ipywidgets are imported for the first display.
        from ._displays.widgets import display_of

        return display_of(self.auth, kind)

    def _ipython_display_(self, **_: object) -> None:
        show_panel(self.auth)

    def _display_(self) -> Display:
        # marimo calls this to display an object.
        return self.panel


class NotebookClient(Displays, Client):
    """The client that `%supabase_connect` creates: a `Client` that displays itself.

    Example:
        supabase                                            # on its own in a cell: the panel
        supabase.auth.user.email                            # who is signed in
        supabase.table("trips").select("*").execute().data  # as that user
        supabase.set_auth(token)                            # requests with another token
    """
