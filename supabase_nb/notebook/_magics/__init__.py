"""The magics.

- `magics`: their registration, and `%load_ext`. `magic_commands`: their arguments, and what they do.
- `sign_in`, `mfa`: `%supabase_sign_in`, `%supabase_set_auth`, `%supabase_mfa`. `prompts`: hidden input.
- `magic_parser`: parses their arguments. `completions`: tab completion.
"""
