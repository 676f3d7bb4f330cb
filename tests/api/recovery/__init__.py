"""Commands for operators on archives that clients have filled."""
