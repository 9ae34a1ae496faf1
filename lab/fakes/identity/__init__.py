"""A fake of an OpenID Connect provider: login form, code flow with PKCE, client grant.

It knows the few users of its file, locks nobody out, and keeps its signing key in memory: a restart ends all logins.
"""
