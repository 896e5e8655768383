"""The zoo: hostile things made by hand, each with its name, what it attacks, and what has to be said to it."""
