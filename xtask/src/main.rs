//! `cargo xtask`: see the library, where simulations and tests reach it.

fn main() -> std::process::ExitCode {
    xtask::main()
}
