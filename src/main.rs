//! The program `unlearn`: see [`unlearn::cli`].

/// Overwrites what is given back, once a command meets people's data.
#[global_allocator]
static ALLOCATOR: unlearn::base::scrub::Scrubbing = unlearn::base::scrub::Scrubbing;

fn main() -> std::process::ExitCode {
    unlearn::cli::run()
}
