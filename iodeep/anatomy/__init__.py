"""Regions and organs, and what a series' words say about them."""
