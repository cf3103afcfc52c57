//! Signals that ask the work to end: Ctrl-C, SIGTERM, SIGHUP. The first one stops the work, which keeps what is
//! finished; where it takes longer than a second to hear of it, the process ends all the same, as what was kept is on
//! the disk already. A later one ends it at once.

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use blindspot::ErrorKind;
use blindspot::run::monitor::Monitor;
use blindspot_data::files;

use crate::{exit, print, ranks};

/// When the first signal came.
static FIRST: OnceLock<Instant> = OnceLock::new();
/// Says what was kept so far; nothing where there is nothing to keep yet.
static KEPT: Mutex<Option<Box<dyn Fn() -> String + Send>>> = Mutex::new(None);
/// Who has it speaks last, and ends the process.
static LAST_WORD: Mutex<()> = Mutex::new(());

/// A second signal within this time is the same one: `timeout` sends two at once.
const SAME: Duration = Duration::from_millis(700);
/// How long what was found has to be finished and kept, at most.
const FINISHING: Duration = Duration::from_millis(500);
/// When the process ends by itself, unless a file is just being written.
const LONGEST: Duration = Duration::from_millis(900);
/// When it ends even then: the next run begins with the old file.
const LONGEST_WRITE: Duration = Duration::from_secs(10);

/// Listens from now on. Has to be called before there is another thread.
pub(crate) fn listen() {
    block_signals();
    // Where there is no such signal to listen to, Ctrl-C ends the program as it always did.
    let _ = ctrlc::set_handler(|| match FIRST.get() {
        None => {
            FIRST.get_or_init(Instant::now);
            // Ranks end together, once the work has told all of them; what is kept rank 0 alone knows.
            if ranks::here().count() == 1 {
                if kept().is_none() {
                    end();
                }
                thread::spawn(end_in_time);
            }
        }
        Some(first) if first.elapsed() < SAME => {}
        Some(_) => end(),
    });
}

/// Signals that this program must not heed: that a file has reached a limit of its size, which is an error of
/// the write; and the end of a terminal where `nohup` has it ignored.
#[cfg(unix)]
fn block_signals() {
    use nix::sys::signal::{SigSet, Signal};

    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mut lines = status.lines();
    let mask = lines.find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    let ignored = |signal: Signal| (mask.unwrap_or(0) >> (signal as u32 - 1)) & 1 == 1;
    let mut blocked = SigSet::empty();
    blocked.add(Signal::SIGXFSZ);
    if ignored(Signal::SIGHUP) {
        blocked.add(Signal::SIGHUP);
    }
    // Without it these signals end the program, as they would any other.
    let _ = blocked.thread_block();
}

#[cfg(not(unix))]
fn block_signals() {}

/// Whether the work should stop.
pub(crate) fn interrupted() -> bool {
    FIRST.get().is_some()
}

/// From now on there is something to keep; `said` says what was kept so far, a sentence.
pub(crate) fn keeping(said: impl Fn() -> String + Send + 'static) {
    *kept() = Some(Box::new(said));
}

fn kept() -> MutexGuard<'static, Option<Box<dyn Fn() -> String + Send>>> {
    KEPT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whoever calls this first goes on and ends the process; all others wait for that.
pub(crate) fn last_word() {
    std::mem::forget(LAST_WORD.lock());
}

fn end_in_time() {
    thread::sleep(LONGEST);
    let begun = Instant::now();
    while files::being_written() && begun.elapsed() < LONGEST_WRITE {
        thread::sleep(Duration::from_millis(10));
    }
    end();
}

fn end() {
    last_word();
    let said = match &*kept() {
        Some(said) => said(),
        None => "nothing was kept, as nothing was done yet".into(),
    };
    print::warning(&format!("interrupted; {said}"));
    std::process::exit(exit::code(ErrorKind::Interrupted).into());
}

/// What follows a search: once the work is interrupted, it goes on for what time there is.
pub(crate) struct Finishing;

impl Monitor for Finishing {
    fn cancelled(&self) -> bool {
        FIRST.get().is_some_and(|first| first.elapsed() > FINISHING)
    }
}
