"""Use cases, composition root and command line: the only place where domain and bridge meet."""
