"""What people see: the panel, the badge, forms and notices.

- `show`: displays a client. `widgets`: the displays. `view`: the data that they show.
- `fallback`: static HTML and text, for front ends without widgets. `publishing`: the outputs of cells.
- `cell_notice`: the notice about tokens in cells. `sign_out_everywhere`: its button.
- `enrollment`: the QR code of a new authenticator app.
- `status_bar`: sends the state to JupyterLab's status bar.
- `base_widget`, `assets`: the base class of the widgets, and the files in `static/`.
"""
