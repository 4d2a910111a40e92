"""The notebook integration: magics, displays, and entering tokens without leaving them in the notebook.

- `client_with_displays`: `NotebookClient`, which displays itself. `text`: the texts of all displays.
- `_magics`: the magics. `_variables`: the notebook's variables, as their arguments.
- `_displays`: panel, badge, forms and notices. `_panel`: handles the panel's requests.
- `_sign_in`: codes and a browser's return, for the panel and the magics.
- `_paste`: finds tokens in pasted text. `_masking`: masks tokens in cells.
"""
