"""Access: who calls, and what the caller may do in which partitions (conformance §13).

`rights.py` has actions, grants and rights, `caller.py` the caller, `authentication.py` the way from credentials to a
caller. May import `storage` and `errors`. Nothing here knows HTTP.
"""
