"""The pages for people: HTML that the server makes from templates (conformance §15).

Each module makes a resource with `pages.pages` and registers its pages on it, as `routes/` does. `table.py` lists them.
May import `web/routing` and what that may import. It imports nothing of `web/routes`: pages call the use cases.
"""
