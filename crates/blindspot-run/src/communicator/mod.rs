//! Several processes that work together, as MPI starts them: who they are, and what they say to
//! each other. What they compute has the same bits as if one of them had done all of it.
//!
//! Sums are never left to MPI, whose order of additions may change from one call to the next: the
//! parts travel, and are added in the order of the data.

mod group;
mod mailbox;
mod task_farm;
pub mod threads;

use std::collections::BTreeMap;

use blindspot_data::ErrorKind;

pub use group::Group;
pub use mailbox::Mailbox;
pub use task_farm::{Task, distribute};

/// The processes that work together, as one of them sees them: MPI's word for it.
///
/// There are no errors: an implementation whose messages can't be delivered ends the job and says
/// which rank is gone, since nothing can be done without it. What has been written until then is
/// whole.
pub trait Communicator: Sync {
    /// This process's number, from 0. Rank 0, the root, reads checkpoints and writes files.
    fn rank(&self) -> usize;

    /// Number of processes, at least 1.
    fn count(&self) -> usize;

    /// Sends a message to another rank and does not wait until it has arrived. Messages from one
    /// rank to another arrive in order.
    fn send(&self, to: usize, message: Vec<u8>);

    /// Waits for the next message of another rank.
    fn receive(&self, from: usize) -> Vec<u8>;

    /// Waits for the next message of any of these ranks; gives who sent it. What others have sent
    /// meanwhile is kept for later.
    fn receive_any(&self, of: &dyn Fn(usize) -> bool) -> (usize, Vec<u8>);

    /// Whether this is rank 0, which writes.
    fn is_root(&self) -> bool {
        self.rank() == 0
    }
}

/// A communicator of one process, which works by itself.
#[derive(Debug, Clone, Copy, Default)]
pub struct SingleProcess;

impl Communicator for SingleProcess {
    fn rank(&self) -> usize {
        0
    }

    fn count(&self) -> usize {
        1
    }

    fn send(&self, _: usize, _: Vec<u8>) {
        unreachable!("there is nobody else");
    }

    fn receive(&self, _: usize) -> Vec<u8> {
        unreachable!("there is nobody else");
    }

    fn receive_any(&self, _: &dyn Fn(usize) -> bool) -> (usize, Vec<u8>) {
        unreachable!("there is nobody else");
    }
}

/// Gives every rank the message `mine` of each of them, in the order of the ranks.
///
/// Bruck's algorithm: as many rounds as the logarithm of the number of ranks.
pub fn all_gather(ranks: &dyn Communicator, mine: Vec<u8>) -> Vec<Vec<u8>> {
    let (rank, count) = (ranks.rank(), ranks.count());
    // Number i is that of rank `rank + i`, around the circle.
    let mut held = vec![mine];
    while held.len() < count {
        let step = held.len();
        let passed = step.min(count - step);
        ranks.send((rank + count - step) % count, pack(&held[..passed]));
        held.extend(unpack(&ranks.receive((rank + step) % count)));
    }
    held.rotate_right(rank);
    held
}

/// Gives every rank the message of rank 0.
pub fn broadcast(ranks: &dyn Communicator, message: impl FnOnce() -> Vec<u8>) -> Vec<u8> {
    let (rank, count) = (ranks.rank(), ranks.count());
    // A binomial tree: each rank that knows it tells the one twice as far away.
    let message = match rank {
        0 => message(),
        _ => ranks.receive(rank - (1 << rank.ilog2())),
    };
    let mut step = match rank {
        0 => 1,
        _ => 2 << rank.ilog2(),
    };
    while rank + step < count {
        ranks.send(rank + step, message.clone());
        step *= 2;
    }
    message
}

/// Sends each rank its part of what every rank has: `parts[i]` goes to rank i, and what is returned
/// at i came from rank i.
pub fn all_to_all(ranks: &dyn Communicator, mut parts: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    let (rank, count) = (ranks.rank(), ranks.count());
    let own = std::mem::take(&mut parts[rank]);
    // Each begins with its neighbour, so that they don't all talk to the same.
    for step in 1..count {
        let to = (rank + step) % count;
        ranks.send(to, std::mem::take(&mut parts[to]));
    }
    parts[rank] = own;
    for step in 1..count {
        let from = (rank + count - step) % count;
        parts[from] = ranks.receive(from);
    }
    parts
}

/// Gives rank 0 the message `mine` of each of the ranks, in their order; the others get none.
pub fn gather(ranks: &dyn Communicator, mine: Vec<u8>) -> Vec<Vec<u8>> {
    if ranks.rank() > 0 {
        ranks.send(0, mine);
        return Vec::new();
    }
    let others = (1..ranks.count()).map(|rank| ranks.receive(rank));
    std::iter::once(mine).chain(others).collect()
}

/// Whether any of the ranks says true. All get the same answer.
pub fn any_true(ranks: &dyn Communicator, mine: bool) -> bool {
    let answers = all_gather(ranks, vec![u8::from(mine)]);
    answers.iter().any(|answer| answer == &[1])
}

