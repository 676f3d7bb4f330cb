"""Implementations of the ports of `storage`: the engines `aws` and `embedded`, and what both use.

Only this package imports boto3 and sqlite3. It may import the ports of `storage` and app.errors. Neither engine imports
the other one. Only `bootstrap` imports this package.
"""
