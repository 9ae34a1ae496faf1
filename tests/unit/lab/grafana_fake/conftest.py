"""ldap3 2.9.1 reads names that pyasn1 has renamed: it is imported here first, where that warning is no error."""

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import ldap3  # noqa: F401
