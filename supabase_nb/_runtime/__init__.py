"""Where the code runs: threads, forked processes, browsers, Binder.

- `environment`: whether this is a browser or Binder, whose machines are shared.
- `background`: runs work in the background. `thread_executor`: daemon threads for blocking calls.
- `fork`: resets objects in a forked child process.
- `threadless_loop`: an event loop without a thread, for browsers.
"""
