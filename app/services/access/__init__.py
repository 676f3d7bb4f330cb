"""Access: who calls, and what the caller may do in which partitions (conformance §13).

`authentication.py` leads from credentials to a `Caller`, `rights.py` says what it may do. `jwt_*` and `issuer_*` serve
JWTs, `tokens.py` and `grants.py` what administrators store. May import `storage` and `errors`. Nothing here knows HTTP.
"""
