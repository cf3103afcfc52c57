//! Progress on a terminal; silence where the output is piped or `--quiet` is given.

use std::io::IsTerminal;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use blindspot::run::monitor::Monitor;
use blindspot_report::plain;
use indicatif::{ProgressBar, ProgressStyle};

use crate::args::Common;
use crate::{interrupt, print};

/// Draws a bar for the work under way.
pub(crate) struct Progress {
    shown: bool,
    bar: Mutex<Option<Bar>>,
}

/// The work under way.
struct Bar {
    drawn: ProgressBar,
    begun: Instant,
    total: u64,
}

impl Progress {
    pub(crate) fn new(common: &Common) -> Self {
        Progress {
            shown: !common.quiet && std::io::stderr().is_terminal(),
            bar: Mutex::new(None),
        }
    }

    fn with_bar(&self, work: impl FnOnce(&mut Option<Bar>)) {
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
            // What is told last is cut where the terminal ends.
            "{prefix:24!} [{bar:20}] {human_pos}/{human_len}  {wide_msg}",
        )
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ");
        let bar = ProgressBar::new(total)
            .with_style(style)
            .with_prefix(plain(work));
        bar.enable_steady_tick(Duration::from_millis(500));
        let bar = Bar {
            drawn: bar,
            begun: Instant::now(),
            total,
        };
        self.with_bar(|place| *place = Some(bar));
    }

    fn progress(&self, done: u64, detail: &str) {
        self.with_bar(|place| {
            if let Some(bar) = place {
                let left = left(bar.begun.elapsed(), done, bar.total);
                bar.drawn.set_position(done);
                bar.drawn.set_message(format!("{left}  {}", plain(detail)));
            }
        });
    }

    fn end(&self) {
        self.with_bar(|place| {
            if let Some(bar) = place.take() {
                bar.drawn.abandon();
            }
        });
    }

    fn notice(&self, text: &str) {
        print::warning(text);
    }

    fn cancelled(&self) -> bool {
        interrupt::interrupted()
    }
}

/// The time that work still takes, in words. It is foretold by the mean of all steps so far: single steps differ by
/// orders of magnitude, so that a rate of the last few would foretell weeks now and seconds then.
fn left(passed: Duration, done: u64, total: u64) -> String {
    if done >= total {
        return String::new();
    }
    if done == 0 || passed < Duration::from_secs(3) {
        return "no estimate yet".into();
    }
    let seconds = passed.as_secs_f64() * (total - done) as f64 / done as f64;
    match seconds {
        _ if seconds < 55.0 => format!("about {:.0} s left", (seconds / 5.0).ceil() * 5.0),
        _ if seconds < 90.0 * 60.0 => format!("about {:.0} min left", (seconds / 60.0).ceil()),
        _ if seconds < 48.0 * 3600.0 => format!("about {:.0} h left", (seconds / 3600.0).ceil()),
        _ => format!("about {:.0} days left", (seconds / 86_400.0).ceil()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_left_is_in_words_and_never_before_something_is_known() {
        let said = |seconds, done, total| left(Duration::from_secs(seconds), done, total);
        assert_eq!(said(100, 0, 10), "no estimate yet");
        assert_eq!(said(1, 5, 10), "no estimate yet");
        assert_eq!(said(10, 5, 10), "about 10 s left");
        assert_eq!(said(60, 10, 60), "about 5 min left");
        assert_eq!(said(3600, 1, 4), "about 3 h left");
        assert_eq!(said(3600, 1, 100), "about 5 days left");
        assert_eq!(said(60, 10, 10), "");
    }
}
