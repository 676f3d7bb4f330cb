"""Store: `service` stores instances, `examination` checks them, `report` is the answer, `spool` receives bodies.

Imports from storage, dicom, and from `parallel`, `policy` and `links` of services.
"""
