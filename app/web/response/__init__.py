"""Answers: JSON, streams, files, multipart, byte ranges, content codings, and the headers of browsers and warnings.

May import `web/negotiation` and the layers below `web`.
"""
