//! The program `unlearn`: see [`unlearn::cli`].

fn main() -> std::process::ExitCode {
    unlearn::cli::run()
}
