"""Commands for operators that check an archive, repair it or make its index again. They work on the engine directly.

May import `bootstrap`, `services.recovery`, `settings` and `errors`.
"""
