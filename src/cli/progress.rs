//! Progress on standard error, for a person who has waited for a second.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{self, IsTerminal};
use std::time::Duration;

/// A line that says how far the work is; shown only on a terminal, and only once the work takes longer than a second.
pub struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// Starts the clock; `wanted` is false under `--quiet` or where the data itself scrolls over the same terminal.
    pub fn start(wanted: bool) -> Progress {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        if wanted && io::stderr().is_terminal() {
            let style = ProgressStyle::with_template("{spinner} {msg}  {elapsed}").expect("the template is sound");
            bar.set_style(style);
            let shown_later = bar.clone();
            std::thread::spawn(move || {
                std::thread::sleep(Duration::from_secs(1));
                if !shown_later.is_finished() {
                    shown_later.set_draw_target(ProgressDrawTarget::stderr());
                    shown_later.enable_steady_tick(Duration::from_millis(100));
                }
            });
        }
        Progress { bar }
    }

    /// What has been done so far.
    pub fn set(&self, message: String) {
        self.bar.set_message(message);
    }

    /// How much of a file has come: a bar, with rate and time left.
    #[cfg(feature = "hub")]
    pub fn bytes(&self, file: &str, done: u64, of: u64) {
        if self.bar.message() != file {
            let template = "{msg} {bar:30} {bytes} of {total_bytes}  {bytes_per_sec}  {eta} left";
            self.bar.set_style(ProgressStyle::with_template(template).expect("the template is sound"));
            self.bar.set_length(of);
            self.bar.set_position(done); // what lay there already counts for no speed
            self.bar.reset_eta();
            self.bar.set_message(file.to_string());
        }
        self.bar.set_position(done);
    }

    /// Lets `say` write to standard error without leaving pieces of the line behind.
    pub fn aside(&self, say: impl FnOnce()) {
        self.bar.suspend(say);
    }

    /// Takes the line away; later messages are not shown.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }

    /// Wall time since the start.
    pub fn elapsed(&self) -> Duration {
        self.bar.elapsed()
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.finish();
    }
}
