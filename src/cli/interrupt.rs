//! Ctrl-C while a report is written: whole lines stay behind.

use super::output::SharedSink;
use crate::error::{Error, Result};
use std::io::{self, IsTerminal};
use std::sync::TryLockError;
use std::time::{Duration, Instant};

/// How long a write may still take after Ctrl-C; a pipe that nobody reads would hold us for ever.
const PATIENCE: Duration = Duration::from_secs(2);

/// From now on Ctrl-C (and a request to terminate) closes the output between two writes and ends the process with code 130.
///
/// The process ends in the handler's own thread, so that a long batch or a silent standard input does not delay it.
///
/// # Errors
/// The system refuses the handler.
pub fn close_on_interrupt(sink: SharedSink) -> Result<()> {
    let handler = move || {
        let pressed = Instant::now();
        while pressed.elapsed() < PATIENCE {
            match sink.try_lock() {
                Ok(mut sink) => drop(sink.take()),
                Err(TryLockError::Poisoned(poisoned)) => drop(poisoned.into_inner().take()),
                Err(TryLockError::WouldBlock) => {
                    std::thread::sleep(Duration::from_millis(5));
                    continue;
                }
            }
            break;
        }
        if io::stderr().is_terminal() {
            super::say("\n");
        }
        std::process::exit(130);
    };
    ctrlc::set_handler(handler).map_err(|error| Error::Usage(format!("could not watch for Ctrl-C: {error}")))
}
