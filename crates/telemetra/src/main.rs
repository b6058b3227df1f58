//! The `telemetra` binary; all of it is in the library beside it.

fn main() -> std::process::ExitCode {
    telemetra::entry::main()
}
