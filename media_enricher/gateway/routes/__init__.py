"""The routes, by what they are about. Each asks the desk, and answers with a model of `answers`."""
