"""How processes start: the `bulkhead` command, the HTTP server, the worker, and the process that supervises both.

It may import `bootstrap`, `web`, app.settings, app.logs and app.errors. Nothing imports it.
"""
