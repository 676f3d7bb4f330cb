"""Background operations: the runner that executes their steps, the lookup for callers, and the purge of old ones.

May import `storage` and `errors`. It knows no task: `bootstrap` passes them in.
"""
