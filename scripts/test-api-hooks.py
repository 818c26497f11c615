"""Hooks of schemathesis for scripts/test-api.sh: what its settings (test-api.toml) can't say."""

import schemathesis


@schemathesis.hook
def filter_query(context, query):
    """An empty parameter counts as left out, whatever its schema says (forms send all their fields): it is no wrong value.

    An empty object or list is sent as nothing at all.
    """
    return not query or all(value not in ("", {}, []) for name, value in query.items() if name != "cursor")
