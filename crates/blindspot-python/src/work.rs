//! Long work called from Python: on threads of our own, without the GIL, watched by the thread that
//! called.

use std::mem;
use std::process;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use blindspot::ErrorKind;
use blindspot::run::monitor::Monitor;
use pyo3::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::errors::{Failure, fail};

/// How often the thread that called looks for Ctrl-C, and shows how far the work is.
const PERIOD: Duration = Duration::from_millis(50);
/// Of a thread's stack: what the command takes.
const STACK_BYTES: usize = 8 << 20;

/// How work is watched.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct Watch {
    /// Called as `progress(work, done, total)`, from the thread that called.
    progress: Option<Py<PyAny>>,
    threads: Option<usize>,
}

/// What work has given, and the exception that ended it early: `KeyboardInterrupt` after Ctrl-C, or
/// what the function that shows its progress raised.
pub(crate) type Worked<R> = (R, Option<PyErr>);

/// Does work without the GIL on rayon's threads. The thread that called waits for it and serves
/// Python's signals meanwhile.
pub(crate) fn run<R: Send>(
    py: Python<'_>,
    watch: &Watch,
    work: impl FnOnce(&dyn Monitor) -> R + Send,
) -> Result<Worked<R>, Failure> {
    let pool = pool(watch.threads)?;
    let watched = Watched::default();
    let (ended, interrupt) = py.detach(|| {
        let (sender, receiver) = channel();
        thread::scope(|scope| {
            let watched = &watched;
            let worker = scope.spawn(move || {
                let given = pool.install(|| work(watched));
                // Whoever waits sees the end of the thread, too.
                let _ = sender.send(());
                given
            });
            let mut interrupt = None;
            while receiver.recv_timeout(PERIOD) == Err(RecvTimeoutError::Timeout) {
                if worker.is_finished() {
                    break;
                }
                if let Err(error) = Python::attach(|py| watched.serve(py, watch)) {
                    watched.cancelled.store(true, Ordering::Relaxed);
                    interrupt.get_or_insert(error);
                }
            }
            (worker.join(), interrupt)
        })
    });
    match ended {
        Ok(given) => Ok((given, interrupt)),
        Err(_) => Err(bug()),
    }
}

/// Does work that has nothing to give if it is cut short.
pub(crate) fn run_whole<R: Send, E: Into<Failure> + Send>(
    py: Python<'_>,
    watch: &Watch,
    work: impl FnOnce(&dyn Monitor) -> Result<R, E> + Send,
) -> Result<R, Failure> {
    match run(py, watch, work)? {
        (_, Some(interrupt)) => Err(interrupt.into()),
        (given, None) => given.map_err(Into::into),
    }
}

/// Reads a file without the GIL, on a thread of its own. What it reads may ask for seconds of work that nothing can
/// stop, so after Ctrl-C the thread is left alone: it ends within the time that reading may take.
pub(crate) fn read<R: Send + 'static, E: Into<Failure> + Send + 'static>(
    py: Python<'_>,
    work: impl FnOnce() -> Result<R, E> + Send + 'static,
) -> Result<R, Failure> {
    let (sender, mut receiver) = channel();
    let reader = thread::Builder::new().stack_size(STACK_BYTES);
    let reader = reader.spawn(move || {
        // Nobody may be waiting any more.
        let _ = sender.send(work());
    });
    reader.map_err(|error| {
        let why = format_args!("can't start a thread: {error}");
        fail(ErrorKind::Usage, why)
    })?;
    loop {
        let (given, same) = py.detach(move || (receiver.recv_timeout(PERIOD), receiver));
        receiver = same;
        match given {
            Ok(given) => return given.map_err(Into::into),
            Err(RecvTimeoutError::Timeout) => py.check_signals()?,
            Err(RecvTimeoutError::Disconnected) => return Err(bug()),
        }
    }
}

/// What a panic is told as.
fn bug() -> Failure {
    fail(
        ErrorKind::Other,
        "this is a bug of blindspot; standard error says where it is: please report it",
    )
}

/// How far the work is.
#[derive(Default)]
struct Watched {
    state: Mutex<State>,
    cancelled: AtomicBool,
}

#[derive(Default)]
struct State {
    work: String,
    total: u64,
    done: u64,
    told: bool,
}

impl Watched {
    fn state(&self) -> MutexGuard<'_, State> {
        // What another thread died with is still how far the work was.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Raises what a signal asks for, and shows how far the work is.
    fn serve(&self, py: Python<'_>, watch: &Watch) -> PyResult<()> {
        py.check_signals()?;
        let Some(progress) = &watch.progress else {
            return Ok(());
        };
        let (work, done, total) = {
            let mut state = self.state();
            if mem::replace(&mut state.told, true) {
                return Ok(());
            }
            (state.work.clone(), state.done, state.total)
        };
        progress.call1(py, (work, done, total)).map(drop)
    }
}

impl Monitor for Watched {
    fn begin(&self, work: &str, total: u64) {
        *self.state() = State {
            work: work.to_owned(),
            total,
            done: 0,
            told: false,
        };
    }

    fn progress(&self, done: u64, _: &str) {
        let mut state = self.state();
        (state.done, state.told) = (done, false);
    }

    fn end(&self) {
        let mut state = self.state();
        (state.done, state.told) = (state.total, false);
    }

    fn cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }
}

/// The threads to work on: the same for all work of a process, unless it asks for a number of its
/// own.
fn pool(threads: Option<usize>) -> Result<Arc<ThreadPool>, Failure> {
    /// With the process that made it: in a fork of it none of its threads runs.
    static POOL: Mutex<Option<(u32, Arc<ThreadPool>)>> = Mutex::new(None);

    let made = |threads: usize| {
        let pool = ThreadPoolBuilder::new()
            .num_threads(threads)
            .stack_size(STACK_BYTES)
            .build();
        let refused = |error| {
            fail(
                ErrorKind::Usage,
                format_args!("can't start threads: {error}"),
            )
        };
        pool.map(Arc::new).map_err(refused)
    };
    // Work inside of work would wait for threads that wait for it.
    if threads.is_some() || rayon::current_thread_index().is_some() {
        return made(threads.unwrap_or(0));
    }
    let mut place = POOL.lock().unwrap_or_else(PoisonError::into_inner);
    match &*place {
        Some((process, pool)) if *process == process::id() => Ok(Arc::clone(pool)),
        _ => {
            let pool = made(0)?;
            // To drop the other process's threads would be to wait for them.
            mem::forget(place.replace((process::id(), Arc::clone(&pool))));
            Ok(pool)
        }
    }
}
