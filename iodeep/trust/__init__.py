"""Digests, self-test, site policy: what must hold before a network is loaded."""
