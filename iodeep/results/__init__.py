"""SEG, SR and pictures out of a prediction, each naming the exact model object."""
