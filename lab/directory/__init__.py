"""A directory outside the platform: OpenLDAP's slapd, over LDAPS only, with the people who log in to Grafana."""
