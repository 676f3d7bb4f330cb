"""Background operations: their records and leases, the manifest of an export, and the destinations that exports name.

May import `table` of `storage`, and `errors`.
"""
