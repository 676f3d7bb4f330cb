"""The OpenAPI document of the service, made from the route table (OpenAPI 3.1, conformance §1.16).

May import `web/routing` and what that may import. `web/site` shows the document.
"""
