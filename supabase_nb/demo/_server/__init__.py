"""The embedded server as a program.

- `app`: the ASGI application. `run`: serves it with uvicorn. `pyodide_server`: runs it in a browser.
"""
