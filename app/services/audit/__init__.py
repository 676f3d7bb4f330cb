"""Audit: who did what to which data, one JSON object in a line for each event (conformance §13.5).

`call.py` has what the lines of a call say, `operations.py` those of background work. `trail.py` writes lines with
numbers and digests, `sinks.py` has the places that they are written to. `verification.py` finds lines that are missing
or changed, `dicom_messages.py` makes DICOM audit messages of them.

May import `storage`, `dicom` and `errors`. Nothing here knows HTTP.
"""
