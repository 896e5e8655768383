"""How valid things are spoilt: each module knows the structure of one kind of thing, and draws from a seeded generator alone."""
