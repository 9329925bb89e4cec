//! The `rasid` command; everything lives in the library.

use std::process::ExitCode;

/// The tensors of a forward pass are many and short-lived; the system's allocator gives such pages back and asks for them again.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    rasid::kernels::threads::single_threaded_tensors();
    rasid::cli::run()
}
