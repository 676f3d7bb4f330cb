"""What storing and reading cost, whatever the engine: synthetic archives, and figures of calls, units and time.

May import everything in `app` and in `tests/support`.
"""
