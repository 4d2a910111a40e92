"""The magics.

- `registration`: `%load_ext` and `%unload_ext`, and how a magic is called.
- `session_magics`: `%supabase_connect` and the magics for its session, such as `%supabase_refresh`.
- `sign_in_magics`: `%supabase_sign_in` and `%supabase_set_auth`. `mfa_magic`: `%supabase_mfa`.
- `prompts`: hidden input.
- `magic_parser`: parses their arguments. `completions`: tab completion.
"""
