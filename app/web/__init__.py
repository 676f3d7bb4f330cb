"""HTTP only: routing, request bodies, negotiation, answers, errors, access log. `application.py` puts it together.

The route table (`routing/route.py`, `routes/`) says what is served. `routing/dispatch.py` has the steps between routing
and handler. `request/`, `negotiation/` and `response/` serve all routes.
May import `services`, `storage` (data types only), `dicom`, `settings`, `logs` and `errors`. Only this package imports
Flask.
"""
