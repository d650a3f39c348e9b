//! The thin binary: everything it does is in the library beside it.

fn main() -> std::process::ExitCode {
    corelane_server::cli::main()
}
