"""Request bodies: bounded streams, content codings, multipart, JSON, and the kinds of body that a route may declare.

May import `web/negotiation`, `web/response` (names of media types), `web/schemas` and the layers below `web`.
"""
