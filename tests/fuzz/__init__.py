"""Fuzzing: random requests, from a grammar of the routes and from mutations of valid requests.

`python -m tests.fuzz` sends a million of them. `grammar.py` makes requests and `bodies.py` their bodies, `mutation.py`
damages bytes and texts. `campaign.py` calls an application in this process, `sockets.py` sends raw bytes to a real
server. No answer may be a 500, no process may die, and the memory may not grow.
"""
