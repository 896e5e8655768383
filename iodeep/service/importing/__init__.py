"""Networks of other frameworks are imported here: read in a contained process, compared with their source, then packed."""
