"""How types that one signature does not tell are recognised: text, sound and film, archives."""
