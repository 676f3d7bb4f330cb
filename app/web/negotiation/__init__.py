"""Content negotiation: media types in headers, and what a caller accepts of what a resource has (conformance §4.2).

May import the layers below `web`, and nothing else of `web`.
"""
