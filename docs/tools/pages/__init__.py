"""The reference pages: one module each, with a function `page()` that gives its text."""
