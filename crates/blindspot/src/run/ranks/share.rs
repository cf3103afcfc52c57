//! Many independent pieces of work, handed out to whichever rank is free.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::Ranks;
use crate::run::monitor::Monitor;

/// Positions in a rank's first piece, as long as it is not known how long one takes.
const FIRST: usize = 64;
/// Seconds that a piece should take: long enough that handing it out costs nothing. At the end, when
/// there is little left, at least a part of that.
const PIECE_SECONDS: f64 = 10.0;
const LAST_SECONDS: f64 = 0.2;
/// A piece is at most this part of a rank's fair share of what is left, so that all end together.
const SHARES: usize = 2;

/// What a rank says to rank 0, in a message's last byte.
const RESULT: u8 = 0;
const READY: u8 = 1;
const STOPPED: u8 = 2;

/// A piece of the work, on the rank that does it.
pub struct Piece<'a, E> {
    /// Which positions it has.
    pub positions: &'a [usize],
    /// To watch it by.
    pub monitor: &'a dyn Monitor,
    /// Takes results, as many as come at a time.
    pub give: &'a mut dyn FnMut(Vec<u8>) -> Result<(), E>,
}

/// Hands `positions` out, which only rank 0 has to know, and brings the results to it.
///
/// Every rank calls this and does the pieces that it gets by `work`. On rank 0 `take` is called
/// with each result, in whatever order they come, and says how many positions were in it. `name` is
/// for the monitor, which also stops the work: then every rank ends with what it has.
///
/// Gives whether everything was handed out and done: on rank 0 of all, elsewhere of the own pieces.
///
/// # Errors
/// Those of `work` on this rank and of `take`; the work has stopped then.
pub fn share<E: Send>(
    ranks: &dyn Ranks,
    positions: &[usize],
    name: &str,
    monitor: &dyn Monitor,
    mut work: impl FnMut(Piece<'_, E>) -> Result<(), E>,
    mut take: impl FnMut(Vec<u8>) -> Result<usize, E> + Send,
) -> Result<bool, E> {
    if ranks.count() == 1 {
        work(Piece {
            positions,
            monitor,
            give: &mut |result| take(result).map(drop),
        })?;
        return Ok(!monitor.cancelled());
    }
    if ranks.rank() > 0 {
        return help(ranks, monitor, work);
    }
    let desk = Desk {
        monitor,
        stopped: AtomicBool::new(false),
        left: Mutex::new(Left {
            rest: positions,
            rates: vec![None; ranks.count()],
        }),
        done: Mutex::new((0, take)),
    };
    monitor.begin(name, positions.len() as u64);
    let (own, others) = std::thread::scope(|scope| {
        let others = scope.spawn(|| serve(ranks, &desk));
        let own = loop {
            let piece = desk.next(0);
            if piece.is_empty() {
                break Ok(());
            }
            let begun = Instant::now();
            let done = work(Piece {
                positions: piece,
                monitor: &Muted(monitor),
                give: &mut |result| desk.take(result),
            });
            if done.is_err() {
                desk.stopped.store(true, Ordering::Relaxed);
                break done;
            }
            desk.rate(0, piece.len(), begun.elapsed().as_secs_f64());
        };
        (own, others.join().expect("serving does not panic"))
    });
    monitor.end();
    own.and(others)?;
    Ok(!desk.stop())
}

/// What rank 0 keeps while the work is handed out.
struct Desk<'a, T> {
    monitor: &'a dyn Monitor,
    /// A rank has stopped, or failed.
    stopped: AtomicBool,
    left: Mutex<Left<'a>>,
    /// How many positions are done, and who takes the results.
    done: Mutex<(usize, T)>,
}

struct Left<'a> {
    rest: &'a [usize],
    /// Positions that each rank did in a second.
    rates: Vec<Option<f64>>,
}

impl<'a, T> Desk<'a, T> {
    fn stop(&self) -> bool {
        self.stopped.load(Ordering::Relaxed) || self.monitor.cancelled()
    }

    /// The next piece for a rank; none where there is no more.
    fn next(&self, rank: usize) -> &'a [usize] {
        if self.stop() {
            return &[];
        }
        let mut left = self.left.lock().expect("nobody panics with it");
        let fair = left.rest.len().div_ceil(SHARES * left.rates.len());
        let size = match left.rates[rank] {
            Some(rate) => fair.clamp(
                (rate * LAST_SECONDS) as usize,
                (rate * PIECE_SECONDS) as usize,
            ),
            None => fair.min(FIRST),
        };
        let (piece, rest) = left.rest.split_at(size.max(1).min(left.rest.len()));
        left.rest = rest;
        piece
    }

    fn rate(&self, rank: usize, positions: usize, seconds: f64) {
        let mut left = self.left.lock().expect("nobody panics with it");
        left.rates[rank] = Some(positions as f64 / seconds.max(1e-6));
    }

    fn take<E>(&self, result: Vec<u8>) -> Result<(), E>
    where
        T: FnMut(Vec<u8>) -> Result<usize, E>,
    {
        let (done, take) = &mut *self.done.lock().expect("nobody panics with it");
        *done += take(result)?;
        self.monitor.progress(*done as u64, "");
        Ok(())
    }
}

