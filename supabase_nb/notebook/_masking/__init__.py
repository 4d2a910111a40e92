"""Masks tokens in cells.

- `cell_redaction`: masks the tokens that a cell contains. `ipython_records`: IPython's records of cells.
- `browser_masking`: masks tokens in the cells that the browser holds.
"""
