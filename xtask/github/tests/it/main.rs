//! Each rule of the stand-in, seen through the real `gh` and `curl`.

mod access;
mod assets;
mod clients;
mod described;
mod downloads;
mod faults;
mod git_data;
mod issues;
mod names;
mod observed;
mod publishing;
mod releases;
mod uploads;
mod workflows;
mod world;
