//! Analysis engines.
