"""The bodies of the gateway: `requests` that it takes, and `responses` that it gives."""
