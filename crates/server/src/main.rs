//! The thin binary: everything it does is in the library.

fn main() -> std::process::ExitCode {
    corelane::cli::main()
}
