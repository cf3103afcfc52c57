//! The `blindspot` command.

fn main() -> std::process::ExitCode {
    blindspot_cli::run(std::env::args_os()).into()
}
