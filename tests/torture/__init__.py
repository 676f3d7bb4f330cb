"""The fault campaign (`make torture`): a random workload against two servers and a worker, with faults and kills.

`__main__` reads the command line, `campaign` runs one engine, `clients` make requests and keep a model of what they
know, `checks` compares the archive with the model at the end. Imports `app` and `tests.support`.
"""
