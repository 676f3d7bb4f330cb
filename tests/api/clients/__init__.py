"""The requests of real clients, as they were seen on the wire. One module for each client.

May import `tests/support` and the libraries of HTTP tests.
"""
