//! Hands the arguments to the command they name.

fn main() -> std::process::ExitCode {
    watchd::cli::main()
}
