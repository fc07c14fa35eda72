//! The binary: argv to an exit code. The hidden verb of the forker is decided here, before any thread exists.

/// A warm call makes some hundred small allocations; glibc's allocator took a seventh of the daemon's time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

mod aws;
mod cli;
mod config;
mod daemon;
mod http;
mod outlet;
mod runtimes;
mod store;

use std::process::ExitCode;

fn main() -> ExitCode {
    let is_forker =
        std::env::args_os().nth(1).is_some_and(|verb| verb == hearth_sandbox::forker::client::VERB);
    if is_forker {
        return match hearth_sandbox::forker::main() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("hearth forker: {error}");
                ExitCode::FAILURE
            }
        };
    }
    // The allocator asks for huge pages, and then each thread's small heap takes megabytes: 34 MB of a daemon at rest
    // instead of 22. Where the kernel has no such switch it has no such pages. The forker takes it back.
    nix::sys::prctl::set_thp_disable(true).ok();
    cli::main(daemon::serve::serve)
}
