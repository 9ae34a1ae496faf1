"""The identity provider that `prod` leaves to you, as a real Keycloak with a real directory."""
