"""Routing: what a route is, the spelling of paths, the mounting, and the steps between routing and handler.

`route.py` has the properties of a route, `mount.py` the blueprint factory, `dispatch.py` the steps, `context.py` what a
handler knows. May import `web/negotiation`, `web/request`, `web/response`, `web/schemas` and the layers below `web`.
"""
