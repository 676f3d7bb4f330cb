"""Changes to attributes of a stored file: which are permitted, and how the new file is made (conformance §12).

May import `json`, `validation`, `encoding` and `errors`.
"""
