"""Networks are run here, in a process of their own."""
