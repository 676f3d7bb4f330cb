"""Access: the tokens that callers sign in with, and the grants that an administrator stores (conformance §13.6).

May import `table` of `storage`, and `errors`. What a token or a grant allows is decided in `services/access`. Earlier
releases neither read nor write these items, so they need no layout version of their own.
"""
