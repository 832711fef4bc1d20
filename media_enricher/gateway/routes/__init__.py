"""The routes, by what they are about. Each asks the deps, and answers with a model of `answers`."""
