"""Tests. Look for a behaviour first through HTTP, and write a test of a lower layer only if HTTP cannot show the fault.

api/           what clients see, route by route, on each engine. New features and faults get their tests here.
contracts/     what an engine promises: one suite for each port, run on each implementation.
properties/    random histories, searches and files against a model or a rule (Hypothesis).
unit/          one module of app/, in the same folder as there: rules in tables, and what only kills, stopped threads or
               a stopped clock can show.
golden/        an archive that release 0.1.0 wrote: it must open, and answer as before.
integration/   real processes and servers (make integration). benchmarks/: speed (make bench).
torture/       the fault campaign (make torture); properties/test_short_campaign.py is its short form.
support/       what tests share: clients, factories of instances and workitems, archives, faults, moto, the clock.

`make test` leaves out the tests marked `thorough`, see support/selection.py. `make check` runs all but integration/.
"""