/// Ranks that can't work together, since they were not started alike.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "rank {rank} differs from rank 0 in its {what} ({other}, not {one}); start all ranks with the same \
     program, options and files"
)]
pub struct RanksDiffer {
    /// The first that differs.
    pub rank: usize,
    /// In what.
    pub what: String,
    /// What rank 0 has.
    pub one: String,
    /// What that rank has.
    pub other: String,
}

impl RanksDiffer {
    /// [`ErrorKind::Usage`].
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Usage
    }
}

/// Compares what every rank says of itself: program, options, hashes.
///
/// # Errors
/// [`RanksDiffer`], the same on all ranks.
pub fn agree(
    ranks: &dyn Communicator,
    facts: &BTreeMap<String, String>,
) -> Result<(), RanksDiffer> {
    let mine = postcard::to_stdvec(facts).expect("facts are plain data");
    let all = all_gather(ranks, mine);
    let facts = |rank: usize| -> BTreeMap<String, String> {
        // What can't be read is of another program.
        postcard::from_bytes(&all[rank]).unwrap_or_default()
    };
    let first = facts(0);
    for rank in 1..all.len() {
        let other = facts(rank);
        for what in first.keys().chain(other.keys()) {
            let of = |facts: &BTreeMap<String, String>| {
                facts.get(what).cloned().unwrap_or("nothing".into())
            };
            let (one, other) = (of(&first), of(&other));
            if one != other {
                let what = what.clone();
                return Err(RanksDiffer {
                    rank,
                    what,
                    one,
                    other,
                });
            }
        }
    }
    Ok(())
}

/// Messages one after the other, each behind its length.
fn pack(messages: &[Vec<u8>]) -> Vec<u8> {
    let total: usize = messages.iter().map(|message| 8 + message.len()).sum();
    let mut packed = Vec::with_capacity(total);
    for message in messages {
        packed.extend((message.len() as u64).to_le_bytes());
        packed.extend(message);
    }
    packed
}

/// The messages that [`pack`] has put together.
fn unpack(mut packed: &[u8]) -> Vec<Vec<u8>> {
    let mut messages = Vec::new();
    while let Some((length, rest)) = packed.split_first_chunk() {
        let (message, rest) = rest.split_at(u64::from_le_bytes(*length) as usize);
        messages.push(message.to_vec());
        packed = rest;
    }
    messages
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rank_hears_what_each_has_to_say() {
        for count in 1..=9 {
            let said = |rank: usize| vec![rank as u8; rank];
            let all: Vec<Vec<u8>> = (0..count).map(said).collect();
            for heard in threads::run(count, |ranks| all_gather(ranks, said(ranks.rank()))) {
                assert_eq!(heard, all);
            }
            for heard in threads::run(count, |ranks| broadcast(ranks, || vec![7, 8])) {
                assert_eq!(heard, [7, 8]);
            }
            let swapped = threads::run(count, |ranks| {
                let to = |to| vec![ranks.rank() as u8, to as u8];
                all_to_all(ranks, (0..count).map(to).collect())
            });
            for (rank, heard) in swapped.into_iter().enumerate() {
                let from = |from| vec![from as u8, rank as u8];
                assert_eq!(heard, (0..count).map(from).collect::<Vec<_>>());
            }
            for who in 0..count {
                assert!(
                    threads::run(count, |ranks| any_true(ranks, ranks.rank() == who))
                        .iter()
                        .all(|&yes| yes)
                );
            }
            assert_eq!(
                threads::run(count, |ranks| any_true(ranks, false)),
                vec![false; count]
            );
        }
    }

    #[test]
    fn groups_speak_among_themselves() {
        // 0, 2, 4 and 1, 3, 5: each knows what its own have said, by their numbers in the group.
        let heard = threads::run(6, |ranks| {
            let group = Group::new(ranks, ranks.rank() % 2, 2, 3);
            let said = all_gather(&group, vec![ranks.rank() as u8]);
            if group.is_root() {
                let first = group.receive_any(&|rank| rank == 2);
                let second = group.receive_any(&|rank| rank == 1);
                assert_eq!([first, second].map(|(rank, _)| rank), [2, 1]);
            } else {
                group.send(0, Vec::new());
            }
            let gathered = gather(&group, vec![group.rank() as u8]);
            assert_eq!(
                gathered.concat(),
                if group.is_root() {
                    vec![0, 1, 2]
                } else {
                    vec![]
                }
            );
            said.concat()
        });
        for (rank, heard) in heard.into_iter().enumerate() {
            let first = rank as u8 % 2;
            assert_eq!(heard, [first, first + 2, first + 4]);
        }
    }

    #[test]
    fn the_first_difference_is_named_on_all_ranks() {
        let answers = threads::run(3, |ranks| {
            let seed = if ranks.rank() == 2 { "1" } else { "0" };
            let facts = [("data", "abc"), ("seed", seed)];
            agree(
                ranks,
                &facts
                    .map(|(what, is)| (what.to_owned(), is.to_owned()))
                    .into(),
            )
        });
        for answer in answers {
            let differs = answer.unwrap_err();
            assert_eq!((differs.rank, &*differs.what), (2, "seed"));
            assert_eq!((&*differs.one, &*differs.other), ("0", "1"));
        }
        let same = threads::run(3, |ranks| agree(ranks, &BTreeMap::new()));
        assert_eq!(same, vec![Ok(()); 3]);
    }
}
