"""The kernel's part of the panel (a widget in a cell's output): its buttons and form.

- `panel_requests`: sign in, refresh, sign out, and so on. `provider_requests`: sign in with a provider.
"""
