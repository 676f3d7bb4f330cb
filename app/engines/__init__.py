"""Implementations of the ports of `storage`: `aws` and `embedded`.

Only this package imports boto3 and sqlite3. It may import the ports and the keys of `storage`, and app.errors.
Only `bootstrap` imports it.
"""
