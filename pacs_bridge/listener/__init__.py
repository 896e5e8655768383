"""Our own storage SCP (PS3.4 Annex B), to which PACSs and modalities route series."""
