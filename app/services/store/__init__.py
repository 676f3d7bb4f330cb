"""Store: `service` stores instances, `examination` checks them, `pending` is one that is to be stored, `report` is
the answer, `spool` receives bodies.

May import other services, `storage`, `dicom` and `errors`.
"""
