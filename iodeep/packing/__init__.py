"""Importers: a trained network from elsewhere becomes a card and payload files, offline."""
