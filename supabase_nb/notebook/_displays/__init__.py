"""What people see: the panel, the badge, forms and notices.

- `show`: displays a client. `widgets`: the displays, which also receive the browser's messages. `view`: the
  data that they show.
- `fallback`: static HTML and text, for front ends without widgets. `publishing`: the outputs of cells.
- `token_form_shown`: called when a token form is shown.
- `enrollment`: the QR code of a new authenticator app.
- `status_bar`: sends the state to JupyterLab's status bar.
- `base_widget`, `assets`: the base class of the widgets, and the files in `static/`.
"""
