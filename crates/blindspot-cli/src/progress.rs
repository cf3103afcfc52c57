//! Progress on a terminal; silence where the output is piped or `--quiet` is given.

use std::io::IsTerminal;
use std::sync::Mutex;
use std::time::Duration;

use blindspot::run::monitor::Monitor;
use indicatif::{ProgressBar, ProgressStyle};

use crate::args::Common;
use crate::interrupt;

/// Draws a bar for the work under way.
pub(crate) struct Progress {
    shown: bool,
    bar: Mutex<Option<ProgressBar>>,
}

impl Progress {
    pub(crate) fn new(common: &Common) -> Self {
        Progress {
            shown: !common.quiet && std::io::stderr().is_terminal(),
            bar: Mutex::new(None),
        }
    }

    fn with_bar(&self, work: impl FnOnce(&mut Option<ProgressBar>)) {
        // A bar that another thread died with is still a bar.
        work(
            &mut self
                .bar
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner),
        );
    }
}

impl Monitor for Progress {
    fn begin(&self, work: &str, total: u64) {
        if !self.shown {
            return;
        }
        let style = ProgressStyle::with_template(
            "{prefix:24} [{bar:28}] {human_pos}/{human_len}  {elapsed} + {eta}  {msg}",
        )
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ");
        let bar = ProgressBar::new(total)
            .with_style(style)
            .with_prefix(work.to_owned());
        bar.enable_steady_tick(Duration::from_millis(500));
        self.with_bar(|place| *place = Some(bar));
    }

    fn progress(&self, done: u64, detail: &str) {
        self.with_bar(|place| {
            if let Some(bar) = place {
                bar.set_position(done);
                bar.set_message(detail.to_owned());
            }
        });
    }

    fn end(&self) {
        self.with_bar(|place| {
            if let Some(bar) = place.take() {
                bar.abandon();
            }
        });
    }

    fn cancelled(&self) -> bool {
        interrupt::interrupted()
    }
}
