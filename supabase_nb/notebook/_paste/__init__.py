"""Finds the tokens of one session in pasted text.

- `paste`: decides which tokens to use. `findings`: what was found. `readers`: one for each form of text.
"""
