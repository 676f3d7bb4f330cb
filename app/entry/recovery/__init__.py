"""Commands for operators that check, repair, save, restore or move an archive. They work on the engine directly.

May import `bootstrap`, `services.recovery`, `settings`, `errors` and the progress bars of `client_commands`.
"""
