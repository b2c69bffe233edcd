//! Several hosts share the work.
