"""A fake of an OpenID Connect provider, for platforms that have none: login form, code flow with PKCE, client grant.

It is not meant for people's real accounts: it knows the few users of its file, locks nobody out, keeps its signing key
in memory (a restart ends all logins), and runs once. An installation with a provider of its own does not start it.
"""
