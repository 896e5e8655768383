"""Hostile input: generators, judges, and a zoo of hand-made specimens. ``scripts/bench hostile`` runs them at large."""
