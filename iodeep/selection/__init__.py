"""Series and archive in, a decision with reasons or a refusal out."""
