"""The routes of the service: one module per resource, which translates HTTP to a use case and back.

Each module makes a `Resource` (`web/routing/route.py`). `table.py` lists them all. May import `web` and what `web` may
import.
"""
