"""What the pixels say: one small module for each group of fields."""
