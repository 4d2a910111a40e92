"""The notebook's variables, as arguments of magics.

- `argument_values`: variables, paths into them, environment variables, literals.
- `token_extraction`: the tokens in such a value.
- `calling_scope`: the variables that a magic can use. `client_names`: those that hold clients.
"""
