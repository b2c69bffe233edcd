//! Signals, kills and lines that stand still: what was fetched is gone on with, and no build is left running.
