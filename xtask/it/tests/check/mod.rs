//! `check` on real git histories: which images need a rebuild, and why.
#![allow(clippy::disallowed_methods, reason = "tests start the tool and git")]

mod base_images;
mod baselines;
mod case;
mod inputs;
mod layouts;
mod lists;
mod output;
mod repo;
mod repositories;
