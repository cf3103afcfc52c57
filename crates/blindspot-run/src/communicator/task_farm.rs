//! A task farm: rank 0, the manager, hands many independent tasks out to whichever rank is free.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::Communicator;
use crate::monitor::{Monitor, Silenced};

/// Positions in a rank's first task, as long as it is not known how long one takes.
const FIRST_POSITIONS: usize = 64;
/// Seconds that a task should take: long enough that handing it out costs nothing.
const TASK_SECONDS: f64 = 10.0;
/// Seconds that a task should take at least at the end, when little is left.
const LAST_SECONDS: f64 = 0.2;
/// A task is at most a rank's fair share of what is left over this, so that all end together.
const TASKS_PER_SHARE: usize = 2;

/// The last byte of a message to rank 0: the bytes before it are a result.
const RESULT: u8 = 0;
/// The last byte of a message to rank 0: the sender asks for a task.
const READY: u8 = 1;
/// The last byte of a message to rank 0: the sender was stopped, or has failed.
const STOPPED: u8 = 2;

/// A part of the work, on the rank that does it.
pub struct Task<'a, E> {
    /// The positions to work on.
    pub positions: &'a [usize],
    /// Watches the task, and stops it.
    pub monitor: &'a dyn Monitor,
    /// Hands a result on, of one or several positions.
    pub emit: &'a mut dyn FnMut(Vec<u8>) -> Result<(), E>,
}

/// Hands `positions`, which only rank 0 has to know, out to all ranks, and brings the results to rank 0.
///
/// Every rank calls this and does the tasks that it gets by `work`. On rank 0 `collect` is called
/// with each result, in whatever order they come, and returns the number of positions in it. `name` is
/// for the monitor, which also stops the work: then every rank ends with what it has.
///
/// Returns whether everything was done: on rank 0 all of the work, elsewhere this rank's own tasks.
///
/// # Errors
/// Those of `work` on this rank and of `collect`; the work has stopped then.
pub fn distribute<E: Send>(
    ranks: &dyn Communicator,
    positions: &[usize],
    name: &str,
    monitor: &dyn Monitor,
    mut work: impl FnMut(Task<'_, E>) -> Result<(), E>,
    mut collect: impl FnMut(Vec<u8>) -> Result<usize, E> + Send,
) -> Result<bool, E> {
    if ranks.count() == 1 {
        work(Task {
            positions,
            monitor,
            emit: &mut |result| collect(result).map(drop),
        })?;
        return Ok(!monitor.cancelled());
    }
    if ranks.rank() > 0 {
        return worker_loop(ranks, monitor, work);
    }
    let manager = Manager {
        monitor,
        stopped: AtomicBool::new(false),
        left: Mutex::new(Left {
            rest: positions,
            rates: vec![None; ranks.count()],
        }),
        done: Mutex::new((0, collect)),
    };
    monitor.begin(name, positions.len() as u64);
    let (own, others) = std::thread::scope(|scope| {
        let others = scope.spawn(|| serve(ranks, &manager));
        let own = loop {
            let task = manager.next(0);
            if task.is_empty() {
                break Ok(());
            }
            let begun = Instant::now();
            let done = work(Task {
                positions: task,
                monitor: &Silenced(monitor),
                emit: &mut |result| manager.collect(result),
            });
            if done.is_err() {
                manager.stopped.store(true, Ordering::Relaxed);
                break done;
            }
            manager.rate(0, task.len(), begun.elapsed().as_secs_f64());
        };
        (own, others.join().expect("serving does not panic"))
    });
    monitor.end();
    own.and(others)?;
    Ok(!manager.stop())
}

/// What rank 0 keeps while it hands the work out.
struct Manager<'a, T> {
    monitor: &'a dyn Monitor,
    /// A rank has stopped, or failed.
    stopped: AtomicBool,
    left: Mutex<Left<'a>>,
    /// How many positions are done, and what collects the results.
    done: Mutex<(usize, T)>,
}

struct Left<'a> {
    rest: &'a [usize],
    /// Positions that each rank did in a second.
    rates: Vec<Option<f64>>,
}

impl<'a, T> Manager<'a, T> {
    fn stop(&self) -> bool {
        self.stopped.load(Ordering::Relaxed) || self.monitor.cancelled()
    }

    /// The positions of the next task for a rank; none where there is no more.
    fn next(&self, rank: usize) -> &'a [usize] {
        if self.stop() {
            return &[];
        }
        let mut left = self.left.lock().expect("nobody panics with it");
        let fair = left.rest.len().div_ceil(TASKS_PER_SHARE * left.rates.len());
        let size = match left.rates[rank] {
            Some(rate) => fair.clamp(
                (rate * LAST_SECONDS) as usize,
                (rate * TASK_SECONDS) as usize,
            ),
            None => fair.min(FIRST_POSITIONS),
        };
        let (task, rest) = left.rest.split_at(size.max(1).min(left.rest.len()));
        left.rest = rest;
        task
    }

    fn rate(&self, rank: usize, positions: usize, seconds: f64) {
        let mut left = self.left.lock().expect("nobody panics with it");
        left.rates[rank] = Some(positions as f64 / seconds.max(1e-6));
    }

    fn collect<E>(&self, result: Vec<u8>) -> Result<(), E>
    where
        T: FnMut(Vec<u8>) -> Result<usize, E>,
    {
        let (done, collect) = &mut *self.done.lock().expect("nobody panics with it");
        *done += collect(result)?;
        self.monitor.progress(*done as u64, "");
        Ok(())
    }
}

