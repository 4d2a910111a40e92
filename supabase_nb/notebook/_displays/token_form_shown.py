"""Callbacks for when a token form is shown."""

from __future__ import annotations

from collections.abc import Callable

#: Called when a token form is shown, to reserve a place for a notice below it.
on_token_form_shown: list[Callable[[], object]] = []
