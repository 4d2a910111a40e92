"""The magics.

- `registration`: `%load_ext` and `%unload_ext`, and how a magic is called.
- `session_magics`: `%supabase_connect`, `set_session`, `session`, `refresh`, `sign_out` and `debug`.
- `sign_in_magics`: `%supabase_sign_in` and `%supabase_set_auth`. `mfa_magic`: `%supabase_mfa`.
- `prompts`: hidden input.
- `magic_parser`: parses their arguments. `completions`: tab completion.
"""