/// Rank 0's answers to all others, until each of them has been told that there is no more.
fn serve<E, T>(ranks: &dyn Communicator, manager: &Manager<'_, T>) -> Result<(), E>
where
    T: FnMut(Vec<u8>) -> Result<usize, E>,
{
    let mut result = Ok(());
    // When each rank's task was handed out, and how many positions it has.
    let mut handed = vec![None; ranks.count()];
    // Whoever has been told that there is no more may already speak of something else.
    let mut helping: Vec<bool> = (0..ranks.count()).map(|rank| rank > 0).collect();
    while helping.contains(&true) {
        let (rank, mut message) = ranks.receive_any(&|rank| helping[rank]);
        match message.pop() {
            Some(RESULT) => {
                if result.is_ok() {
                    result = manager.collect(message);
                }
                if result.is_err() {
                    manager.stopped.store(true, Ordering::Relaxed);
                }
                continue;
            }
            Some(READY) => {}
            _ => manager.stopped.store(true, Ordering::Relaxed),
        }
        if let Some((begun, length)) = handed[rank].take() {
            let begun: Instant = begun;
            manager.rate(rank, length, begun.elapsed().as_secs_f64());
        }
        let task = manager.next(rank);
        handed[rank] = Some((Instant::now(), task.len()));
        helping[rank] = !task.is_empty();
        let numbers = task.iter().flat_map(|&place| (place as u64).to_le_bytes());
        ranks.send(rank, numbers.collect());
    }
    result
}

/// What another rank than 0 does: asks for tasks until there are no more.
fn worker_loop<E>(
    ranks: &dyn Communicator,
    monitor: &dyn Monitor,
    mut work: impl FnMut(Task<'_, E>) -> Result<(), E>,
) -> Result<bool, E> {
    loop {
        let stopped = monitor.cancelled();
        ranks.send(0, vec![if stopped { STOPPED } else { READY }]);
        let message = ranks.receive(0);
        let numbers = message.as_chunks().0.iter();
        let task: Vec<usize> = numbers.map(|&n| u64::from_le_bytes(n) as usize).collect();
        if task.is_empty() {
            return Ok(!stopped);
        }
        let done = work(Task {
            positions: &task,
            monitor: &Silenced(monitor),
            emit: &mut |mut result| {
                result.push(RESULT);
                ranks.send(0, result);
                Ok(())
            },
        });
        if done.is_err() {
            // Rank 0 must not wait for this one.
            ranks.send(0, vec![STOPPED]);
            ranks.receive(0);
            return done.map(|()| false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{any_true, threads};
    use super::*;
    use crate::monitor::Unwatched;

    fn square(task: &mut Task<'_, String>) -> Result<(), String> {
        for positions in task.positions.chunks(3) {
            let bytes = positions
                .iter()
                .flat_map(|&n| [n as u64, (n * n) as u64])
                .flat_map(u64::to_le_bytes);
            (task.emit)(bytes.collect())?;
        }
        Ok(())
    }

    #[test]
    fn everything_is_done_once_on_any_number_of_ranks() {
        for (count, total) in [(1, 50), (2, 1), (2, 0), (3, 1000), (5, 700)] {
            let positions: Vec<usize> = (0..total).map(|i| 7 * i).collect();
            let found = threads::run(count, |ranks| {
                let mut found = Vec::new();
                let known: &[usize] = if ranks.is_root() { &positions } else { &[] };
                let collect = |result: Vec<u8>| {
                    let numbers = result.as_chunks().0;
                    found.extend(numbers.iter().map(|&n| u64::from_le_bytes(n) as usize));
                    Ok(numbers.len() / 2)
                };
                let whole = distribute(
                    ranks,
                    known,
                    "",
                    &Unwatched,
                    |mut p| square(&mut p),
                    collect,
                );
                assert_eq!(whole, Ok(true));
                // What ranks say to each other next is not taken for results.
                assert!(any_true(ranks, ranks.rank() == count - 1));
                found
            });
            let mut pairs: Vec<[usize; 2]> = found[0].as_chunks().0.to_vec();
            pairs.sort_unstable();
            let all: Vec<[usize; 2]> = positions.iter().map(|&n| [n, n * n]).collect();
            assert_eq!(pairs, all);
            assert!(found[1..].iter().all(Vec::is_empty));
        }
    }

    #[test]
    fn a_failure_ends_the_work_on_all_ranks() {
        let positions: Vec<usize> = (0..5000).collect();
        for broken in 0..3 {
            let failed = AtomicBool::new(false);
            let ends = threads::run(3, |ranks| {
                let work = |mut task: Task<'_, String>| {
                    if ranks.rank() == broken {
                        failed.store(true, Ordering::Relaxed);
                        return Err("broken".to_owned());
                    }
                    while !failed.load(Ordering::Relaxed) {
                        std::thread::yield_now();
                    }
                    square(&mut task)
                };
                distribute(ranks, &positions, "", &Unwatched, work, |_| Ok(1))
            });
            assert_eq!(ends[broken], Err("broken".to_owned()));
        }
        let ends = threads::run(3, |ranks| {
            let work = |mut task: Task<'_, String>| square(&mut task);
            distribute(ranks, &positions, "", &Unwatched, work, |_| {
                Err("full".to_owned())
            })
        });
        assert_eq!(ends[0], Err("full".to_owned()));
    }

    #[test]
    fn who_stops_stops_all() {
        struct Stop(bool);
        impl Monitor for Stop {
            fn cancelled(&self) -> bool {
                self.0
            }
        }
        let positions: Vec<usize> = (0..5000).collect();
        for stopped in 0..2 {
            let ends = threads::run(2, |ranks| {
                let monitor = Stop(ranks.rank() == stopped);
                let work = |mut task: Task<'_, String>| square(&mut task);
                distribute(ranks, &positions, "", &monitor, work, |_| Ok(1))
            });
            assert_eq!(ends[stopped], Ok(false));
        }
    }
}