/// Rank 0's answers to all others, until each of them has been told that there is no more.
fn serve<E, T>(ranks: &dyn Ranks, desk: &Desk<'_, T>) -> Result<(), E>
where
    T: FnMut(Vec<u8>) -> Result<usize, E>,
{
    let mut result = Ok(());
    // When each rank's piece was handed out, and how long it is.
    let mut handed = vec![None; ranks.count()];
    // Whoever has been told that there is no more may already speak of something else.
    let mut helping: Vec<bool> = (0..ranks.count()).map(|rank| rank > 0).collect();
    while helping.contains(&true) {
        let (rank, mut message) = ranks.receive_any(&|rank| helping[rank]);
        match message.pop() {
            Some(RESULT) => {
                if result.is_ok() {
                    result = desk.take(message);
                }
                if result.is_err() {
                    desk.stopped.store(true, Ordering::Relaxed);
                }
                continue;
            }
            Some(READY) => {}
            _ => desk.stopped.store(true, Ordering::Relaxed),
        }
        if let Some((begun, length)) = handed[rank].take() {
            let begun: Instant = begun;
            desk.rate(rank, length, begun.elapsed().as_secs_f64());
        }
        let piece = desk.next(rank);
        handed[rank] = Some((Instant::now(), piece.len()));
        helping[rank] = !piece.is_empty();
        let numbers = piece.iter().flat_map(|&place| (place as u64).to_le_bytes());
        ranks.send(rank, numbers.collect());
    }
    result
}

/// What another rank does: asks for pieces until there are no more.
fn help<E>(
    ranks: &dyn Ranks,
    monitor: &dyn Monitor,
    mut work: impl FnMut(Piece<'_, E>) -> Result<(), E>,
) -> Result<bool, E> {
    loop {
        let stopped = monitor.cancelled();
        ranks.send(0, vec![if stopped { STOPPED } else { READY }]);
        let message = ranks.receive(0);
        let numbers = message.as_chunks().0.iter();
        let piece: Vec<usize> = numbers.map(|&n| u64::from_le_bytes(n) as usize).collect();
        if piece.is_empty() {
            return Ok(!stopped);
        }
        let done = work(Piece {
            positions: &piece,
            monitor: &Muted(monitor),
            give: &mut |mut result| {
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

/// Tells nothing; stops when the whole stops.
struct Muted<'a>(&'a dyn Monitor);

impl Monitor for Muted<'_> {
    fn cancelled(&self) -> bool {
        self.0.cancelled()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{any, threads};
    use super::*;
    use crate::run::monitor::Unwatched;

    fn square(piece: &mut Piece<'_, String>) -> Result<(), String> {
        for positions in piece.positions.chunks(3) {
            let bytes = positions
                .iter()
                .flat_map(|&n| [n as u64, (n * n) as u64])
                .flat_map(u64::to_le_bytes);
            (piece.give)(bytes.collect())?;
        }
        Ok(())
    }

    #[test]
    fn everything_is_done_once_on_any_number_of_ranks() {
        for (count, total) in [(1, 50), (2, 1), (2, 0), (3, 1000), (5, 700)] {
            let positions: Vec<usize> = (0..total).map(|i| 7 * i).collect();
            let found = threads::run(count, |ranks| {
                let mut found = Vec::new();
                let known: &[usize] = if ranks.writes() { &positions } else { &[] };
                let take = |result: Vec<u8>| {
                    let numbers = result.as_chunks().0;
                    found.extend(numbers.iter().map(|&n| u64::from_le_bytes(n) as usize));
                    Ok(numbers.len() / 2)
                };
                let whole = share(ranks, known, "", &Unwatched, |mut p| square(&mut p), take);
                assert_eq!(whole, Ok(true));
                // What ranks say to each other next is not taken for results.
                assert!(any(ranks, ranks.rank() == count - 1));
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
                let work = |mut piece: Piece<'_, String>| {
                    if ranks.rank() == broken {
                        failed.store(true, Ordering::Relaxed);
                        return Err("broken".to_owned());
                    }
                    while !failed.load(Ordering::Relaxed) {
                        std::thread::yield_now();
                    }
                    square(&mut piece)
                };
                share(ranks, &positions, "", &Unwatched, work, |_| Ok(1))
            });
            assert_eq!(ends[broken], Err("broken".to_owned()));
        }
        let ends = threads::run(3, |ranks| {
            let work = |mut piece: Piece<'_, String>| square(&mut piece);
            share(ranks, &positions, "", &Unwatched, work, |_| {
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
                let work = |mut piece: Piece<'_, String>| square(&mut piece);
                share(ranks, &positions, "", &monitor, work, |_| Ok(1))
            });
            assert_eq!(ends[stopped], Ok(false));
        }
    }
}
