"""Shapes of request bodies and query parameters as marshmallow schemas, one module per resource.

`body` and `parameters` are the common parts. A schema checks types and required fields and returns values for the
services; the services check the rules of DICOM and of the archive. May import `services`, `storage` (data types only),
`dicom` and `errors`.
"""
