"""Networks and their ImageNet weights."""
