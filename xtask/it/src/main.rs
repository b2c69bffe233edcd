//! `cargo xtask` once more, under a name of its own: two packages of a workspace can't have a program of one name.

fn main() -> std::process::ExitCode {
    xtask::main()
}
