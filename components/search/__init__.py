"""The search cluster: traces and logs, kept apart by confidentiality, with TLS, users, templates and retention."""
