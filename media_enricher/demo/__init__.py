"""The demonstration: real photographs, and the whole job done on them on the local stack."""
