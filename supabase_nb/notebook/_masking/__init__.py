"""Masks tokens in cells.

- `cell_masking`: masks the tokens that a cell contains. `ipython_records`: IPython's records of cells.
- `masking_notice`: the notice about them: what was masked, what wasn't, and what to do.
  `sign_out_everywhere`: its button.
- `browser_masking`: masks tokens in the cells that the browser holds.
"""
