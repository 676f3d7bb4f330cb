"""Pure functions on the bytes of DICOM files and on datasets in DICOM JSON. Nothing here does I/O.

Topics, each of which may import the ones before it: encoding, validation, json, query, then editing and worklist.
May import `errors` from the rest of `app`.
"""
